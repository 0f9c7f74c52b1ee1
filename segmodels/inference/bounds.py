"""How large and how small a photo may be, and the error that says what is wrong with one."""

from ..labels import MAX_PIXELS as MAX_PIXELS

MIN_SIDE = 32
"""Pixels; the networks' deepest features are 32 times smaller than the photo."""
MAX_SIDE = 65_535
"""Pixels; the longest side that a JPEG can have."""
MAX_BYTES = 512 * 2**20
"""More than 40 megapixels of uncompressed 16-bit RGBA."""

FORMATS = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC"
"""What can be read."""


class PhotoError(ValueError):
    """A photo cannot be used. The message is one plain sentence, fit to be shown: it names no path."""


def check_size(size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> None:
    """Raise PhotoError unless a picture of ``size``, (width, height) in pixels, can be used."""
    width, height = size
    if min(size) < MIN_SIDE:
        raise PhotoError(
            f"The picture is {width} x {height} pixels, and the smallest that can be used is {MIN_SIDE} x {MIN_SIDE}."
        )
    if width * height > max_pixels:
        raise PhotoError(
            f"The picture is {width:,} x {height:,} pixels, {width * height / 1e6:,.1f} megapixels; "
            f"at most {max_pixels // 10**6} megapixels can be read."
        )
    if max(size) > MAX_SIDE:
        raise PhotoError(f"The picture is {width:,} x {height:,} pixels; a side may have at most {MAX_SIDE:,}.")
