"""What is in a TIFF: its pictures, by page, channel, z and t. Read by tifffile, which knows how microscopes write.

Files come from strangers, and tifffile believes what a file says of itself: it opens other files that are named inside,
and makes lists as long as a stack claims to be. So numbers are bounded before it is asked.
"""

import logging
import re
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import IO, Any

import numpy as np
import tifffile
from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

from ..bounds import FORMATS, PhotoError

# It logs what is odd in a file. What matters ends in a PhotoError or in a note; on stderr it would help nobody.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

MAX_PAGES = 20_000
_MAX_NUMBERS = 1_000_000
"""In one tag, and tags in one file: tile offsets of the largest picture are a sixth of it."""
_MAX_TEXT = 16 * 2**20
"""Bytes of a description; OME-XML of a large stack takes a few megabytes."""

_AXES = {"T": "t", "Z": "z", "C": "channel"}
"""tifffile's letters by the names that people use; all others count pages."""
_FOREIGN = ("mmstack", "ndtiff", "fluoview", "sis", "scn", "qpi", "bif", "avs", "eer", "philips", "scanimage", "nih")
"""Makers' formats that are read as what they are too: pages, OME or ImageJ stacks."""
_NUMBERS = {1: 0, 2: 0, 7: 0, 6: 0, 3: 2, 8: 2, 4: 4, 9: 4, 11: 4, 13: 4, 5: 8, 10: 8, 12: 8, 16: 8, 17: 8, 18: 8}
"""Bytes of a number of each type of tag; 0 for text and bytes, which are kept as such."""


@dataclass(frozen=True)
class Page:
    """One picture of a TIFF.

    Attributes:
        keyframe: the page that says of what kind it is.
        offsets: where its compressed strips or tiles begin in the file.
        byte_counts: how long each is.
        index: its place in the chain of pages; None where only the first of a stack has one.
        sample: the one channel to take of those that its pixels hold; None for all.
        own_range: the display range that the file gives.
        notes: which picture it is of how many.
    """

    keyframe: TiffPage
    offsets: Sequence[int]
    byte_counts: Sequence[int]
    index: int | None
    sample: int | None
    own_range: tuple[float, float] | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PixelSize:
    """How large a pixel is, as microscopes write it."""

    per_unit: tuple[float, float]
    """Pixels in a unit of length, across and down."""
    unit: str
    spacing: float | None = None
    """From one picture to the next along z, in that unit."""


def imagej_options(pixel_size: PixelSize | None, **metadata: str) -> dict[str, Any]:
    """Return ``pixel_size``, if it is known, and ``metadata`` as arguments of ``tifffile.imwrite(..., imagej=True)``."""
    if pixel_size is None:
        return {"metadata": metadata}
    spacing = {} if pixel_size.spacing is None else {"spacing": pixel_size.spacing}
    return {"resolution": pixel_size.per_unit, "metadata": {"unit": pixel_size.unit, **spacing, **metadata}}


