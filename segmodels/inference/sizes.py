"""The size at which a network sees a photo."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..models.card import Card
from .settings import WORKING_SIZES

REDUCING_GAP = 2.0
"""A photo is first reduced, by averaging whole pixels, to no less than this many times the size it is wanted at."""


CORNER_STRIDE = 16
"""With ``align_corners`` sides are a multiple of this plus 1, so that at this stride the last cell lies on the last pixel."""

LARGEST_WHOLE = 1024
"""Pixels of the longer side up to which a picture from a microscope is seen at once. A larger one is seen in tiles; where
that cannot be, as on the page, it is made smaller."""


def network_input_size(
    card: Card, align_corners: bool, size: tuple[int, int], working_size: int | None = None
) -> tuple[int, int]:
    """The (width, height) at which the network of ``card`` sees a photo of ``size``, as on the card if no size is given."""
    if working_size is None and card.microscopy:
        return fit_working_size(size, min(max(size), LARGEST_WHOLE))
    if working_size is None and card.short_side:
        return fit_short_side(size, card.short_side)
    return fit_working_size(size, working_size or card.working_size, align_corners)


def fit_working_size(size: tuple[int, int], working_size: int, align_corners: bool = False) -> tuple[int, int]:
    """(width, height) scaled so that the longer side is ``working_size``; neither side falls below 32 pixels.

    With ``align_corners`` both sides become ``16 k + 1``, the nearest.
    """
    scale = working_size / max(size)
    if align_corners:
        width, height = (max(round((side * scale - 1) / CORNER_STRIDE), 2) * CORNER_STRIDE + 1 for side in size)
        return width, height
    return max(round(size[0] * scale), 32), max(round(size[1] * scale), 32)


def fit_short_side(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """(width, height) scaled so that the shorter side is ``short_side``, rounded as by torchvision's ``Resize``.

    A photo so long that its longer side would exceed the largest working size gets that instead.
    """
    shorter, longer = min(size), max(size)
    fitted = short_side * longer // shorter
    if fitted > WORKING_SIZES[1]:
        return fit_working_size(size, WORKING_SIZES[1])
    return (fitted, short_side) if size[0] > size[1] else (short_side, fitted)


def resize_photo(photo: Image.Image, size: tuple[int, int]) -> Tensor:
    """An RGB photo at ``size`` (width, height) as (H, W, 3) pixels, interpolated bilinearly with antialiasing.

    torch is three times as fast as Pillow and rounds one value in two thousand otherwise; but Pillow has the faster way
    with a photo that is many times larger, and needs no copy of it.
    """
    if min(photo.width / size[0], photo.height / size[1]) >= 2 * REDUCING_GAP:
        photo = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    pixels = torch.from_numpy(np.array(photo))
    if photo.size == size:
        return pixels
    channels_first = pixels.permute(2, 0, 1)[None]
    smaller = torch.nn.functional.interpolate(channels_first, size[::-1], mode="bilinear", antialias=True)
    return smaller[0].permute(1, 2, 0)
