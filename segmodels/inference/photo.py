"""Any photo, from a file or from memory, as an upright RGB picture; or an error that a person understands.

Files come from strangers, so they are told apart by their first bytes, never by their name, and only the decoders of
common photo formats are ever reached. The size is judged by the header, before a pixel is decoded.
"""

import stat
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from .bounds import MAX_BYTES, MAX_PIXELS, PhotoError, check_size
from .reading.colour_space import colour_space_note
from .reading.damage import check_promises, check_whole, pages_note
from .reading.deep import as_image, own_range, png_values
from .reading.formats import DECODERS, HEAD_BYTES, kind_of
from .reading.medical import Volume, open_volume, shown
from .reading.tiff_picture import tag_value, tiff_image
from .reading.tiff_structure import PixelSize, TiffStack
from .reading.tiff_values import check_packing, damaged, has_values, page_values
from .upright import TURNS, in_srgb, turn_of, upright_rgb

__all__ = ["AXES", "Photo", "PhotoError", "Stack", "as_photo", "open_stack", "read_photo"]

AXES = ("page", "channel", "z", "t")
"""What the pictures in one file may be counted along."""

Shown = tuple[float, float] | Literal["percentiles"] | None
"""Which values are black and white where there are more than eight bits a channel: these two; robust percentiles of the
picture's own, whatever display range the file gives; or the file's display range, and percentiles where it gives none."""

_COLOUR_BYTES = 64 * 1024
"""Of a file, as many as tell its colour space."""

# What Pillow remarks on odd files ends in a PhotoError or in a note where it matters; on stderr it would help nobody.
# Set once, for warnings.catch_warnings is not safe across threads.
warnings.filterwarnings("ignore", module=r"PIL\.(Image|\w+ImagePlugin)$")


@dataclass(frozen=True)
class Photo:
    """A photo as the networks see it.

    Attributes:
        image: upright, mode RGB, in sRGB colours, without metadata.
        notes: what was done that a viewer may wonder about, such as "transparent areas shown on white".
        stored_size: (width, height) in pixels as they stand in the file.
        turn: what made the picture upright; None if nothing had to.
        place: where it lies on the axes of its file, counted from 1; empty if the file holds one picture.
        pixel_size: how large a pixel is, where a TIFF says so.
    """

    image: Image.Image
    notes: tuple[str, ...]
    stored_size: tuple[int, int]
    turn: Image.Transpose | None = None
    place: Mapping[str, int] = field(default_factory=dict)
    pixel_size: PixelSize | None = None


