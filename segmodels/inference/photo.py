"""Any photo, from a file or from memory, as an upright RGB picture; or an error that a person understands.

Files come from strangers, so they are told apart by their first bytes, never by their name, and only the decoders of
common photo formats are ever reached. The size is judged by the header, before a pixel is decoded.
"""

import re
import stat
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import islice, product
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

# What Pillow remarks on odd files ends in a PhotoError or in a note where it matters; on stderr it would help nobody.
# Set once, for warnings.catch_warnings is not safe across threads.
warnings.filterwarnings("ignore", module=r"PIL\.(Image|\w+ImagePlugin)$")

MIN_SIDE = 32
"""Pixels; the networks' deepest features are 32 times smaller than the photo."""
MAX_SIDE = 65_535
"""Pixels; the longest side that a JPEG can have."""
MAX_PIXELS = 40_000_000
MAX_BYTES = 512 * 2**20
"""More than 40 megapixels of uncompressed 16-bit RGBA."""

_MAX_PROFILE_BYTES = 4 * 2**20  # press profiles take 2 to 3 MB
_MAX_SCANS = 100  # a progressive JPEG has about ten, and each costs a pass over the whole picture
_HEAD_BYTES = 1024
_FORMATS = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC"


class PhotoError(ValueError):
    """A photo cannot be used. The message is one plain sentence, fit to be shown: it names no path."""


@dataclass(frozen=True)
class Photo:
    """A photo as the networks see it.

    Attributes:
        image: upright, mode RGB, in sRGB colours, without metadata.
        notes: what was done that a viewer may wonder about, such as "transparent areas shown on white".
    """

    image: Image.Image
    notes: tuple[str, ...]


def read_photo(path: str | Path) -> Photo:
    """Read a photo of any common format and of 32x32 pixels to 40 megapixels, whatever its file is called.

    Of an animation the first frame is read, of a TIFF the first page.

    Raises:
        PhotoError: if there is no such file, it holds no picture of a known format, is broken or cut short, or the
            picture is too small or too large.
    """
    with _opened(Path(path)) as file:
        kind = _kind(file.read(_HEAD_BYTES))
        file.seek(0)
        with _explained(kind):
            image = _DECODERS[kind](file)
            _check_size(image.size)
            _check_promises(image, file)
            notes = _pages_note(image, kind)
            image.load()
            _check_whole(image, file)
            rgb, more_notes = _upright_rgb(image)
            _check_size(rgb.size)
    rgb.info = {}  # an orientation or a profile left here would be applied twice
    return Photo(rgb, (*notes, *more_notes))


def as_photo(image: Image.Image | NDArray[np.uint8]) -> Image.Image:
    """A picture in memory as an upright RGB picture of 32x32 pixels to 40 megapixels; itself if it is one already.

    Args:
        image: a PIL image of any mode, whose EXIF orientation, transparency and colour profile are respected, or an
            (H, W, 3) uint8 array of RGB.

    Raises:
        TypeError: if it is neither.
        ValueError: if an array has another shape or dtype; as PhotoError if the picture is too small, too large or
            cannot be decoded.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"a photo is an (H, W, 3) uint8 array of RGB, not {image.shape} {image.dtype}")
        _check_size((image.shape[1], image.shape[0]))
        return Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise TypeError(
            f"a photo is a PIL image or an (H, W, 3) uint8 array, not {type(image).__name__}; "
            "segmodels.inference.photo.read_photo reads files"
        )
    _check_size(image.size)
    with _explained("picture"):
        image.load()
        rgb, _ = _upright_rgb(image)
        if rgb is not image:
            rgb.info = {}
    return rgb


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file at ``path``, if it is one of a sensible size. A pipe or a device is never opened: it could block."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PhotoError("This is a folder, not a photo.")
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError("This is not an ordinary file.")
        if status.st_size == 0:
            raise PhotoError("The file is empty.")
        if status.st_size > MAX_BYTES:
            raise PhotoError(f"The file is larger than {MAX_BYTES // 2**20} MB.")
        file = path.open("rb")
    except FileNotFoundError:
        raise PhotoError("There is no such file.") from None
    except PhotoError:
        raise
    except (OSError, ValueError) as error:  # no permission, a name too long or with a NUL in it
        raise PhotoError("The file cannot be opened.") from error
    with file:
        yield file


@contextmanager
def _explained(kind: str) -> Iterator[None]:
    """Say in a sentence whatever goes wrong inside: decoders raise nearly anything on bad content."""
    try:
        yield
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError(f"There is not enough memory to read this {kind}.") from error
    except Exception as error:
        if isinstance(error, EOFError) or "truncated" in str(error).lower():
            raise PhotoError(f"This {kind} is cut short: part of the picture is missing.") from error
        raise PhotoError(f"This {kind} cannot be decoded: it is broken or of a rare kind.") from error


# --- What kind of file -------------------------------------------------------------------------------------------


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
_DECODERS: dict[str, Callable[[IO[bytes]], ImageFile]] = {
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


def _kind(head: bytes) -> str:
    """The key of the decoder for a file that begins with ``head``.

    Raises:
        PhotoError: if there is none, naming what the file is where that can be told.
    """
    for kind, brands in _BRANDS.items():
        if brands & _brands(head):
            return kind
    for signature, kind in _SIGNATURES.items():
        if re.match(signature, head.removeprefix(b"\xef\xbb\xbf"), re.DOTALL | re.IGNORECASE):
            if kind in _DECODERS:
                return kind
            raise PhotoError(f"This is {kind}, not a photo: please use {_FORMATS}.")
    if all(byte >= 32 or byte in b"\t\n\f\r" for byte in head):
        raise PhotoError(f"The file holds text, not a photo: please use {_FORMATS}.")
    raise PhotoError(f"The file is not a photo of a known format: please use {_FORMATS}.")


def _brands(head: bytes) -> set[bytes]:
    """What an ISO media file, such as AVIF or HEIC, declares itself to be; empty for others."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[start : start + 4] for start in range(16, end, 4))}


