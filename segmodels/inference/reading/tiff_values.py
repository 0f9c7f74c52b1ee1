"""The values of one page of a TIFF, whatever their type: 12, 16, 32 bit, signed, with a decimal point, in planes.

Strips and tiles are unpacked by libtiff, which Pillow brings and which is used on strangers' files everywhere; but as
plain bytes, for Pillow's own reading of what is not 8-bit mixes up planes and loses all but the upper byte.
"""

import struct
from collections.abc import Sequence
from io import BytesIO
from math import ceil
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import TiffImageFile
from tifffile import TiffPage

from ..bounds import MAX_BYTES, PhotoError
from .tiff_structure import Page, compression_name

_PACKED = {1, 5, 8, 32946, 32773, 34925, 50000}
"""No compression, LZW, Deflate (twice), PackBits, LZMA and Zstandard: schemes for any bytes."""
_ROWS = 256
_CUT = "This TIFF is cut short: part of the picture is missing."


def has_values(page: TiffPage) -> bool:
    """Whether ``page_values`` is the way to read a page: grey and colours that Pillow would change or mix up."""
    if page.photometric not in (0, 1, 2) or page.compression not in _PACKED:
        return False
    plain = page.planarconfig == 1 and (page.photometric, page.samplesperpixel) in (
        (0, 1),
        (1, 1),
        (1, 2),
        (2, 3),
        (2, 4),
    )
    return not (plain and page.bitspersample in (1, 2, 4, 8) and page.sampleformat == 1)


def page_values(page: Page, file: IO[bytes], byte_order: str) -> NDArray[Any]:
    """The values of a page: (H, W), or (H, W, samples).

    Raises:
        PhotoError: if parts are missing, or it is packed or numbered in a way that is not read.
    """
    key = page.keyframe
    if key.compression not in _PACKED:
        raise PhotoError(f"This TIFF is packed by {compression_name(key)}, which cannot be read: save it as LZW first.")
    dtype = _number_type(key, byte_order)
    height, width, samples = key.imagelength, key.imagewidth, key.samplesperpixel
    if height * width * samples * key.bitspersample > 8 * MAX_BYTES:
        raise PhotoError(f"This TIFF cannot be decoded: its {samples} bands are too much together.")
    if key.planarconfig == 1 or samples == 1:
        values = _plane(key, file, page.offsets, page.byte_counts, samples, dtype)
        values = values[..., page.sample] if page.sample is not None else values
    else:
        each = len(page.offsets) // samples or 1
        if len(page.offsets) == 1:  # planes of a stack that is one block
            each, size = 1, page.byte_counts[0] // samples
            offsets: Sequence[int] = [page.offsets[0] + size * plane for plane in range(samples)]
            counts: Sequence[int] = [size] * samples
        else:
            offsets, counts = page.offsets, page.byte_counts
        wanted = range(min(samples, 4)) if page.sample is None else [page.sample]
        planes = [
            _plane(key, file, offsets[i * each : (i + 1) * each], counts[i * each : (i + 1) * each], 1, dtype)
            for i in wanted
        ]
        values = np.concatenate(planes, axis=-1)
    return values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values


def _number_type(page: TiffPage, byte_order: str) -> np.dtype[Any]:
    bits, kind = page.bitspersample, {1: "u", 2: "i", 3: "f", 4: "u"}.get(int(page.sampleformat))
    if isinstance(bits, int) and kind is not None:
        if bits in (8, 16, 32, 64) and (kind, bits) != ("f", 8):
            return np.dtype(f"{byte_order}{kind}{bits // 8}")
        if bits < 16 and kind == "u":
            return np.dtype(np.uint16 if bits > 8 else np.uint8)
    raise PhotoError(f"This TIFF holds numbers of a rare kind ({bits} bit), which cannot be read.")


