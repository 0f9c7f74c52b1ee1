"""Any picture as it is meant to be seen: upright, flat, eight bits a channel, in sRGB."""

import re
from contextlib import suppress
from io import BytesIO
from itertools import product

import numpy as np
from PIL import Image, ImageChops, ImageCms

from .reading.display_range import eight_bit

_MAX_PROFILE_BYTES = 4 * 2**20  # press profiles take 2 to 3 MB


def upright_rgb(image: Image.Image, display_range: tuple[float, float] | None = None) -> tuple[Image.Image, list[str]]:
    """The picture in sRGB as it is meant to be seen, and what was done to that end; itself if nothing was.

    ``display_range`` are the values to show as black and as white, where there are more than eight bits a channel.
    """
    method = turn_of(image)
    profile = image.info.get("icc_profile")
    image, notes = _flat_eight_bit(image, display_range)
    image, more_notes = in_srgb(image, profile, method)
    return image, notes + more_notes


def in_srgb(image: Image.Image, profile: object, turn: Image.Transpose | None) -> tuple[Image.Image, list[str]]:
    """A picture of eight bits a channel as RGB in sRGB, turned upright, and what was done to that end."""
    image, notes = _flat_eight_bit(image)
    image, colour_notes = _in_srgb(image, profile)
    return image if turn is None else image.transpose(turn), notes + colour_notes


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a photo upright, by the EXIF orientation in its file."""

SIDEWAYS = tuple(TURNS[orientation] for orientation in range(5, 9))
"""Those that swap width and height."""


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """How to turn the picture upright. Broken EXIF says nothing of that."""
    try:
        return TURNS.get(image.getexif().get(0x0112, 1))
    except Exception:
        return None


def _flat_eight_bit(
    image: Image.Image, display_range: tuple[float, float] | None = None
) -> tuple[Image.Image, list[str]]:
    """The picture in one of the modes L, RGB, CMYK and LAB."""
    if image.mode == "La":  # which converts to nothing else
        image = image.convert("LA")
    if image.mode.startswith("I;16"):
        values, notes = eight_bit(np.asarray(image).astype(np.uint16, copy=False), display_range)
        return Image.fromarray(values), notes
    if image.mode in ("I", "F"):
        values, notes = eight_bit(np.asarray(image), display_range)
        return Image.fromarray(values), notes
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB"), []


def _on_white(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """An RGBA picture as it looks on white paper, whatever colours its transparent pixels hide."""
    if image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB"), []
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white, ["transparent areas shown on white"]


def _in_srgb(image: Image.Image, profile: object) -> tuple[Image.Image, list[str]]:
    """A picture of mode L, RGB, CMYK or LAB as RGB in sRGB. A broken or unfit colour profile is ignored."""
    if image.mode == "LAB":
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        return _transform(lab, "LAB").apply(image), ["colours converted from Lab"]
    if isinstance(profile, bytes) and len(profile) <= _MAX_PROFILE_BYTES:
        with suppress(Exception):
            return _through_profile(image, profile)
    notes = ["colours converted from CMYK"] if image.mode == "CMYK" else []
    return image if image.mode == "RGB" else image.convert("RGB"), notes


def _through_profile(image: Image.Image, data: bytes) -> tuple[Image.Image, list[str]]:
    """The same of a picture of mode L, RGB or CMYK whose colours mean what its profile says.

    Raises:
        Exception: of many kinds, if the profile is broken or made for another mode.
    """
    profile = ImageCms.ImageCmsProfile(BytesIO(data))
    if image.mode in _PROBES and _is_like_srgb(profile, _PROBES[image.mode]):  # most are, and then this is faster
        return image if image.mode == "RGB" else image.convert("RGB"), []
    # The name comes from the file and may be shown on a page.
    name = re.sub(r"[^\w .,()+-]", "", profile.profile.profile_description or "", flags=re.ASCII).strip()[:40]
    return _transform(profile, image.mode).apply(image), [f"colours converted from {name or 'another colour space'}"]


def _transform(
    profile: ImageCms.ImageCmsProfile, mode: str, flags: ImageCms.Flags = ImageCms.Flags.NONE
) -> ImageCms.ImageCmsTransform:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return ImageCms.ImageCmsTransform(profile, srgb, mode, "RGB", flags=flags)


def _is_like_srgb(profile: ImageCms.ImageCmsProfile, probe: Image.Image) -> bool:
    """Whether no colour of the probe moves by more than two levels of 255: rounding, not a difference to be seen."""
    transform = _transform(profile, probe.mode, ImageCms.Flags.NOOPTIMIZE)  # made in a quarter of the time
    moved = ImageChops.difference(transform.apply(probe), probe.convert("RGB"))
    return int(np.asarray(moved).max()) <= 2


_PROBES = {
    "L": Image.frombytes("L", (256, 1), bytes(range(256))),
    "RGB": Image.frombytes(
        "RGB", (125, 1), bytes(value for rgb in product((0, 64, 128, 192, 255), repeat=3) for value in rgb)
    ),
}