# --- What the header promises ------------------------------------------------------------------------------------


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if min(size) < MIN_SIDE:
        raise PhotoError(
            f"The picture is {width} x {height} pixels, and the smallest that can be used is {MIN_SIDE} x {MIN_SIDE}."
        )
    if width * height > MAX_PIXELS:
        raise PhotoError(
            f"The picture is {width:,} x {height:,} pixels, {width * height / 1e6:,.1f} megapixels; "
            f"at most {MAX_PIXELS // 10**6} megapixels can be read."
        )
    if max(size) > MAX_SIDE:
        raise PhotoError(f"The picture is {width:,} x {height:,} pixels; a side may have at most {MAX_SIDE:,}.")


def _check_promises(image: ImageFile, file: IO[bytes]) -> None:
    """Refuse what the size in pixels does not tell: work out of proportion, missing parts, a raw file's thumbnail."""
    if isinstance(image, TiffImageFile):
        _check_tiff(image)
    if isinstance(image, JpegImageFile):
        _check_jpeg(image, _whole(file))


def _check_tiff(image: TiffImageFile) -> None:
    subfile_type, tile_width, tile_height, sub_ifds, dng_version = 254, 322, 323, 330, 50706
    tags = image.tag_v2
    if dng_version in tags or (sub_ifds in tags and tags.get(subfile_type, 0) & 1):
        raise PhotoError(f"This is a camera's raw file, not a finished photo: please use {_FORMATS}.")
    if tags.get(tile_width, 0) * tags.get(tile_height, 0) > MAX_PIXELS:  # a whole tile is decoded even if little shows
        raise PhotoError("This TIFF cannot be decoded: its tiles are larger than any picture may be.")
    boxes = [tile.extents or (0, 0, 0, 0) for tile in image.tile]
    if sum((right - left) * (lower - upper) for left, upper, right, lower in boxes) < image.width * image.height:
        raise PhotoError("This TIFF is cut short: part of the picture is missing.")


def _check_jpeg(image: JpegImageFile, data: bytes) -> None:
    scans = (position for code, position in _jpeg_markers(data) if code == 0xDA)
    if data.rfind(b"\xff\xd9", next(scans, 0)) < 0:  # zeros in place of the rest, as failed copies have, decode too
        raise PhotoError("This JPEG is cut short: part of the picture is missing.")
    # Of 65 bytes a scan, a megabyte of scans would take minutes.
    if image.info.get("progressive") and len(list(islice(scans, _MAX_SCANS))) == _MAX_SCANS:
        raise PhotoError("This JPEG cannot be decoded: it is made of too many scans.")


def _jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """The (code, position) of each marker up to the end marker, without those inside of a scan."""
    end = 2
    while marker := _JPEG_MARKER.search(data, end):
        yield marker[1][0], marker.start()
        if marker[1] == b"\xd9":
            return
        end = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")


