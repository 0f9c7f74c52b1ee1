"""Segment an uploaded photo with a network at some settings, through the cache of features."""

from collections.abc import Collection
from typing import Any

from segmodels import Segmentation
from segmodels.crf.parameters import chosen_crf
from segmodels.inference.instances import has_instances
from segmodels.models import registry

from . import cache, timeouts
from .settings import applicable_settings


def segment_photo(
    path: str,
    model: str,
    rate: float | None,
    stride: int | None,
    size: tuple[int, int] | None = None,
    crf: Any = None,
    disabled: Collection[str] = (),
) -> Segmentation:
    """The photo at ``path``, segmented; settings that ``model`` does not have are left out.

    ``size`` is the label map's (width, height), the photo's own if None. ``crf`` is true, false, or parameters by name;
    it is left out for cells, which are parted by a line of two pixels that a CRF would wipe out.
    ``disabled`` names the parts of the network that are off.

    Raises:
        ValueError: with a sentence, for a photo or a setting that cannot be.
        OSError: if a file cannot be read.
    """
    card = registry.card(model)
    chosen = None if has_instances(card.class_list) else chosen_crf(crf)
    settings = applicable_settings(card, rate, stride)
    features = cache.features(path, model, settings.output_stride if card.chooses_stride else None)
    timeouts.check()
    shown = None if chosen is None else cache.display(path).photo if size else cache.photo(path).image
    return cache.segmenter(model).decode(
        features, settings.atrous_rate, size, crf=chosen, photo=shown, disabled=disabled
    )