class TiffStack:
    """The pictures of an open TIFF.

    Attributes:
        axes: how many there are along page, channel, z and t, of those that are more than one.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Raise PhotoError, or what tifffile raises, if the file cannot be understood."""
        _check_directories(file)
        file.seek(0)
        foreign = {f"is_{kind}": False for kind in _FOREIGN}
        self._tiff = TiffFile(file, _multifile=False, **foreign)  # type: ignore[arg-type]
        if not _is_sane(self._tiff):
            file.seek(0)
            foreign |= {f"is_{kind}": False for kind in ("ome", "imagej", "shaped", "stk", "lsm")}
            self._tiff = TiffFile(file, _multifile=False, **foreign)  # type: ignore[arg-type]
        check_raw(self._tiff.pages.first)
        series = self._tiff.series
        pictures = [one for one in series if _is_picture(one.keyframe)] or series[:1]
        if not pictures:
            raise PhotoError("This TIFF holds no picture.")
        self._series = pictures[0]
        self.others = len(pictures) - 1
        letters, lengths = _outer(self._series)
        if prod(lengths) > MAX_PAGES:
            raise PhotoError(f"This TIFF has {prod(lengths):,} pages; at most {MAX_PAGES:,} can be read.")
        self._names = [_AXES.get(letter, "page") for letter in letters]
        self._lengths = lengths
        self._samples = _channels_in_pixels(self._series)
        self.axes: dict[str, int] = {}
        for name, length in zip(self._names, lengths, strict=True):
            self.axes[name] = self.axes.get(name, 1) * length
        if self._samples > 1:
            self.axes["channel"] = self.axes.get("channel", 1) * self._samples
        self.axes = {name: length for name, length in self.axes.items() if length > 1}

    @property
    def byte_order(self) -> str:
        """The file's, as numpy has it."""
        return str(self._tiff.byteorder)

    @property
    def pixel_size(self) -> PixelSize | None:
        """How large a pixel is, if the file says so: OME, ImageJ, or a resolution in inches or centimetres."""
        with suppress(Exception):  # whatever is odd in it, the picture can be used
            if self._tiff.is_ome:
                size = _ome_pixel_size(self._tiff.ome_metadata or "")
            else:
                tags = self._series.keyframe.tags
                across, down = (tags[tag].value[0] / tags[tag].value[1] for tag in (282, 283))
                metadata: dict[str, Any] = (self._tiff.imagej_metadata if self._tiff.is_imagej else None) or {}
                unit = metadata.get("unit") or {2: "inch", 3: "cm"}[int(tags[296].value)]
                size = PixelSize((across, down), unit, metadata.get("spacing"))
            numbers = [*size.per_unit, 1.0 if size.spacing is None else size.spacing]
            if all(0 < number < 1e9 for number in numbers) and re.fullmatch(r"[A-Za-z0-9\\ ]{1,20}", size.unit):
                return size
        return None

    def page(self, chosen: Mapping[str, int]) -> Page:
        """The picture at a place on each axis, counted from 0; the first where none is given."""
        rest = dict(chosen)
        channel = rest.get("channel", 0)
        sample = None
        if self._samples > 1:
            rest["channel"], sample = divmod(channel, self._samples)
        places = []
        for name, length in reversed([*zip(self._names, self._lengths, strict=True)]):  # the last axis runs fastest
            rest[name], place = divmod(rest.get(name, 0), length)
            places.append(place)
        number = int(np.ravel_multi_index(places[::-1], self._lengths)) if self._lengths else 0
        offsets, counts, index = self._segments(number)
        notes = [f"{name} {chosen.get(name, 0) + 1} of {length}" for name, length in self.axes.items()]
        if self.others:
            notes.append(f"first of {self.others + 1} series")
        return Page(
            self._series.keyframe, offsets, counts, index, sample, self._own_range(channel), tuple(_joined(notes))
        )

    def _segments(self, number: int) -> tuple[Sequence[int], Sequence[int], int | None]:
        series = self._series
        if len(series.pages) > number and (len(series.pages) > 1 or number == 0):
            page: TiffPage | TiffFrame | None = series[number]
            if page is None:
                raise PhotoError("This TIFF is cut short: the picture that was chosen is missing.")
            return page.dataoffsets, page.databytecounts, page.index if isinstance(page.index, int) else None
        start = series.dataoffset  # a stack that is described by its first page alone
        if start is None:
            raise PhotoError("This TIFF is cut short: the picture that was chosen is missing.")
        size = series.keyframe.nbytes
        return (start + number * size,), (size,), None

    def _own_range(self, channel: int) -> tuple[float, float] | None:
        """ImageJ's, of the channel where it gives one for each."""
        if not self._tiff.is_imagej:
            return None
        with suppress(Exception):
            metadata: dict[str, Any] = self._tiff.imagej_metadata or {}
            ranges = metadata.get("Ranges", ())
            if len(ranges) >= 2 * (channel + 1):
                return float(ranges[2 * channel]), float(ranges[2 * channel + 1])
            return float(metadata["min"]), float(metadata["max"])
        return None


def _ome_pixel_size(text: str) -> PixelSize:
    """The size in OME-XML. Its unit of length is the micrometre unless it says otherwise."""
    found = dict(re.findall(r"\bPhysicalSize([XYZ](?:Unit)?)\s*=\s*[\"']([^\"']*)", text))
    units = {found.get(f"{axis}Unit", "um").replace("\u00b5", "u").replace("\u03bc", "u") for axis in "XY"}
    (unit,) = units
    same = found.get("ZUnit", "um").replace("\u00b5", "u").replace("\u03bc", "u") == unit
    spacing = float(found["Z"]) if "Z" in found and same else None
    return PixelSize((1 / float(found["X"]), 1 / float(found["Y"])), unit, spacing)


def _joined(notes: list[str]) -> list[str]:
    return [", ".join(notes)] if notes else []


def _is_picture(page: TiffPage) -> bool:
    """Whether a page is no overview, mask or thumbnail of another."""
    return not (page.is_reduced or page.is_mask) and page.ndim in (2, 3) and page.nbytes > 0


def _outer(series: TiffPageSeries) -> tuple[str, tuple[int, ...]]:
    """The letters and lengths of a series' axes outside of its pages."""
    letters, shape = series.get_axes(squeeze=False), tuple(map(int, series.get_shape(squeeze=False)))
    if letters.endswith("S") and shape[-1] == 1:
        letters, shape = letters[:-1], shape[:-1]
    inner = series.keyframe.shape
    if shape[-len(inner) :] != inner:  # axes that do not fit: count the pages
        return "I", (len(series.pages),)
    return letters[: -len(inner)], shape[: -len(inner)]


