"""Where a network looks to label one pixel: in theory, and by the taps of its ASPP."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..inference.label_map import nearest_cells
from ..inference.result import Features
from ..inference.segmenter import Segmenter
from ..models import registry
from ..models.ablation import parts
from ..models.base import configure
from ..models.heads import ASPP
from ..models.layers import resize_logits
from .receptive_field import Reach, largest_field, reach, taps


@dataclass(frozen=True)
class Box:
    """Pixels of the photo at the size at which the network sees it, first and last included."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class Branch:
    """One ASPP branch, seen from the cell under the pixel."""

    name: str
    rate: int | None
    """None for the 1x1 convolution and for image pooling."""
    box: Box
    """What the score depends on if the other branches are off."""
    taps: tuple[tuple[int, int, bool], ...]
    """(row, column, whether on the map), in cells; empty for image pooling, which reads all."""

    @property
    def inside(self) -> int:
        return sum(inside for *_, inside in self.taps)


@dataclass(frozen=True)
class Look:
    """Where a network looks to label one pixel. All is at the size at which it sees the photo."""

    size: tuple[int, int]
    """(width, height) in pixels."""
    row: int
    column: int
    box: Box
    """The theoretical field, image pooling aside."""
    map_size: tuple[int, int]
    """(width, height) of the backbone's last map, in cells."""
    branches: tuple[Branch, ...]
    """Of the ASPP; empty without one."""
    align_corners: bool
    """Where the cells of the map lie."""
    probabilities: tuple[float, ...]
    followed: int
    """The class whose score the effective field is of."""


def look(
    segmenter: Segmenter,
    features: Features,
    place: tuple[float, float],
    rate: int | None = None,
    stride: int | None = None,
    followed: int | None = None,
) -> Look:
    """Return where a network looks to label one pixel of the photo that ``features`` are of.

    Args:
        segmenter: the network.
        features: what its backbone sees at ``stride``.
        place: of the pixel, as parts of the photo's width and height.
        rate: the atrous rate; None for a network without one.
        stride: the output stride; None for a network that has but one.
        followed: the class whose score the effective field is of; the best one if None.
    """
    x, y = place
    name = segmenter.card.name
    width, height = features.working_size
    row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
    logits = segmenter.logits(features, rate)
    scores = resize_logits(logits[None], (height, width), features.align_corners)[0, :, row, column]
    probabilities = tuple(scores.softmax(0).tolist())
    rows, columns = features.maps[-1].shape[-2:]
    reaches = _reaches(name, height, width, rate, stride)
    boxes = {branch: _box(each, row, column) for branch, each in reaches.items()}
    seen = features.aligned_size or (None, None)
    cell = int(nearest_cells(rows, height, seen[0])[row]), int(nearest_cells(columns, width, seen[1])[column])
    return Look(
        size=(width, height),
        row=row,
        column=column,
        box=boxes.pop(""),
        map_size=(columns, rows),
        branches=tuple(_branch(branch, rate, box, cell, (rows, columns)) for branch, box in boxes.items()),
        align_corners=features.align_corners,
        probabilities=probabilities,
        followed=int(np.argmax(probabilities)) if followed is None else followed,
    )


@functools.lru_cache(maxsize=64)
def _reaches(model: str, height: int, width: int, rate: int | None, stride: int | None) -> dict[str, Reach]:
    """The reach of every pixel without image pooling, under ``""``, and through each of the ASPP's branches alone."""
    network = registry.build_meta(model)
    configure(network, rate, stride)
    aspp = next((module for module in network.decoder.modules() if isinstance(module, ASPP)), None)
    branches = list(parts(network))[: len(aspp.convs)] if aspp is not None else []
    offs = {"": [name for name in branches if name == "image pooling"]}
    offs |= {name: [other for other in branches if other != name] for name in branches}
    return dict(zip(offs, reach(network, height, width, *offs.values()), strict=True))


def _box(found: Reach, row: int, column: int) -> Box:
    (top, bottom), (left, right) = found.rows[row].tolist(), found.columns[column].tolist()
    return Box(top, left, bottom, right)


def _branch(name: str, rate: int | None, box: Box, cell: tuple[int, int], map_size: tuple[int, int]) -> Branch:
    if name == "1x1":
        return Branch("1x1", None, box, ((*cell, True),))
    if name == "image pooling" or rate is None:
        return Branch(name, None, box, ())
    own = rate * int(name.removeprefix("rate ").removesuffix("r") or 1)
    return Branch(f"rate {own}", own, box, tuple(taps(*cell, own, *map_size)))


def share_that_matters(heat: NDArray[np.float32], part: float) -> float:
    """The share of the photo's pixels that make up ``part`` of the sum of ``heat``, the strongest first."""
    strongest = np.sort(heat.ravel().astype(np.float64))[::-1]
    return float((np.searchsorted(strongest.cumsum(), part * strongest.sum()) + 1) / strongest.size)


@functools.lru_cache(maxsize=256)
def field_size(model: str, rate: int | None, stride: int | None) -> float:
    """How many pixels a pixel depends on, along an edge, at most, without image pooling; infinite if on all."""
    network = registry.build_meta(model)
    configure(network, rate, stride)
    return largest_field(network, [name for name in parts(network) if name == "image pooling"])
