"""Pictures of more than eight bits a channel, as eight."""

from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile

from .display_range import eight_bit

_LOWER = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}
"""What gives the lower bytes of the 16-bit PNGs of which Pillow keeps the upper ones."""

Range = tuple[float, float]


def png_values(image: ImageFile, file: IO[bytes]) -> NDArray[np.uint16] | None:
    """The values of a PNG of 16-bit colours, or of grey with transparency: (H, W, channels); None for other pictures.

    It is decoded twice, as Pillow would and for the lower bytes.
    """
    if not isinstance(image, PngImageFile) or len(image.tile) != 1 or "transparency" in image.info:
        return None
    packed = image.tile[0].args
    if packed not in _LOWER:
        return None
    file.seek(0)
    lower = PngImageFile(file)
    lower.tile = [lower.tile[0]._replace(args=_LOWER[packed])]
    lower.load()
    image.load()
    low = np.asarray(lower)
    if packed == "LA;16B":  # two bytes of grey, two of transparency
        return np.stack([low[..., at].astype(np.uint16) << 8 | low[..., at + 1] for at in (0, 2)], axis=-1)
    values = np.asarray(image).astype(np.uint16)
    values <<= 8
    values |= low
    return values


def own_range(image: Image.Image) -> Range | None:
    """0 to 65,535 for colours in a named colour space, which says what their numbers mean: these are photos."""
    return (0.0, 65535.0) if image.mode.startswith("RGB") and {"icc_profile", "srgb"} & image.info.keys() else None


def as_image(
    colours: NDArray[Any],
    alpha: NDArray[Any] | None = None,
    own: Range | None = None,
    no_data: float | None = None,
    inverted: bool = False,
) -> tuple[Image.Image, list[str]]:
    """(H, W) grey or (H, W, 3) colours of any real type as a picture of eight bits a channel, and what was done.

    ``alpha`` is (H, W), from 0 to the largest number of its type, or to 1 if it has a decimal point.
    """
    shown, notes = eight_bit(colours, own, no_data, inverted)
    if alpha is None:
        return Image.fromarray(np.ascontiguousarray(shown)), notes
    most = 1.0 if alpha.dtype.kind == "f" else float(np.iinfo(alpha.dtype).max)
    opaque = np.rint(np.nan_to_num(alpha / most).clip(0, 1) * 255).astype(np.uint8)
    channels = [shown[..., at] for at in range(3)] if shown.ndim == 3 else [shown] * 3
    return Image.fromarray(np.stack([*channels, opaque], axis=-1)), notes