def _channels_in_pixels(series: TiffPageSeries) -> int:
    """How many channels, other than colours, each pixel holds."""
    page = series.keyframe
    if page.photometric not in (0, 1) or page.samplesperpixel == 1:
        return 1
    letters = series.get_axes(squeeze=False)
    if letters.endswith("S") and series.get_shape(squeeze=False)[-1] == 1:
        letters = letters[:-1]
    inner = letters[-page.ndim :] if len(letters) >= page.ndim else page.axes
    return int(page.samplesperpixel) if "C" in inner else 1


def _check_directories(file: IO[bytes]) -> None:
    """Refuse a TIFF whose directories are without end, or larger than any that describes a picture."""
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", head, 2)[0] == 43
    count_format, entry, offset_format = ("Q", 20, "Q") if big else ("H", 12, "I")
    start = struct.unpack_from(order + offset_format, head, 8 if big else 4)[0]
    seen: set[int] = set()
    tags = 0
    while start and start not in seen and len(seen) < MAX_PAGES + 1:
        seen.add(start)
        file.seek(start)
        raw = file.read(struct.calcsize(order + count_format))
        if len(raw) < struct.calcsize(order + count_format):
            break
        (count,) = struct.unpack(order + count_format, raw)
        tags += count
        if count > 65_535 or tags > _MAX_NUMBERS:
            raise PhotoError("This TIFF cannot be decoded: its directories are larger than those of any picture.")
        directory = file.read(count * entry)
        for position in range(0, len(directory) - entry + 1, entry):
            _check_tag(*struct.unpack_from(order + ("HHQ" if big else "HHI"), directory, position))
        raw = file.read(struct.calcsize(order + offset_format))
        start = struct.unpack(order + offset_format, raw)[0] if len(raw) == struct.calcsize(offset_format) else 0
    if len(seen) > MAX_PAGES:
        raise PhotoError(f"This TIFF has more than {MAX_PAGES:,} pages.")


def _check_tag(tag: int, kind: int, count: int) -> None:
    description, sub_ifds = 270, 330
    if (
        (tag == sub_ifds and count > 64)
        or (tag == description and count > _MAX_TEXT)
        or (_NUMBERS.get(kind, 0) and count > _MAX_NUMBERS)
    ):
        raise PhotoError("This TIFF cannot be decoded: its directories are larger than those of any picture.")


def _is_sane(tiff: TiffFile) -> bool:
    """Whether the numbers in the descriptions are those of a stack that could be in the file."""
    with suppress(Exception):
        first = tiff.pages.first
        if tiff.is_ome:
            text = tiff.ome_metadata or ""
            numbers = re.findall(
                r"\b(?:Size|First)[ZCT]\s*=\s*[\"']([^\"']*)|\b(?:IFD|PlaneCount|NumPlanes)\s*=\s*[\"']([^\"']*)", text
            )
            spans = re.findall(r"\b(?:Start|End|Step)\s*=\s*[\"']([^\"']*)", text)
            stacks = re.findall(r"<(?:\w+:)?Pixels\b[^>]*>", text)
            return (
                "<!ENTITY" not in text
                and all(int(size or other) <= MAX_PAGES for size, other in numbers)
                and all(0.001 <= abs(float(span)) <= 1000 or float(span) == 0 for span in spans)
                and all(prod(map(int, re.findall(r"\bSize[ZCT]\s*=\s*[\"'](\d+)", one))) <= MAX_PAGES for one in stacks)
            )
        if tiff.is_imagej:
            metadata: dict[str, Any] = tiff.imagej_metadata or {}
            counts = [metadata.get(name, 1) for name in ("images", "channels", "slices", "frames")]
            return all(isinstance(count, int) and 0 < count <= MAX_PAGES for count in counts)
        if tiff.is_shaped:
            shape = (tiff.shaped_metadata or ({},))[0].get("shape", ())
            return prod(map(int, shape)) <= MAX_PAGES * max(prod(first.shape), 1)
        return True
    return False


def compression_name(page: TiffPage) -> str:
    """What a page is packed by, as tifffile calls it."""
    with suppress(ValueError):
        return tifffile.COMPRESSION(page.compression).name.replace("_", " ")
    return f"scheme {int(page.compression)}"


def check_raw(page: TiffPage) -> None:
    """Refuse a camera's raw file: what it holds besides its sensor's values is a thumbnail."""
    dng_version, mosaic, linear_raw = 50706, 32803, 34892
    if dng_version in page.tags or page.photometric in (mosaic, linear_raw) or (page.is_reduced and page.subifds):
        raise PhotoError(f"This is a camera's raw file, not a finished photo: please use {FORMATS}.")
