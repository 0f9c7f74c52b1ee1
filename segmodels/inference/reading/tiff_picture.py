"""One page of a TIFF as a picture of eight bits a channel."""

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import TiffPage

from .deep import Range, as_image
from .tiff_structure import Page


def tag_value(page: TiffPage, tag: int, default: Any) -> Any:
    """What the page's tag holds; ``default`` if it has none that can be read."""
    with suppress(Exception):
        return page.tags[tag].value
    return default


def tiff_image(values: NDArray[Any], page: Page, own: Range | None) -> tuple[Image.Image, list[str]]:
    """The (H, W) or (H, W, samples) values of a page as a picture of mode L, RGB or RGBA, and what was done."""
    key = page.keyframe
    min_is_white, rgb = 0, 2
    colours, alpha, notes = values, None, []
    if values.ndim == 3:
        bands = int(key.samplesperpixel)
        wanted = 3 if bands >= 3 else 1
        if bands > wanted and tuple(key.extrasamples)[:1] in ((1,), (2,)):
            alpha = values[..., wanted]
        elif bands > wanted or key.photometric != rgb:
            notes.append(
                f"bands 1, 2 and 3 of {bands} shown as red, green and blue" if wanted == 3 else f"band 1 of {bands}"
            )
        colours = values[..., :3] if wanted == 3 else values[..., 0]
    if own is None and key.photometric == rgb and values.dtype == np.uint16 and tag_value(key, 34675, None):
        own = (0.0, 65535.0)  # a photo whose colour profile says what its numbers mean
    image, more_notes = as_image(colours, alpha, own, _no_data(key), inverted=key.photometric == min_is_white)
    return image, [*notes, *more_notes]


def _no_data(page: TiffPage) -> float | None:
    """The value that GDAL says stands for no data."""
    with suppress(TypeError, ValueError):
        return float(str(tag_value(page, 42113, "")).strip("\0 "))
    return None