def _plane(
    page: TiffPage, file: IO[bytes], offsets: Sequence[int], counts: Sequence[int], samples: int, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """(H, W, samples) of the strips or tiles at ``offsets``."""
    height, width, bits = page.imagelength, page.imagewidth, int(page.bitspersample)
    if page.is_tiled:
        tile_width, tile_height = int(page.tilewidth), int(page.tilelength)
        across, down = ceil(width / tile_width), ceil(height / tile_height)
    else:
        tile_width, tile_height = width, min(int(page.rowsperstrip), height)
        across, down = 1, ceil(height / tile_height)
        if len(offsets) == 1:  # one block, whatever its rows a strip are said to be
            tile_height, down = height, 1
    row_bytes = ceil(tile_width * samples * bits / 8)
    if len(offsets) < across * down or len(counts) < across * down:
        raise PhotoError(_CUT)
    offsets, counts = offsets[: across * down], counts[: across * down]
    if row_bytes * across * tile_height * down > MAX_BYTES * 2:
        raise PhotoError("This TIFF cannot be decoded: its tiles are larger than any picture may be.")
    rows = _unpacked(page, _segments(file, offsets, counts), (row_bytes, tile_height), (across, height))
    rows = rows.reshape(height, across, row_bytes)
    if bits % 8:
        return _from_bits(rows, tile_width * samples, bits).reshape(height, -1, samples)[:, :width].astype(dtype)
    values = _unpredicted(rows, int(page.predictor), samples, dtype)
    return values.reshape(height, across * tile_width, samples)[:, :width]


def _segments(file: IO[bytes], offsets: Sequence[int], counts: Sequence[int]) -> list[bytes]:
    if sum(counts) > MAX_BYTES:
        raise PhotoError("This TIFF cannot be decoded: its parts overlap.")
    segments = []
    for offset, count in zip(offsets, counts, strict=True):
        file.seek(offset)
        segments.append(file.read(count))
        if not count or len(segments[-1]) < count:
            raise PhotoError(_CUT)
    return segments


def _unpacked(page: TiffPage, segments: list[bytes], tile: tuple[int, int], grid: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, row bytes of all tiles across) uint8: the same strips or tiles in an 8-bit grey TIFF, unpacked by libtiff."""
    (row_bytes, tile_height), (across, height) = tile, grid
    if page.compression == 1 and across == 1 and page.fillorder == 1:
        data = np.frombuffer(b"".join(segments), dtype=np.uint8)
        if data.size < height * row_bytes:
            raise PhotoError(_CUT)
        return data[: height * row_bytes].reshape(height, row_bytes)
    entries = {
        256: across * row_bytes,
        257: height,
        258: 8,
        259: int(page.compression),
        262: 1,
        277: 1,
        266: int(page.fillorder),
    }
    entries |= {322: row_bytes, 323: tile_height} if page.is_tiled else {278: tile_height}
    where, lengths = (324, 325) if page.is_tiled else (273, 279)
    try:
        image = TiffImageFile(BytesIO(_tiff_of(entries, where, lengths, segments)))
        image.load()
    except (OSError, ValueError, SyntaxError) as error:
        raise PhotoError(f"This TIFF cannot be unpacked: its {compression_name(page)} data are damaged.") from error
    return np.asarray(image)


def _tiff_of(entries: dict[int, int], where: int, lengths: int, segments: list[bytes]) -> bytes:
    """A TIFF of these tags, with the offsets and lengths of the segments, which stand at its end."""
    count = len(segments)
    tables_at = 8 + 2 + 12 * (len(entries) + 2) + 4
    starts = tables_at + (8 * count if count > 1 else 0)
    offsets = [starts + sum_ for sum_ in np.cumsum([0, *map(len, segments)]).tolist()[:-1]]
    tables = {where: (offsets, tables_at), lengths: ([len(segment) for segment in segments], tables_at + 4 * count)}
    directory = struct.pack("<H", len(entries) + 2)
    for tag in sorted([*entries, where, lengths]):
        if tag in tables:
            numbers, at = tables[tag]
            directory += struct.pack("<HHII", tag, 4, count, at if count > 1 else numbers[0])
        else:
            directory += struct.pack("<HHII", tag, 4, 1, entries[tag])
    numbers_packed = b"".join(struct.pack(f"<{count}I", *tables[tag][0]) for tag in (where, lengths))
    return b"".join([b"II*\0\x08\0\0\0", directory, bytes(4), numbers_packed if count > 1 else b"", *segments])


def _from_bits(rows: NDArray[np.uint8], numbers: int, bits: int) -> NDArray[np.uint16]:
    """(H, tiles, numbers) of rows of bytes that hold ``bits`` each."""
    height, across = rows.shape[:2]
    values = np.empty((height, across, numbers), dtype=np.uint16)
    weights = (1 << np.arange(bits)[::-1]).astype(np.uint16)
    for top in range(0, height, _ROWS):
        some = np.unpackbits(rows[top : top + _ROWS], axis=2)[..., : numbers * bits]
        values[top : top + _ROWS] = some.reshape(*some.shape[:2], numbers, bits) @ weights
    return values


def _unpredicted(rows: NDArray[np.uint8], predictor: int, samples: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values of rows of bytes (H, tiles, row bytes), of which each may be told by its difference from the one before."""
    height, across, row_bytes = rows.shape
    native = dtype.newbyteorder("=")
    if predictor == 1:
        return np.ascontiguousarray(rows).view(dtype).astype(native, copy=False)
    pixels = row_bytes // (samples * dtype.itemsize)
    if predictor == 2:
        whole = np.dtype(f"u{dtype.itemsize}")
        steps = np.ascontiguousarray(rows).view(whole.newbyteorder(dtype.byteorder)).astype(whole)
        steps = steps.reshape(height, across, pixels, samples)
        return np.cumsum(steps, axis=2, dtype=whole).view(native)
    if predictor == 3 and dtype.kind == "f":
        values = np.empty((height, across, pixels * samples), dtype=native)
        for top in range(0, height, _ROWS):
            some = rows[top : top + _ROWS].reshape(-1, across, row_bytes // samples, samples)
            planes = np.cumsum(some, axis=2, dtype=np.uint8).reshape(-1, across, dtype.itemsize, pixels * samples)
            values[top : top + _ROWS] = np.ascontiguousarray(planes.swapaxes(2, 3)).view(f">f{dtype.itemsize}")[..., 0]
        return values
    raise PhotoError("This TIFF is packed in a rare way, which cannot be read: save it as LZW first.")
