"""The files of a data folder: which photo and which label map a list means, however their names end."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from zipfile import is_zipfile

from ..files import is_hidden

PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".avif", ".heic", ".heif", ".hif"),
)
"""What the names of photos end in, in any case."""

LABEL_SUFFIXES = (".png",)

TAILS = ("", "_mask", "_masks", "_label", "_labels", "_labelIds", "_gtFine_labelIds", "_gt", "_seg")
"""What tools add to a photo's name for its label map, the usual first."""

Files = Mapping[str, Path]
"""Files of a folder, by their path in it without the ending."""


def files_in(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """Return the files below ``folder`` whose names end in one of ``suffixes``, the first of them where several do.

    Hidden files, such as the ``._x.jpg`` that macOS leaves beside ``x.jpg``, are none.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if suffix not in suffixes or is_hidden(path.relative_to(folder)) or not path.is_file():
            continue
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem not in found or suffixes.index(suffix) < suffixes.index(found[stem].suffix.lower()):
            found[stem] = path
    return found


def photo_of(photos: Files, stem: str, root: Path) -> Path:
    """Return where the photo called ``stem`` is, or should be."""
    return photos.get(stem, root / "images" / f"{stem}{PHOTO_SUFFIXES[0]}")


def label_of(labels: Files, stem: str, root: Path) -> Path:
    """Return where the label map of the photo called ``stem`` is, or should be."""
    found = (labels[stem + tail] for tail in TAILS if stem + tail in labels)
    return next(found, root / "labels" / f"{stem}{LABEL_SUFFIXES[0]}")


def read_stems(path: Path) -> list[str]:
    """Return the names of the photos that a split's list means, one a line.

    A line may have the photo's ending and folder, and the label map beside it; lines that begin with ``#`` are none.

    Raises:
        ValueError: if it is no text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text file in UTF-8") from None
    return [_stem(line.strip(), path.parent) for line in lines if line.strip() and not line.strip().startswith("#")]


def listed_stems(
    list_file: Path, files_of: Callable[[str], Iterable[Path]], first: int | None = None, name: str = "photo"
) -> list[str]:
    """Return the stems in a split's list, or the ``first`` of them, whose files are all there.

    Args:
        list_file: the list, ``<split>.txt``.
        files_of: from a stem to the files that it stands for.
        first: how many to take; all if None.
        name: what a message calls the things that are listed.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the list is empty or no text.
    """
    stems = read_stems(list_file)[:first]
    if not stems:
        raise ValueError(f"{list_file} lists no {name}")
    for stem in stems:
        for path in files_of(stem):
            if not path.is_file():
                raise FileNotFoundError(f"{path} is listed in {list_file.name} and missing")
    return stems


_ENDING = re.compile(rf"\.(?:{'|'.join(suffix[1:] for suffix in PHOTO_SUFFIXES)})(?=[\s,;]|$)", re.IGNORECASE)


def _stem(line: str, root: Path) -> str:
    """The photo that a line means: up to the first ending, without the folders that are not below ``images/``."""
    ending = _ENDING.search(line)
    parts = (line[: ending.start()] if ending else line).replace("\\", "/").strip("/").split("/")
    while len(parts) > 1 and not (root / "images" / parts[0]).is_dir():
        del parts[0]
    return "/".join(parts)


LAYOUT = "a data folder holds images/ (JPEG, PNG or any other common format), labels/*.png, train.txt and val.txt"


def missing(root: Path, part: str) -> str:
    """Return the sentence that says what a data folder lacks, and what lies there in its place."""
    if root.is_file():
        return f"{root} is a{'n archive: unpack it, and `segmodels import`' if is_zipfile(root) else ' file: name'} the folder"
    if not root.is_dir():
        return f"{root} is missing: {LAYOUT}"
    there = sorted(path.name + "/" * path.is_dir() for path in root.iterdir() if not is_hidden(Path(path.name)))
    lies = (
        f"; there {'lies' if len(there) == 1 else 'lie'} {', '.join(there[:6])}{', ...' * (len(there) > 6)}"
        if there
        else ""
    )
    return f"{root / part} is missing: {LAYOUT}{lies} (`segmodels import` brings other layouts into this one)"
