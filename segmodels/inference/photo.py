"""Any photo, from a file or from memory, as an upright RGB picture; or an error that a person understands.

Files come from strangers, so they are told apart by their first bytes, never by their name, and only the decoders of
common photo formats are ever reached. The size is judged by the header, before a pixel is decoded.
"""

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .bounds import MAX_BYTES, PhotoError, check_size
from .damage import check_promises, check_whole, pages_note
from .formats import DECODERS, HEAD_BYTES, kind_of
from .upright import upright_rgb

__all__ = ["Photo", "PhotoError", "as_photo", "read_photo"]

# What Pillow remarks on odd files ends in a PhotoError or in a note where it matters; on stderr it would help nobody.
# Set once, for warnings.catch_warnings is not safe across threads.
warnings.filterwarnings("ignore", module=r"PIL\.(Image|\w+ImagePlugin)$")


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
        kind = kind_of(file.read(HEAD_BYTES))
        file.seek(0)
        with _explained(kind):
            image = DECODERS[kind](file)
            check_size(image.size)
            check_promises(image, file)
            notes = pages_note(image, kind)
            image.load()
            check_whole(image, file)
            rgb, more_notes = upright_rgb(image)
            check_size(rgb.size)
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