class Stack:
    """The pictures in an open file: one, or those along page, channel, z and t of a TIFF, DICOM or NIfTI file.

    Attributes:
        axes: how many pictures there are along each axis that has more than one, such as ``{"channel": 2, "z": 15}``.
    """

    def __init__(self, file: IO[bytes], kind: str, max_pixels: int) -> None:
        self._file, self._kind, self._max_pixels = file, kind, max_pixels
        self._tiff = TiffStack(file) if kind == "TIFF" else None
        self._volume = open_volume(file, kind, max_pixels)
        holder = self._tiff or self._volume
        self.axes: dict[str, int] = holder.axes if holder else {}

    def read(self, display_range: Shown = None, **place: int) -> Photo:
        """Read one picture.

        Args:
            display_range: the values to show as black and as white where there are more than eight bits a channel; by
                default the file's own, else robust percentiles (see ``segmodels.inference.reading.display_range``).
                ``"percentiles"`` leaves out the file's own, as networks for microscopy do.
            place: where it lies on the axes, each counted from 1, such as ``channel=2, z=8``; 1 where nothing is said.

        Raises:
            PhotoError: if there is no such place, or the picture is broken, too small or too large.
        """
        chosen = self._checked(place)
        with _explained(self._kind):
            if self._tiff:
                read = self._of_tiff(self._tiff, chosen, display_range)
            elif self._volume:
                read = self._of_volume(self._volume, chosen, display_range)
            else:
                read = self._of_other(display_range)
            check_size(read.image.size, self._max_pixels)
        read.image.info = {}  # an orientation or a profile left here would be applied twice
        where = {name: place.get(name, 1) for name in self.axes}
        return replace(read, place=where, pixel_size=self._tiff.pixel_size if self._tiff else None)

    def stored(self, **place: int) -> tuple[tuple[int, int], Image.Transpose | None]:
        """Return the (width, height) of one picture as it stands in the file, and what turns it upright; decode nothing.

        Raises:
            PhotoError: if there is no such place, or the file is broken.
        """
        chosen = self._checked(place)
        with _explained(self._kind):
            if self._tiff:
                key = self._tiff.page(chosen).keyframe
                return (key.imagewidth, key.imagelength), TURNS.get(tag_value(key, 274, 1))
            if self._volume:
                return self._volume.size, None
            self._file.seek(0)
            image = DECODERS[self._kind](self._file)
            return image.size, turn_of(image)

    def places(self, **place: int) -> Iterator[dict[str, int]]:
        """All places on the axes, in the order of the file; one that says nothing where there is one picture.

        Args:
            place: a number on some of the axes, such as ``channel=2``, to go through the pictures there alone.

        Raises:
            PhotoError: if there is no such place.
        """
        self._checked(place)
        numbers = ([place[name]] if name in place else range(1, length + 1) for name, length in self.axes.items())
        for chosen in product(*numbers):
            yield dict(zip(self.axes, chosen, strict=True))

    def _checked(self, place: dict[str, int]) -> dict[str, int]:
        """The place counted from 0."""
        for name, number in place.items():
            if name not in AXES:
                raise PhotoError(f"Pictures are chosen by page, channel, z and t, not by {name}.")
            if not isinstance(number, int | np.integer):
                raise PhotoError(f"A {name} is chosen by its number, counted from 1, not by {number!r}.")
            if number != 1 and name not in self.axes:
                known = " and ".join(f"{_plural(axis)} 1 to {length}" for axis, length in self.axes.items())
                raise PhotoError(f"This file has one {name}; it has {known or 'one picture alone'}.")
            if not 1 <= number <= self.axes.get(name, 1):
                raise PhotoError(f"This file has {_plural(name)} 1 to {self.axes[name]}, so no {name} {number}.")
        return {name: number - 1 for name, number in place.items()}

    def _of_volume(self, volume: Volume, chosen: dict[str, int], display_range: Shown) -> Photo:
        part = volume.read(chosen)
        own, left_out = _chosen_range(display_range, part.own_range)
        image, notes = shown(replace(part, own_range=own))
        which = ", ".join(f"{name} {chosen.get(name, 0) + 1} of {length}" for name, length in volume.axes.items())
        return Photo(image.convert("RGB"), tuple(filter(None, [which, *notes, *left_out])), volume.size)

    def _of_other(self, display_range: Shown) -> Photo:
        self._file.seek(0)
        return self._of_pillow(DECODERS[self._kind](self._file), display_range)

    def _of_pillow(self, image: ImageFile, display_range: Shown) -> Photo:
        asked = None if display_range == "percentiles" else display_range
        check_size(image.size, self._max_pixels)
        check_promises(image, self._file)
        values = png_values(image, self._file)  # first, for whoever asks a PNG for its EXIF decodes it
        self._file.seek(0)
        notes = colour_space_note(image, self._kind, self._file.read(_COLOUR_BYTES))
        if self._kind != "TIFF":
            notes += pages_note(image, self._kind)
        size, turn = image.size, turn_of(image)
        image.load()
        check_whole(image, self._file)
        if values is None:
            rgb, more_notes = upright_rgb(image, asked)
        else:
            channels = values.shape[2]
            grey_or_rgb = values[..., :3] if channels > 2 else values[..., 0]
            alpha = values[..., -1] if channels in (2, 4) else None
            flat, range_notes = as_image(grey_or_rgb, alpha, asked or own_range(image))
            rgb, more_notes = in_srgb(flat, image.info.get("icc_profile"), turn)
            more_notes = range_notes + more_notes
        return Photo(rgb, (*notes, *more_notes), size, turn)

    def _of_tiff(self, tiff: TiffStack, chosen: dict[str, int], display_range: Shown) -> Photo:
        page = tiff.page(chosen)
        key = page.keyframe
        size = (key.imagewidth, key.imagelength)
        check_size(size, self._max_pixels)
        check_packing(key)
        own, left_out = _chosen_range(display_range, page.own_range)
        if has_values(key) or page.index is None or page.sample is not None or page.own_range:
            values = page_values(page, self._file, tiff.byte_order)
            flat, notes = tiff_image(values, page, own)
            turn = TURNS.get(tag_value(key, 274, 1))
            rgb, colours = in_srgb(flat, tag_value(key, 34675, None), turn)
            return Photo(rgb, (*page.notes, *notes, *left_out, *colours), size, turn)
        self._file.seek(0)
        try:
            image = TiffImageFile(self._file)
            image.seek(page.index)
            read = self._of_pillow(image, display_range)
        except (OSError, EOFError, SyntaxError) as error:
            raise damaged(page, self._file) from error
        return replace(read, notes=(*page.notes, *read.notes))


def _chosen_range(asked: Shown, own: tuple[float, float] | None) -> tuple[tuple[float, float] | None, list[str]]:
    """The range to show, None for percentiles, and a note where the file's ``own`` is not it."""
    if asked == "percentiles":
        return None, ["the display range saved in the file is left out"] if own else []
    return asked or own, []


def _plural(axis: str) -> str:
    return axis if len(axis) == 1 else f"{axis}s"


def read_photo(path: str | Path, *, display_range: Shown = None, **place: int) -> Photo:
    """Read a photo of any common format and of 32x32 pixels to 40 megapixels, whatever its file is called.

    Of an animation the first frame is read. Of a TIFF with several pictures it is the first, or the one at ``place`` on
    the axes that microscopes write: ``page``, ``channel``, ``z`` and ``t``, counted from 1.

    >>> read_photo("cells.tif", channel=2, z=8)

    Args:
        path: the file.
        display_range: as of ``Stack.read``.
        place: where the picture lies on the axes.

    Raises:
        PhotoError: if there is no such file, it holds no picture of a known format, is broken or cut short, or the
            picture is too small or too large, or there is none at that place.
    """
    with open_stack(path) as stack:
        return stack.read(display_range, **place)


@contextmanager
def open_stack(path: str | Path, max_pixels: int = MAX_PIXELS) -> Iterator[Stack]:
    """Open a file of one or more pictures, of at most ``max_pixels`` each.

    >>> with open_stack("cells.tif") as stack:
    ...     for place in stack.places():
    ...         photo = stack.read(**place)

    Raises:
        PhotoError: as ``read_photo``.
    """
    with _opened(Path(path)) as file:
        kind = kind_of(file.read(HEAD_BYTES))
        file.seek(0)
        with _explained(kind):
            stack = Stack(file, kind, max_pixels)
        yield stack


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
        check_size((image.shape[1], image.shape[0]))
        return Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise TypeError(
            f"a photo is a PIL image or an (H, W, 3) uint8 array, not {type(image).__name__}; "
            "segmodels.inference.photo.read_photo reads files"
        )
    check_size(image.size)
    with _explained("picture"):
        image.load()
        rgb, _ = upright_rgb(image)
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
