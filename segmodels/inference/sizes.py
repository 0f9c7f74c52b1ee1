"""The size at which a network sees a photo."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..models.registry import Card
from .settings import WORKING_SIZES

REDUCING_GAP = 2.0
"""A photo is first reduced, by averaging whole pixels, to no less than this many times the size it is wanted at."""


CORNER_STRIDE = 16
"""With ``align_corners`` sides are a multiple of this plus 1, so that at this stride the last cell lies on the last pixel."""


def network_input_size(
    card: Card, align_corners: bool, size: tuple[int, int], working_size: int | None = None
) -> tuple[int, int]:
    """Return the size at which the network of ``card`` sees a photo.

    Args:
        card: the network's card.
        align_corners: where the network's cells lie.
        size: (width, height) of the photo, in pixels.
        working_size: the longer side, in pixels; as on the card if None.

    Returns:
        (width, height) of the network's input, in pixels.
    """
    if working_size is None and card.short_side:
        return fit_short_side(size, card.short_side)
    return fit_working_size(size, working_size or card.working_size, align_corners)


def fit_working_size(size: tuple[int, int], working_size: int, align_corners: bool = False) -> tuple[int, int]:
    """Scale a size so that the longer side is ``working_size``. Neither side becomes smaller than 32 pixels.

    Args:
        size: (width, height), in pixels.
        working_size: the wanted longer side, in pixels.
        align_corners: whether both sides are to be of the form ``16 k + 1``.

    Returns:
        (width, height), in pixels.
    """
    scale = working_size / max(size)
    if align_corners:
        width, height = (max(round((side * scale - 1) / CORNER_STRIDE), 2) * CORNER_STRIDE + 1 for side in size)
        return width, height
    return max(round(size[0] * scale), 32), max(round(size[1] * scale), 32)


def fit_short_side(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Scale a size so that the shorter side is ``short_side``, rounded as torchvision's ``Resize`` does.

    If the longer side would then exceed the largest working size, that becomes the longer side instead.

    Args:
        size: (width, height), in pixels.
        short_side: the wanted shorter side, in pixels.

    Returns:
        (width, height), in pixels.
    """
    shorter, longer = min(size), max(size)
    fitted = short_side * longer // shorter
    if fitted > WORKING_SIZES[1]:
        return fit_working_size(size, WORKING_SIZES[1])
    return (fitted, short_side) if size[0] > size[1] else (short_side, fitted)


def resize_photo(photo: Image.Image, size: tuple[int, int]) -> Tensor:
    """Resize an RGB photo bilinearly with antialiasing.

    torch is three times as fast as Pillow and rounds one value in two thousand differently. Pillow is faster with a
    photo that is many times larger, and needs no copy of it.

    Args:
        photo: the photo.
        size: the wanted (width, height), in pixels.

    Returns:
        uint8 pixels, (height, width, 3).
    """
    if min(photo.width / size[0], photo.height / size[1]) >= 2 * REDUCING_GAP:
        photo = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    pixels = torch.from_numpy(np.array(photo))
    if photo.size == size:
        return pixels
    channels_first = pixels.permute(2, 0, 1)[None]
    smaller = torch.nn.functional.interpolate(channels_first, size[::-1], mode="bilinear", antialias=True)
    return smaller[0].permute(1, 2, 0)
