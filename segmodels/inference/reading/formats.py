"""Which format a file is of, by its first bytes, and the decoder for it."""

import re
from collections.abc import Callable
from typing import IO

from PIL import features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ..bounds import FORMATS, PhotoError

HEAD_BYTES = 1024
"""Of a file, as many as tell its format."""


def _heif(file: IO[bytes]) -> ImageFile:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise PhotoError(
            "This is a HEIC picture, which cannot be read without pillow-heif: save it as JPEG first."
        ) from None
    image: ImageFile = HeifImageFile(file)
    return image


def _avif(file: IO[bytes]) -> ImageFile:
    if not features.check("avif"):
        raise PhotoError("This is an AVIF picture, which this Pillow cannot read: save it as JPEG first.")
    return AvifImageFile(file)


# Called directly: Image.open would try others, warn on large pictures, and consult the file's name.
DECODERS: dict[str, Callable[[IO[bytes]], ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
    "AVIF": _avif,
    "HEIC": _heif,
}

_SIGNATURES = {
    rb"\xff\xd8\xff": "JPEG",
    rb"\x89PNG\r\n\x1a\n": "PNG",
    rb"RIFF....WEBP": "WebP",
    rb"GIF8[79]a": "GIF",
    rb"BM": "BMP",
    rb"II\*\0....CR|II\x55\0|IIR[OS]|....ftypcrx ": "a camera's raw file",
    rb"II[*+]\0|MM\0[*+]": "TIFF",
    rb"....ftyp(jp2|jpx)|\0\0\0\x0cjP  |\xff\x4f\xff\x51": "a JPEG 2000 picture",
    rb"\xff\x0a|\0\0\0\x0cJXL ": "a JPEG XL picture",
    rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01\xba": "a video",
    rb"\0\0\x01\0": "an icon",
    rb"8BPS": "a Photoshop document",
    rb"%!PS|\xc5\xd0\xd3\xc6": "a PostScript document",
    rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!": "a compressed archive",
    rb".{0,1000}%PDF-": "a PDF document",
    rb".{0,1000}<svg[\s>]": "an SVG drawing",
    rb"\s*(<!doctype html|<html)": "a web page",
}
_BRANDS = {
    "AVIF": {b"avif", b"avis"},
    "HEIC": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"},
}


def kind_of(head: bytes) -> str:
    """The key of the decoder for a file that begins with ``head``.

    Raises:
        PhotoError: if there is none, naming what the file is where that can be told.
    """
    for kind, brands in _BRANDS.items():
        if brands & _brands(head):
            return kind
    for signature, kind in _SIGNATURES.items():
        if re.match(signature, head.removeprefix(b"\xef\xbb\xbf"), re.DOTALL | re.IGNORECASE):
            if kind in DECODERS:
                return kind
            raise PhotoError(f"This is {kind}, not a photo: please use {FORMATS}.")
    if all(byte >= 32 or byte in b"\t\n\f\r" for byte in head):
        raise PhotoError(f"The file holds text, not a photo: please use {FORMATS}.")
    raise PhotoError(f"The file is not a photo of a known format: please use {FORMATS}.")


def _brands(head: bytes) -> set[bytes]:
    """What an ISO media file, such as AVIF or HEIC, declares itself to be; empty for others."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[start : start + 4] for start in range(16, end, 4))}
