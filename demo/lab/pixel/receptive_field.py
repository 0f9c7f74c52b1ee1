"""Where a network looks to label a pixel of an uploaded photo, and what moves its score; computed once."""

from typing import Any

from torch import Tensor

from segmodels import Segmenter
from segmodels.insight import pixel
from segmodels.insight.pixel import Look
from segmodels.insight.receptive_field import effective_receptive_field

from ...components.heat_map import Values
from ...components.model_picker import NetworkSettings
from ...server import cache


def look(path: str, settings: NetworkSettings, x: float, y: float, followed: int | None = None) -> Look:
    """Where the network looks to label the pixel of the photo at ``path`` at (x, y), parts of its width and height."""
    features = cache.features(path, settings.card.name, settings.stride)
    segmenter = cache.segmenter(settings.card.name)
    return pixel.look(segmenter, features, (x, y), settings.rate, settings.stride, followed)


_exact: cache.LRUCache[Segmenter] = cache.LRUCache(256 * 2**20, lambda exact: exact.nbytes)
_pixels: cache.LRUCache[Tensor] = cache.LRUCache(64 * 2**20, lambda pixels: pixels.nbytes)
_effective: cache.LRUCache[Values] = cache.LRUCache(32 * 2**20, lambda field: field.nbytes)


def _key(path: str, settings: NetworkSettings, looked: Look) -> tuple[Any, ...]:
    return path, settings, looked.row, looked.column, looked.followed


def has_effective(path: str, settings: NetworkSettings, looked: Look) -> bool:
    """Whether ``effective`` would answer at once."""
    return _key(path, settings, looked) in _effective


def effective(path: str, settings: NetworkSettings, looked: Look) -> Values:
    """How much each pixel of the photo, as the network sees it, moves the score followed: (H, W).

    In float32: a gradient through dozens of layers in bfloat16 would be noise where it is small.
    """

    def make() -> Values:
        exact = _in_float32(settings.card.name)
        pixels = _pixels.get(
            (path, settings.card.name), lambda: exact.pixels(cache.photo(path, exact.display_range).image)
        )
        with exact.exclusive(settings.rate, settings.stride) as network:
            field = effective_receptive_field(network, pixels, looked.row, looked.column, looked.followed)
        return field.numpy(force=True)

    return _effective.get(_key(path, settings, looked), make)


def _in_float32(model: str) -> Segmenter:
    usual = cache.segmenter(model)
    if usual.precision == "float32":
        return usual
    return _exact.get(model, lambda: cache.loaded(model, "float32"))
