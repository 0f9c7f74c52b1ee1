"""Pictures that are cut short, or that ask for work out of proportion: what decoders do not say."""

import re
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from typing import IO

from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from ..bounds import MAX_PIXELS, PhotoError

_MAX_SCANS = 100  # a progressive JPEG has about ten, and each costs a pass over the whole picture


def check_promises(image: ImageFile, file: IO[bytes]) -> None:
    """Refuse what the size in pixels does not tell: work out of proportion, missing parts."""
    if isinstance(image, TiffImageFile):
        _check_tiff(image)
    if isinstance(image, JpegImageFile):
        _check_jpeg(image, _whole(file))


def _check_tiff(image: TiffImageFile) -> None:
    tile_width, tile_height = 322, 323
    tags = image.tag_v2
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


def pages_note(image: ImageFile, kind: str) -> list[str]:
    """A remark on what else is in the file."""
    try:
        several = bool(getattr(image, "is_animated", False))
    except Exception:  # a broken second frame is no matter
        several = False
    return ["main one of several pictures" if kind == "HEIC" else "first frame of an animation"] if several else []


def check_whole(image: ImageFile, file: IO[bytes]) -> None:
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