_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")


def _whole(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _pages_note(image: ImageFile, kind: str) -> list[str]:
    """A remark on what else is in the file."""
    try:
        several = bool(getattr(image, "is_animated", False))
    except Exception:  # a broken second frame is no matter
        several = False
    names = {"TIFF": "first of several pages", "HEIC": "main one of several pictures"}
    return [names.get(kind, "first frame of an animation")] if several else []


# --- What was left undecoded without a word ------------------------------------------------------------------------


def _check_whole(image: ImageFile, file: IO[bytes]) -> None:
    """Refuse a picture cut short and properly closed again, whose missing end is decoded as one flat colour.

    A bottom row of that colour may be meant, so it only calls for a closer look.
    """
    bottom = image.crop((0, image.height - 1, image.width, image.height)).tobytes()
    if isinstance(image, JpegImageFile):
        incomplete = bottom.count(128) == len(bottom) and _is_incomplete_jpeg(image, _whole(file))
    else:
        incomplete = isinstance(image, PngImageFile) and not any(bottom) and _is_incomplete_png(_whole(file))
    if incomplete:
        raise PhotoError(f"This {image.format} is cut short: part of the picture is missing.")


def _is_incomplete_jpeg(image: JpegImageFile, data: bytes) -> bool:
    """Whether bytes put before the end marker change the picture: then they were decoded in place of missing ones."""
    end = next((position for code, position in _jpeg_markers(data) if code == 0xD9), len(data))
    longer = JpegImageFile(BytesIO(data[:end] + b"\x5a" * 4096 + data[end:]))
    return longer.tobytes() != image.tobytes()


def _is_incomplete_png(data: bytes) -> bool:
    """Whether the compressed pixels of a PNG end before its last row does."""
    width, height, depth, colour_type = struct.unpack_from(">IIBB", data, 16)
    missing: int = height * (width * depth * _PNG_CHANNELS[colour_type] // 8)
    inflate, start = zlib.decompressobj(), 8
    while missing > 0 and start < len(data):
        (length,) = struct.unpack_from(">I", data, start)
        compressed = data[start + 8 : start + 8 + length] if data[start + 4 : start + 8] == b"IDAT" else b""
        while compressed and missing > 0:
            missing -= len(inflate.decompress(compressed, 2**20))
            compressed = inflate.unconsumed_tail
        start += 12 + length
    return missing > 0


_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


# --- To upright RGB ----------------------------------------------------------------------------------------------


def _upright_rgb(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """The picture in sRGB as it is meant to be seen, and what was done to that end; itself if nothing was."""
    method = _orientation(image)
    profile = image.info.get("icc_profile")
    image, notes = _flat_eight_bit(image)
    image, colour_notes = _in_srgb(image, profile)
    if method is not None:
        image = image.transpose(method)
    return image, notes + colour_notes


_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """How to turn the picture upright. Broken EXIF says nothing of that."""
    try:
        return _TRANSPOSE.get(image.getexif().get(0x0112, 1))
    except Exception:
        return None


def _flat_eight_bit(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """The picture in one of the modes L, RGB, CMYK and LAB."""
    if image.mode == "La":  # which converts to nothing else
        image = image.convert("LA")
    if image.mode.startswith("I;16"):
        values = np.asarray(image) >> 8  # as Pillow does with 16-bit RGB
        return Image.fromarray(values.astype(np.uint8)), ["16-bit grey scaled to 8 bit"]
    if image.mode in ("I", "F"):
        return Image.fromarray(_eight_bit(np.asarray(image, dtype=np.float32))), ["grey values scaled to 8 bit"]
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB"), []


def _eight_bit(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Grey (H, W) of no declared range as 0 to 255: of the usual ranges, the smallest that fits is taken."""
    finite = np.isfinite(values)
    low = float(values.min(where=finite, initial=np.inf)) if finite.any() else 0.0
    high = float(values.max(where=finite, initial=low))
    if low >= 0:
        low, high = 0.0, next((top for top in (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0) if high <= top), high)
    scaled = np.nan_to_num(values.astype(np.float64), copy=False, nan=low, posinf=high, neginf=low)
    scaled -= low
    scaled *= 255 / ((high - low) or 1)
    return np.rint(scaled, out=scaled).astype(np.uint8)


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
