"""Which format a file is of, by its first bytes, and the decoder for it."""

import re
import zlib
from collections.abc import Callable
from contextlib import suppress
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

VOLUMES = ("DICOM", "NIfTI")
"""What optional packages read."""

_NIFTI = rb"(\x5c\x01\0\0|\0\0\x01\x5c).{340}n[i+]1\0|(\x1c\x02\0\0|\0\0\x02\x1c)n[i+]2\0"

_SIGNATURES = {
    rb"\xff\xd8\xff": "JPEG",
    rb"\x89PNG\r\n\x1a\n": "PNG",
    rb"RIFF....WEBP": "WebP",
    rb"GIF8[79]a": "GIF",
    rb"BM": "BMP",
    rb"II\*\0....CR|II\x55\0|IIR[OS]|MMOR|....ftypcrx |FUJIFILMCCD-RAW|II\x1a\0\0\0HEAPCCDR|\0MRM|FOVb": "a camera's raw file",
    rb"II[*+]\0|MM\0[*+]": "TIFF",
    rb"....ftyp(jp2|jpx)|\0\0\0\x0cjP  |\xff\x4f\xff\x51": "a JPEG 2000 picture",
    rb"\xff\x0a|\0\0\0\x0cJXL ": "a JPEG XL picture",
    rb"....ftyp(mif|msf|miaf|hei|j2i|avc[is])": "a HEIF picture of a kind that cannot be read",
    rb".{128}DICM": "DICOM",
    _NIFTI: "NIfTI",
    rb"ZISRAW": "a CZI file of a Zeiss microscope",
    rb"\xda\xce\xbe\x0a": "an ND2 file of a Nikon microscope",
    rb"\x70\0\0\0....\x2a": "a LIF file of a Leica microscope",
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an OIB, ZVI or Office file",
    rb"\x89HDF\r\n\x1a\n": "an HDF5 file, such as those of Imaris",
    rb"NRRD0": "an NRRD file",
    rb"SIMPLE  =": "a FITS file of a telescope",
    rb".{208}MAP ": "an MRC file of an electron microscope",
    rb"v/1\x01|#\?RADIANCE|#\?RGBE": "a picture of high dynamic range (OpenEXR or Radiance)",
    rb"\x93NUMPY": "a numpy array",
    rb"P[1-7]\s": "a Netpbm picture",
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
    head = _unzipped(head)
    for kind, brands in _BRANDS.items():
        if brands & _brands(head):
            return kind
    for signature, kind in _SIGNATURES.items():
        if re.match(signature, head.removeprefix(b"\xef\xbb\xbf"), re.DOTALL | re.IGNORECASE):
            if kind in DECODERS or kind in VOLUMES:
                return kind
            raise PhotoError(f"This is {kind}, not a photo: please use {FORMATS}.")
    if all(byte >= 32 or byte in b"\t\n\f\r" for byte in head):
        raise PhotoError(f"The file holds text, not a photo: please use {FORMATS}.")
    raise PhotoError(f"The file is not a photo of a known format: please use {FORMATS}.")


def _unzipped(head: bytes) -> bytes:
    """The beginning of a NIfTI file, which mostly comes compressed, as it is without that; others as they are."""
    if head.startswith(b"\x1f\x8b"):
        with suppress(zlib.error):
            inner = zlib.decompressobj(31).decompress(head, HEAD_BYTES)
            return inner if re.match(_NIFTI, inner, re.DOTALL) else head
    return head


def _brands(head: bytes) -> set[bytes]:
    """What an ISO media file, such as AVIF or HEIC, declares itself to be; empty for others."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[start : start + 4] for start in range(16, end, 4))}
