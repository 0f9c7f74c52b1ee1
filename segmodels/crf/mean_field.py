"""Mean field in the fully connected CRF (arXiv 1210.5644, algorithm 1; DeepLab's use of it: 1606.00915, section 3.3).

The energy of a labelling is the network's own, minus the logarithm of its probabilities, plus a penalty for every pair of
pixels with different classes (``CRF``). Mean field looks for the independent probabilities Q that come nearest to it: each
update filters Q with the two kernels, which is what all pixels together say to each, adds that to the network's scores,
and normalises. A pixel's own vote stays in the sum, as in the authors' code.

Q is computed at a sample of the photo's pixels. The last update can be had at any other pixel by its own place and colour.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..kernels.threads import one_thread
from .lattice import Lattice
from .parameters import CRF, REFERENCE_SIDE

SAMPLES = 220
"""Pixels that are sampled along the longer side of a photo. Nearly all of its pixels get the class that they get when
every one is sampled: ``segmodels bench`` says how many."""

OWN = 0.4
"""How much of its own value a sampled pixel keeps, at least. It stands for others near it, which are like it but not the
same: with all of it, fewer pixels get the class that they get when every one is sampled."""


@dataclass(frozen=True)
class SampledPhoto:
    """Every ``step``-th pixel of a photo in both directions, and the lattice of the bilateral kernel over them."""

    size: tuple[int, int]
    """(height, width) of the photo in pixels."""
    step: float
    """From one sampled pixel to the next, in pixels of the photo; where it is no whole number they are rounded down."""
    theta_alpha: float
    theta_beta: float
    lattice: Lattice

    @classmethod
    @one_thread()
    def of(cls, pixels: Tensor, crf: CRF) -> "SampledPhoto":
        """Sample the (H, W, 3) uint8 ``pixels`` of a photo and build the lattice for ``crf``."""
        height, width = pixels.shape[:2]
        step = max((max(height, width) - 1) / (SAMPLES - 1), 1.0)
        rows, columns = _every(step, height), _every(step, width)
        sampled = pixels[rows[:, None], columns]
        place = torch.stack([rows[:, None].expand(-1, len(columns)), columns.expand(len(rows), -1)]).reshape(2, -1)
        points = _points(place, sampled.reshape(-1, 3).T, _scale(height, width), crf)
        return cls((height, width), step, crf.theta_alpha, crf.theta_beta, Lattice(points, max(1 / step, OWN)))

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the sample."""
        return len(self.rows), len(self.columns)

    @property
    def rows(self) -> Tensor:
        """The sampled rows of the photo."""
        return _every(self.step, self.size[0])

    @property
    def columns(self) -> Tensor:
        """The sampled columns of the photo."""
        return _every(self.step, self.size[1])

    def fits(self, crf: CRF) -> bool:
        """Whether the lattice is that of ``crf``: weights, the smoothness kernel and iterations do not matter to it."""
        return (self.theta_alpha, self.theta_beta) == (crf.theta_alpha, crf.theta_beta)

    @property
    def nbytes(self) -> int:
        """What it takes."""
        return self.lattice.nbytes


@dataclass(frozen=True)
class Marginals:
    """What mean field comes to."""

    photo: SampledPhoto
    crf: CRF
    probabilities: Tensor
    """Q, (C, h, w), at the sampled pixels."""
    vertices: Tensor
    """(vertices + 1, C + 1): what the lattice has of the last update's bilateral message, and its total in the last column."""
    smoothness: Tensor
    """(C, h, w): the last update's message of the smoothness kernel."""

    def among(self, classes: Tensor) -> "Marginals":
        """The same of some of the classes alone, given by their numbers."""
        columns = torch.cat([classes, torch.tensor([self.vertices.shape[1] - 1])])
        return replace(
            self,
            probabilities=self.probabilities.index_select(0, classes),
            vertices=self.vertices.index_select(1, columns),  # much faster than indexing
            smoothness=self.smoothness.index_select(0, classes),
        )

    def scores_at(self, scores: Tensor, place: Tensor, colours: Tensor) -> Tensor:
        """The last update at any pixels, (C, P): the softmax of it over C is Q there.

        Args:
            scores: (C, P), the network's scores there.
            place: (2, P) float32, rows and columns in pixels of the sampled photo.
            colours: (3, P) of 0 to 255.
        """
        if not self.crf.iterations:
            return scores
        points = _points(place, colours, _scale(*self.photo.size), self.crf)
        classes = len(scores)
        sliced = self.photo.lattice.slice_at(points, self.vertices).T
        total = sliced[classes].clamp(min=torch.finfo(torch.float32).tiny)
        bilateral = sliced[:classes] * total.rsqrt()
        smoothness = _interpolated(self.smoothness, place / self.photo.step)
        return scores + self.crf.w1 * bilateral + self.crf.w2 * smoothness


