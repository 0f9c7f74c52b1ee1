"""The part of a photo that is in view, at the photo's own pixels: what is zoomed into stays sharp."""

from typing import Any

import numpy as np
from PIL import Image

from segmodels.models import registry

from ..components import markup
from ..components.photo_overlay import label_png
from ..server import cache, timeouts
from ..server.inference import segment_photo
from ..server.inference_queue import Answer
from ..server.messages import NOT_A_QUESTION

SIDE = 1280
"""Pixels: the longer side of what is sent. A part that has more is made smaller."""


def part(question: dict[str, Any]) -> Answer:
    """Return what the browser draws over the pictures: ``{"box", "labels", "photo"}``.

    ``question`` is one that ``tab.show`` answers, with ``part``: [left, top, right, bottom] in the photo's pixels. ``box`` is
    the same as shares of the photo.

    Raises:
        ValueError: with a sentence, for a photo or a setting that cannot be.
        OSError: if a file cannot be read.
    """
    try:
        path, model = str(question["photo"]["path"]), str(question["model"])
        rate, stride, crf = question["rate"], question["stride"], question.get("crf") is True
        left, top, right, bottom = (int(end) for end in question["part"])
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError):
        raise ValueError(NOT_A_QUESTION) from None
    photo = cache.photo(path).image
    width, height = photo.size
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(NOT_A_QUESTION)
    timeouts.check()
    disabled = registry.card(model).disabled_by(str(question.get("variant")))
    result = segment_photo(path, model, rate, stride, crf=crf, disabled=disabled)
    box = (left, top, right, bottom)
    scale = min(SIDE / max(right - left, bottom - top), 1)
    size = (max(round((right - left) * scale), 1), max(round((bottom - top) * scale), 1))
    pixels = photo.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=2.0)
    labels = Image.fromarray(result.labels[top:bottom, left:right]).resize(size, Image.Resampling.NEAREST)
    return {
        "box": [left / width, top / height, right / width, bottom / height],
        "labels": label_png(np.asarray(labels)),
        "photo": markup.data_url(pixels, "JPEG", quality=90),
    }
