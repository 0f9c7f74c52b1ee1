"""DICOM and NIfTI, by pydicom and nibabel, which are optional: ``pip install "segmodels[medical]"``."""

import gzip
import logging
import zlib
from dataclasses import dataclass
from math import prod
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bounds import PhotoError, check_size
from .display_range import eight_bit

_MAX_VALUES = 2**27
"""Numbers in one file, as a head at half a millimetre has. A compressed file may claim far more than it holds."""
_MAX_HEADER = 2**20
"""Bytes of a NIfTI file before its numbers; mostly 352."""
_DEFLATED = "1.2.840.10008.1.2.1.99"
"""The transfer syntax of DICOM that is unpacked as a whole, however large it gets."""


@dataclass(frozen=True)
class Slice:
    """One picture: (H, W) grey or (H, W, 3) RGB values, and how the file wants them shown."""

    values: NDArray[Any]
    own_range: tuple[float, float] | None = None
    inverted: bool = False


class Volume(Protocol):
    """The pictures in a file, along its ``axes``; a picture is ``size`` large, (width, height) in pixels."""

    axes: dict[str, int]
    size: tuple[int, int]

    def read(self, place: dict[str, int]) -> Slice:
        """Return the picture at ``place`` on the axes, counted from 0."""
        ...


def open_volume(file: IO[bytes], kind: str, max_pixels: int) -> Volume | None:
    """Open a DICOM or NIfTI file; None for a file of another ``kind``.

    Raises:
        PhotoError: if the package that reads it is not installed, or for a file without pictures.
    """
    opener: Any = {"DICOM": Dicom, "NIfTI": Nifti}.get(kind)
    if opener is None:
        return None
    try:
        volume: Volume = opener(file)
    except ImportError:
        raise PhotoError(f'This is a {kind} file: to read it, run pip install "segmodels[medical]".') from None
    check_size(volume.size, max_pixels)
    if prod([*volume.size, *volume.axes.values()]) > _MAX_VALUES:
        raise PhotoError(f"This {kind} file holds more pictures than can be read at once.")
    return volume


def shown(part: Slice) -> tuple[Image.Image, list[str]]:
    """Return a slice as a picture of eight bits a channel, and what was done to that end."""
    pixels, notes = eight_bit(part.values, part.own_range, inverted=part.inverted)
    return Image.fromarray(np.ascontiguousarray(pixels)), notes


class Dicom:
    """The frames of a DICOM file, in the values that they stand for.

    The steps are those of DICOM PS3.4, N.2: the rescale slope or modality table, then the first window that the file
    names, then MONOCHROME1, which shows small values as white.
    """

    def __init__(self, file: IO[bytes]) -> None:
        from pydicom import dcmread
        from pydicom.filereader import read_file_meta_info

        if read_file_meta_info(file.name).get("TransferSyntaxUID") == _DEFLATED:
            raise PhotoError("This DICOM file is deflated as a whole, and such files are not read.")
        file.seek(0)
        self._data = dcmread(file)
        if "PixelData" not in self._data:
            raise PhotoError("This DICOM file holds no picture.")
        self.size = (int(self._data.Columns), int(self._data.Rows))
        frames = int(self._data.get("NumberOfFrames") or 1)
        self.axes: dict[str, int] = {"page": frames} if frames > 1 else {}

    def read(self, place: dict[str, int]) -> Slice:
        from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

        data = self._data
        try:
            stored = pixel_array(data, index=place.get("page", 0))
        except (NotImplementedError, RuntimeError) as error:  # no decoder for how it is packed
            name = data.file_meta.TransferSyntaxUID.name
            raise PhotoError(f"This DICOM file is packed as {name}, which cannot be read here.") from error
        if data.PhotometricInterpretation == "PALETTE COLOR":
            return Slice(apply_color_lut(stored, data))
        if stored.ndim == 3:
            return Slice(stored)
        return Slice(apply_modality_lut(stored, data), self._window(), data.PhotometricInterpretation == "MONOCHROME1")

    def _window(self) -> tuple[float, float] | None:
        """Return the values that the first window shows as black and as white (PS3.3, C.11.2.1.2)."""
        centre, width = (self._first(name) for name in ("WindowCenter", "WindowWidth"))
        if centre is None or width is None or width <= 1:
            return None
        if self._data.get("VOILUTFunction") == "LINEAR_EXACT":
            return centre - width / 2, centre + width / 2
        return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2

    def _first(self, name: str) -> float | None:
        value = self._data.get(name)
        if value is None or value == "":
            return None
        return float(value) if isinstance(value, (int, float)) else float(value[0])


class Nifti:
    """The axial slices of a NIfTI file, z from the feet up and t the time: front above, the right side to the right."""

    def __init__(self, file: IO[bytes]) -> None:
        from nibabel import Nifti1Image, Nifti2Image, imageglobals, io_orientation

        imageglobals.logger.setLevel(logging.CRITICAL)  # what is wrong with a file is said in a sentence, not in a log

        file.seek(0)
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        unzipped: Any = gzip.GzipFile(fileobj=file) if zipped else file
        head = unzipped.read(540)
        unzipped.seek(0)
        reader = Nifti2Image if head[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else Nifti1Image
        header = reader.header_class(head[: reader.header_class.sizeof_hdr], check=False)
        if not 0 <= header["vox_offset"] <= _MAX_HEADER:
            raise PhotoError("This NIfTI file cannot be decoded: its numbers begin too far behind its head.")
        self._picture = reader.from_stream(unzipped)
        shape = self._picture.shape
        if len(shape) > 4 or self._picture.get_data_dtype().kind not in "iuf":
            raise PhotoError("This NIfTI file holds no grey values in three or four dimensions.")
        shape = (*shape, 1, 1)[:4]
        # Of each stored axis: which of right, front and up it runs along, and whether in that direction (1) or against (-1).
        orientation = io_orientation(self._picture.affine)
        self._stored = [int(np.nonzero(orientation[:, 0] == world)[0][0]) for world in range(3)]
        self._signs = [int(orientation[axis, 1]) for axis in self._stored]
        width, height, depth = (shape[axis] for axis in self._stored)
        self.size = (width, height)
        self.axes = {name: length for name, length in (("z", depth), ("t", shape[3])) if length > 1}
        self._depth = depth

    def read(self, place: dict[str, int]) -> Slice:
        right, front, up = self._stored
        z = place.get("z", 0)
        where: list[Any] = [slice(None)] * len(self._picture.shape)
        if up < len(where):
            where[up] = z if self._signs[2] > 0 else self._depth - 1 - z
        if len(where) > 3:
            where[3] = place.get("t", 0)
        try:
            plane = np.asarray(self._picture.dataobj[tuple(where)])
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise PhotoError("This NIfTI file is cut short: part of the picture is missing.") from error
        if right > front:
            plane = plane.T
        plane = plane[:: self._signs[0], :: self._signs[1]].T[::-1]  # rows go from the front to the back
        header = self._picture.header
        low, high = float(header["cal_min"]), float(header["cal_max"])
        return Slice(plane, (low, high) if high > low else None)
