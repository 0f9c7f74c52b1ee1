"""Segment an uploaded photo with a network at some settings, through the cache of features."""

from segmodels import Segmentation
from segmodels.models import registry

from . import cache, timeouts
from .settings import applicable_settings


def segment_photo(
    path: str, model: str, rate: float | None, stride: int | None, size: tuple[int, int] | None = None
) -> Segmentation:
    """The photo at ``path``, segmented; settings that ``model`` does not have are left out.

    ``size`` is the label map's (width, height), the photo's own if None.
    """
    card = registry.card(model)
    settings = applicable_settings(card, rate, stride)
    features = cache.features(path, model, settings.output_stride if card.chooses_stride else None)
    timeouts.check()
    return cache.segmenter(model).decode(features, settings.atrous_rate, size)
