"""From logits to a label map by way of the fully connected CRF, with edges of the photo's own pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..crf.mean_field import Marginals, SampledPhoto, mean_field
from ..crf.parameters import CRF
from ..kernels.threads import one_thread
from .label_map import Between, Size, borders, spread_between, values_at

LEAST_ODDS = 0.5
"""A class that is nowhere more than this part as probable as the best one cannot win by the CRF, and is left out."""

STRIP_PIXELS = 1_000_000
"""Pixels of a photo whose colours are held at once: 3 MB."""

PIXELS_AT_ONCE = 1 << 14
"""Pixels along borders that are looked up together: some 8 MB, which a processor's cache holds, whatever the photo's size."""


@dataclass(frozen=True)
class CRFAnswer:
    """What the CRF makes of a network's logits."""

    logits: Tensor
    """(C, h, w), of the classes that can win alone."""
    present: Tensor
    """(C,): which classes these are."""
    aligned_size: Size | None
    marginals: Marginals

    @classmethod
    @one_thread()
    def of(cls, logits: Tensor, photo: SampledPhoto, crf: CRF, aligned_size: Size | None) -> "CRFAnswer":
        """Run mean field on the sampled pixels of a photo, from (C, h, w) logits."""
        behind = (logits - logits.amax(0)).flatten(1).amax(1)
        present = (behind > math.log(LEAST_ODDS)).nonzero().ravel()
        chosen = logits.index_select(0, present)
        rows, columns = Between.both(chosen, photo.size, aligned_size)
        scores = spread_between(chosen, rows.at(photo.rows), columns.at(photo.columns))
        return cls(chosen, present, aligned_size, mean_field(photo, scores, crf))

    @one_thread()
    def label_map(self, size: Size, photo: Image.Image) -> NDArray[np.uint8]:
        """The best class of every pixel of ``photo``, whose (height, width) is ``size``.

        Where the sampled pixels around one agree it has their class. The others are asked themselves: the last update of
        mean field is made at their own place and with their own colour, among the classes that win at a sampled pixel.
        """
        best = self.marginals.probabilities.max(0).indices
        wins = best.ravel().bincount(minlength=len(self.present)).nonzero().ravel()
        winners = replace(
            self,
            logits=self.logits.index_select(0, wins),
            present=self.present[wins],
            marginals=self.marginals.among(wins),
        )
        names = self.present.to(torch.uint8).numpy()
        cells = best.to(torch.uint8).numpy()
        rows, columns = (self._sampled(axis, size[axis]) for axis in (0, 1))
        labels = names[cells][:, columns].take(rows, 0)
        asked = borders(cells)[:, columns]
        height = max(STRIP_PIXELS // size[1], 1)
        between = Between.both(self.logits, size, self.aligned_size)
        for top in range(0, size[0], height):
            pixels = np.flatnonzero(asked.take(rows[top : top + height], 0))
            if not len(pixels):
                continue
            colours = np.asarray(photo.crop((0, top, size[1], min(top + height, size[0])))).reshape(-1, 3)
            for some in np.array_split(pixels, -(-len(pixels) // PIXELS_AT_ONCE)):
                there = some + top * size[1]
                scores = winners._scores(torch.from_numpy(there), colours.take(some, 0), size, between)
                labels.ravel()[there] = names.take(wins.numpy()).take(scores.max(0).indices.numpy())
        return labels

    @one_thread()
    def probabilities(self, num_classes: int, pixels: Tensor) -> Tensor:
        """Q at every pixel of the (H, W, 3) photo that was sampled: (num_classes, H, W), 0 for classes that cannot win."""
        size = (pixels.shape[0], pixels.shape[1])
        between = Between.both(self.logits, size, self.aligned_size)
        q = torch.zeros(num_classes, size[0] * size[1])
        for chunk in torch.arange(size[0] * size[1]).split(PIXELS_AT_ONCE):
            colours = pixels.reshape(-1, 3)[chunk].numpy()
            q[self.present[:, None], chunk] = self._scores(chunk, colours, size, between).softmax(0)
        return q.view(num_classes, *size)

    def confidence(self, classes: Sequence[str]) -> dict[str, float]:
        """The mean of Q of each class over the sampled pixels where it wins, surest first."""
        best = self.marginals.probabilities.max(0)
        found = {
            classes[name]: float(best.values[best.indices == index].mean())
            for index, name in enumerate(self.present.tolist())
            if bool((best.indices == index).any())
        }
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def _scores(
        self, pixels: Tensor, colours: NDArray[np.uint8], size: Size, between: tuple[Between, Between]
    ) -> Tensor:
        """The last update at P pixels, counted row by row, of a photo of ``size``: (C, P)."""
        row = torch.div(pixels, size[1], rounding_mode="floor")
        column = pixels - row * size[1]
        scores = values_at(self.logits, row, column, between)
        place = torch.stack([self._place(axis, size[axis])[at] for axis, at in ((0, row), (1, column))])
        return self.marginals.scores_at(scores, place, torch.from_numpy(colours).T.float())

    def _place(self, axis: int, pixels: int) -> Tensor:
        """Where each of so many pixels along an axis of a photo lies in the photo that was sampled, in its pixels."""
        return (torch.arange(pixels) + 0.5) * (self.marginals.photo.size[axis] / pixels) - 0.5

    def _sampled(self, axis: int, pixels: int) -> NDArray[np.int64]:
        """The sampled pixel at or before each pixel along an axis, which has the next one behind it."""
        place = (self._place(axis, pixels) / self.marginals.photo.step).floor().long()
        sampled: NDArray[np.int64] = place.clamp(0, self.marginals.photo.shape[axis] - 1).numpy()
        return sampled