@one_thread()
def mean_field(photo: SampledPhoto, scores: Tensor, crf: CRF) -> Marginals:
    """Run mean field on the network's (C, h, w) ``scores`` at the sampled pixels, which are its logits or log-probabilities.

    Raises:
        ValueError: if there is another number of scores than of sampled pixels.
    """
    if scores.shape[1:] != photo.shape:
        raise ValueError(f"the scores are of {tuple(scores.shape[1:])} pixels, and the photo's sample is {photo.shape}")
    classes, height, width = scores.shape
    lattice = photo.lattice
    unary = scores.reshape(classes, -1)
    smooth = Smoothness(crf.theta_gamma / _scale(*photo.size) / photo.step, (height, width))
    values = torch.zeros(lattice.points, _quick_width(classes))
    vertices, smoothness, updated = values, scores, torch.empty_like(unary)
    q = unary.softmax(0)
    for _ in range(crf.iterations):
        torch.mul(q.T, lattice.norm[:, None], out=values[:, :classes])
        vertices = lattice.blur(lattice.splat(values))
        smoothness = smooth(q.view(classes, height, width))
        torch.mul(lattice.slice(vertices).T[:classes], lattice.norm, out=updated)
        updated.addcmul_(q, lattice.surplus, value=-1).mul_(crf.w1)
        updated.add_(unary).add_(smoothness.view(classes, -1), alpha=crf.w2)
        q = updated.softmax(0)
    if crf.iterations:
        vertices = torch.cat([vertices[:, :classes], lattice.total], 1)
    return Marginals(photo, crf, q.view(classes, height, width), vertices, smoothness)


def _quick_width(classes: int) -> int:
    """The least number of columns from ``classes`` on that the lattice blurs quickly."""
    return next((width for width in (1, 2, 4, 8) if width >= classes), classes)


class Smoothness:
    """The Gaussian of the places alone, on a grid of (height, width), divided by its sum inside the grid.

    ``sigma`` is its standard deviation in cells of the grid.
    """

    def __init__(self, sigma: float, shape: tuple[int, int]) -> None:
        radius = min(max(math.ceil(3 * sigma), 1), max(shape) - 1)
        self._kernel = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(radius + 1)]
        self._sums = self._filtered(torch.ones(1, *shape))

    def __call__(self, values: Tensor) -> Tensor:
        """(C, height, width) filtered."""
        return self._filtered(values).div_(self._sums)

    def _filtered(self, values: Tensor) -> Tensor:
        for axis in (1, 2):  # sums of shifted maps: several times as fast as convolutions of so few channels
            length = values.shape[axis]
            total = values.clone()
            for offset, weight in enumerate(self._kernel[1:length], 1):
                total.narrow(axis, offset, length - offset).add_(values.narrow(axis, 0, length - offset), alpha=weight)
                total.narrow(axis, 0, length - offset).add_(values.narrow(axis, offset, length - offset), alpha=weight)
            values = total
        return values


def _every(step: float, pixels: int) -> Tensor:
    """Of so many pixels along an edge, those that are sampled."""
    return (torch.arange(int((pixels - 1) / step + 1e-6) + 1, dtype=torch.float64) * step + 1e-6).long()


def _scale(height: int, width: int) -> float:
    """Pixels of the photo that lengths are given in, for a pixel of this one."""
    return REFERENCE_SIDE / max(height, width)


def _points(place: Tensor, colours: Tensor, scale: float, crf: CRF) -> Tensor:
    """Place (2, N) and colour (3, N) in standard deviations of the bilateral kernel: (5, N)."""
    return torch.cat([place * (scale / crf.theta_alpha), colours / crf.theta_beta])


def _interpolated(maps: Tensor, place: Tensor) -> Tensor:
    """(C, h, w) maps at (2, P) rows and columns, bilinearly; beyond the edge, the edge: (C, P)."""
    rows, columns = place[0].clamp(0, maps.shape[1] - 1), place[1].clamp(0, maps.shape[2] - 1)
    top, left = rows.long(), columns.long()
    bottom, right = (top + 1).clamp(max=maps.shape[1] - 1), (left + 1).clamp(max=maps.shape[2] - 1)
    down, along = rows - top, columns - left
    flat, width = maps.flatten(1), maps.shape[2]
    upper, lower = (
        torch.lerp(flat.index_select(1, row * width + left), flat.index_select(1, row * width + right), along)
        for row in (top, bottom)
    )
    return torch.lerp(upper, lower, down)
