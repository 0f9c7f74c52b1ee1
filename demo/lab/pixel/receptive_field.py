"""Where a network looks to label one pixel: in theory, by its taps, and in effect."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from segmodels import Segmenter
from segmodels.inference.label_map import nearest_cells
from segmodels.insight.receptive_field import Reach, effective_receptive_field, largest_field, reach, taps
from segmodels.models import registry
from segmodels.models.ablation import parts
from segmodels.models.base import configure
from segmodels.models.heads import ASPP
from segmodels.models.layers import resize_logits

from ...components.heat_map import Values
from ...components.model_picker import Settings
from ...server import cache


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


def look(path: str, settings: Settings, x: float, y: float, followed: int | None = None) -> Look:
    """Where the network looks to label the pixel of the photo at ``path`` at (x, y), parts of its width and height."""
    card = settings.card
    features = cache.features(path, card.name, settings.stride)
    width, height = features.working_size
    row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
    logits = cache.segmenter(card.name).logits(features, settings.rate)
    scores = resize_logits(logits[None], (height, width), features.align_corners)[0, :, row, column]
    probabilities = tuple(scores.softmax(0).tolist())
    rows, columns = features.maps[-1].shape[-2:]
    reaches = _reaches(card.name, height, width, settings.rate, settings.stride)
    boxes = {name: _box(each, row, column) for name, each in reaches.items()}
    seen = features.aligned_size or (None, None)
    cell = int(nearest_cells(rows, height, seen[0])[row]), int(nearest_cells(columns, width, seen[1])[column])
    return Look(
        size=(width, height),
        row=row,
        column=column,
        box=boxes.pop(""),
        map_size=(columns, rows),
        branches=tuple(_branch(name, settings.rate, box, cell, (rows, columns)) for name, box in boxes.items()),
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


_exact: cache.LRUCache[Segmenter] = cache.LRUCache(256 * 2**20, lambda exact: exact.nbytes)
_pixels: cache.LRUCache[Tensor] = cache.LRUCache(64 * 2**20, lambda pixels: pixels.nbytes)
_effective: cache.LRUCache[Values] = cache.LRUCache(32 * 2**20, lambda field: field.nbytes)


def _key(path: str, settings: Settings, looked: Look) -> tuple[Any, ...]:
    return path, settings, looked.row, looked.column, looked.followed


def has_effective(path: str, settings: Settings, looked: Look) -> bool:
    """Whether ``effective`` would answer at once."""
    return _key(path, settings, looked) in _effective


def effective(path: str, settings: Settings, looked: Look) -> Values:
    """How much each pixel of the photo, as the network sees it, moves the score followed: (H, W).

    In float32: a gradient through dozens of layers in bfloat16 would be noise where it is small.
    """

    def make() -> Values:
        exact = _in_float32(settings.card.name)
        pixels = _pixels.get((path, settings.card.name), lambda: exact.pixels(cache.photo(path).image))
        with exact.exclusive(settings.rate, settings.stride) as network:
            field = effective_receptive_field(network, pixels, looked.row, looked.column, looked.followed)
        return field.numpy(force=True)

    return _effective.get(_key(path, settings, looked), make)


def _in_float32(model: str) -> Segmenter:
    usual = cache.segmenter(model)
    if usual.precision == "float32":
        return usual
    return _exact.get(model, lambda: cache.loaded(model, "float32"))


def share_that_matters(heat: Values, part: float) -> float:
    """The share of the photo's pixels that make up ``part`` of the sum of ``heat``, the strongest first."""
    strongest = np.sort(heat.ravel().astype(np.float64))[::-1]
    return float((np.searchsorted(strongest.cumsum(), part * strongest.sum()) + 1) / strongest.size)


@functools.lru_cache(maxsize=256)
def field_size(model: str, rate: int | None, stride: int | None) -> float:
    """How many pixels a pixel depends on, along an edge, at most, without image pooling; infinite if on all."""
    network = registry.build_meta(model)
    configure(network, rate, stride)
    return largest_field(network, [name for name in parts(network) if name == "image pooling"])
