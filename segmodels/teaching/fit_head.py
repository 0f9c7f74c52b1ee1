"""A network of one's own from a few strokes: a trained backbone, and score layers that are solved for."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..checkpoints.files import save_state
from ..inference.loading import load
from ..inference.result import Features
from ..inference.segmenter import Segmenter
from ..labels import VOC_COLOURS, ClassList
from ..models.card import Card
from ..models.score_layers import ScoreLayers
from ..models.taught import backbone_maps, taught_card
from .regression import solve
from .strokes import cells_under, check_strokes

STRIDES = (32, 16, 8)
"""FCN's own."""

MOST_CELLS = 4096
"""Cells that a fit looks at; of more, evenly many are left out. Half a million numbers say all there is to say."""

Photo = Image.Image | NDArray[np.uint8] | Features
"""A photo, or what ``encode`` of the same backbone made of it, so that it is not looked at twice."""


@dataclass(frozen=True)
class Fit:
    """What is known about how a layer came about."""

    cells: dict[str, int]
    """Cells under the strokes of each class, at the finest stride, in all photos; those left out counted too."""
    iterations: int
    accuracy: float
    """Share of those cells that the layer gives the class that was painted."""
    milliseconds: float
    """From features to weights."""


class TaughtSegmenter(Segmenter):
    """A Segmenter whose last layer is fitted to strokes.

    It shares the backbone and the lock of the one that it was made from: both may be used from several threads.
    """

    def __init__(self, base: Segmenter, decoder: ScoreLayers, card: Card, fit: Fit) -> None:
        super().__init__(decoder, card, base=base)
        self.fit = fit
        self._strides = decoder.strides
        self._bundled = base.card.source == "bundled"

    def save(self, path: Path) -> None:
        """Write a safetensors file that ``segmodels.load`` opens: the layers alone if the backbone is a bundled one.

        Raises:
            ValueError: for another backbone whose batch norms are folded: it cannot be put back.
            OSError: with a sentence, if the file cannot be written.
        """
        start = f"strokes, on the backbone of {self.card.network}"
        cells = {"cells under strokes": sum(self.fit.cells.values())}
        record = self.card.metadata(start, cells, self._backbone if self._bundled else None, self._strides)
        with self.exclusive() as network:
            with torch.device("meta"):
                plain = self.card.builder(len(self.card.classes))
            if not self._bundled and plain.state_dict().keys() != network.state_dict().keys():
                raise ValueError(f"layers on the backbone of {self.card.network} can be used here, but not saved")
            save_state(network, path, "decoder." if self._bundled else "", record)


def fit_head(
    backbone: str | Segmenter,
    painted: Sequence[tuple[Photo, NDArray[np.uint8]]],
    classes: Sequence[str] | ClassList,
    strides: Sequence[int] = STRIDES,
) -> TaughtSegmenter:
    """Teach a backbone new classes from strokes on one photo or several.

    A 1x1 convolution on each feature map at ``strides`` scores the classes; coarse scores are interpolated to the finest
    map and summed, as in FCN. The layers are solved for, not trained by steps: multinomial logistic regression with L2
    (``regression.solve``) on the cells under the strokes. The backbone stays as it is.

    Args:
        backbone: a network of the zoo, by name or loaded, whose backbone is used.
        painted: photos, each with its strokes: an (H, W) uint8 array of the photo's size, the index of a class where it was
            painted and 255 where nothing was.
        classes: two to 255 names, or names and colours; of names, pictures leave the one that is called background without
            colour, else the first.
        strides: one or more of 32, 16, 8, 4, 2 (16 to 1 in a classic U-Net). A backbone that was trained with dilations
            runs without them.

    Raises:
        ValueError: with a sentence, for anything else, and where nothing was painted.
    """
    base = load(backbone) if isinstance(backbone, str) else backbone
    class_list = classes if isinstance(classes, ClassList) else _class_list(tuple(classes))
    names = class_list.names
    decoder = backbone_maps(base.card).layers(strides, len(names)).eval().requires_grad_(False)
    card = taught_card(base.card, class_list, decoder.strides)
    unfitted = Segmenter(decoder, card, base=base)
    features = [photo if isinstance(photo, Features) else unfitted.encode(photo) for photo, _ in painted]
    started = time.perf_counter()
    cells, targets = _training_cells(unfitted, decoder, features, [strokes for _, strokes in painted])
    kept = torch.linspace(0, len(cells) - 1, min(len(cells), MOST_CELLS)).long()
    solution = solve(cells[kept], targets[kept], len(names))
    decoder.put(solution.weight, solution.bias)
    decoder.to(base.device, base.dtype)
    given = (cells.double() @ solution.weight.T + solution.bias).argmax(1)
    fit = Fit(
        cells=dict(zip(names, torch.bincount(targets, minlength=len(names)).tolist(), strict=True)),
        iterations=solution.iterations,
        accuracy=float((given == targets).double().mean()),
        milliseconds=1000 * (time.perf_counter() - started),
    )
    return TaughtSegmenter(base, decoder, card, fit)


def _class_list(names: tuple[str, ...]) -> ClassList:
    """Names with Pascal VOC's colours, black for the background."""
    background = names.index("background") if "background" in names else 0
    black, *colours = VOC_COLOURS[: max(len(names), 1)]
    colours.insert(background, black)
    return ClassList(names, tuple(colours), background)


def _training_cells(
    encoder: Segmenter, decoder: ScoreLayers, features: Sequence[Features], strokes: Sequence[NDArray[np.uint8]]
) -> tuple[Tensor, Tensor]:
    """The (cells, channels) features under all strokes, and the (cells,) classes painted there."""
    found, targets = [], []
    num_classes = len(encoder.card.classes)
    for seen, painted in zip(features, strokes, strict=True):
        check_strokes(painted, seen.photo_size, num_classes)
        with torch.inference_mode():
            joined = decoder.joined(encoder.feature_maps(seen))[0].cpu()
            cells, classes = cells_under(painted, (joined.shape[1], joined.shape[2]), num_classes, seen.aligned_size)
            found.append(joined.flatten(1)[:, torch.from_numpy(cells)].T.contiguous())
        targets.append(torch.from_numpy(classes))
    if not any(len(classes) for classes in targets):
        raise ValueError("nothing was painted yet: paint some of each class")
    return torch.cat(found), torch.cat(targets)
