"""A data folder looked over before anyone waits for an epoch, and colours turned into classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..files import atomic_write
from ..inference.pictures import label_image
from ..inference.upright import SIDEWAYS, turn_of
from ..labels import VOID, ClassList
from .data import PHOTO_SUFFIXES, folder_classes, read_stems

SHOWN = 5
"""Files that a sentence names; of more, it gives the number."""

LABEL_SUFFIX = ".png"
SPLITS = ("train", "val", "test")
THIN = 0.001
"""The share of all pixels below which a class is said to be thin."""


@dataclass
class Findings:
    """What is wrong with a data folder, and what is in it."""

    classes: ClassList
    problems: list[str] = field(default_factory=list)
    """Sentences about what training or scoring would stumble over."""
    remarks: list[str] = field(default_factory=list)
    """Sentences about what is worth knowing."""
    photos: dict[str, int] = field(default_factory=dict)
    """How many each split lists."""
    pixels: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """(256,) how many pixels each value of the label maps has, by split."""
    coloured: list[Path] = field(default_factory=list)
    """Label maps that hold colours in place of classes."""


def check(root: Path) -> Findings:
    """Look over all splits of the folder at ``root``.

    Raises:
        FileNotFoundError: if the folder, ``images/``, ``labels/`` or every list is missing.
        ValueError: if ``classes.txt`` is no list of classes.
    """
    for part in ("", "images", "labels"):
        if not (root / part).is_dir():
            raise FileNotFoundError(
                f"{root / part} is missing: a data folder holds images/*.jpg, labels/*.png, train.txt and val.txt"
            )
    findings = Findings(folder_classes(root))
    lists = {split: read_stems(root / f"{split}.txt") for split in SPLITS if (root / f"{split}.txt").is_file()}
    if not lists:
        raise FileNotFoundError(
            f"{root / 'train.txt'} is missing: it lists the photos to train on, a name without ending a line"
        )
    if not (root / "classes.txt").is_file():
        findings.remarks.append("There is no classes.txt, so the values of the label maps are taken for Pascal VOC's.")
    for split, stems in lists.items():
        _check_split(root, split, stems, findings)
    _check_lists(root, lists, findings)
    _check_shares(findings)
    return findings


def _check_split(root: Path, split: str, stems: Sequence[str], findings: Findings) -> None:
    """Every pair of one split: there, readable, of one size, with known values."""
    wrong: dict[str, list[str]] = {}
    counts = np.zeros(256, dtype=np.int64)
    for stem in stems:
        for what, said in _faults(root, stem, findings, counts):
            wrong.setdefault(what, []).append(said)
    for what, names in wrong.items():
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        findings.problems.append(f"{split}: {what}: {', '.join(names[:SHOWN])}{more}.")
    if not stems:
        findings.problems.append(f"{split}: the list is empty.")
    elif counts[VOID] and not counts[:VOID].any():
        findings.problems.append(f"{split}: every pixel is void, so there is nothing to learn or to score.")
    findings.photos[split], findings.pixels[split] = len(stems), counts


def _faults(root: Path, stem: str, findings: Findings, counts: NDArray[np.int64]) -> Iterator[tuple[str, str]]:
    """What is wrong with one pair: the kind of fault, and the pair as it is to be named. Counts its pixels."""
    photo = next((path for path in _photo_paths(root, stem) if path.is_file()), None)
    label = root / "labels" / f"{stem}{LABEL_SUFFIX}"
    if photo is None:
        yield "photos are missing from images/", stem
    if not label.is_file():
        yield "label maps are missing from labels/", stem
        return
    try:
        with Image.open(label) as image:
            mode, values, palette = image.mode, np.array(image), image.getpalette()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        yield "label maps cannot be read", label.name
        return
    if mode not in ("P", "L") or _is_painted(palette, values, findings.classes):
        findings.coloured.append(label)
        yield "label maps hold colours, not classes (--convert turns those of classes.txt into classes)", label.name
    else:
        counts += np.bincount(values.ravel(), minlength=256)
        strange = [value for value in np.unique(values).tolist() if len(findings.classes.names) <= value < VOID]
        if strange:
            yield (
                f"label maps have values beyond the {len(findings.classes.names)} classes",
                f"{label.name} ({strange[0]})",
            )
    if photo is not None:
        yield from _photo_faults(photo, values.shape[1::-1])


def _is_painted(palette: list[int] | None, values: NDArray[np.uint8], classes: ClassList) -> bool:
    """Whether a palette image's values are no classes, but its colours are, by the colours of ``classes.txt``."""
    if palette is None or classes.colours == ClassList(classes.names).colours:
        return False
    used = [value for value in np.unique(values).tolist() if 3 * value + 2 < len(palette)]
    meant = [classes.colours.index(colour) for value in used if (colour := _colour(palette, value)) in classes.colours]
    return len(meant) == len([value for value in used if value != VOID]) and meant != used[: len(meant)]


def _colour(palette: list[int], value: int) -> tuple[int, int, int]:
    red, green, blue = palette[3 * value : 3 * value + 3]
    return red, green, blue


def _photo_faults(photo: Path, labelled: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    try:
        with Image.open(photo) as image:
            size, turn = image.size, turn_of(image)
            image.load()
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        yield "photos cannot be read", photo.name
        return
    if labelled != size and not (turn in SIDEWAYS and labelled == size[::-1]):
        yield "sizes differ", f"{photo.name} {size[0]} x {size[1]}, its labels {labelled[0]} x {labelled[1]}"


def _photo_paths(root: Path, stem: str) -> list[Path]:
    return [root / "images" / f"{stem}{suffix}" for suffix in PHOTO_SUFFIXES]


def _check_lists(root: Path, lists: dict[str, list[str]], findings: Findings) -> None:
    """What the lists say together: nothing twice, nothing in two of them; and what none of them names."""
    for split, stems in lists.items():
        twice = sorted({stem for stem in stems if stems.count(stem) > 1}) if len(set(stems)) < len(stems) else []
        if twice:
            findings.problems.append(f"{split}: listed more than once: {', '.join(twice[:SHOWN])}.")
    for split, other in (("train", "val"), ("train", "test"), ("val", "test")):
        both = sorted(set(lists.get(split, [])) & set(lists.get(other, [])))
        if both:
            findings.problems.append(
                f"{len(both)} photos are in both {split} and {other}, so scores would flatter: {', '.join(both[:SHOWN])}."
            )
    if "train" in lists and "val" not in lists:
        findings.remarks.append("There is no val.txt: a network trained on this is not scored on the way.")
    listed = {stem for stems in lists.values() for stem in stems}
    unlisted = sorted(path.stem for path in (root / "labels").glob(f"*{LABEL_SUFFIX}") if path.stem not in listed)
    if unlisted:
        findings.remarks.append(f"{len(unlisted)} label maps are in no list, such as {unlisted[0]}.")


def _check_shares(findings: Findings) -> None:
    """Classes without a pixel, and thin ones."""
    counts = findings.pixels.get("train")
    if counts is None or not counts.sum():
        return
    names = findings.classes.names
    scored = max(counts[: len(names)].sum(), 1)
    empty = [name for name, count in zip(names, counts, strict=False) if not count]
    thin = [
        f"{name} {count / scored:.2%}" for name, count in zip(names, counts, strict=False) if 0 < count < THIN * scored
    ]
    if empty:
        findings.remarks.append(f"Classes without a pixel in train, which no network can learn: {', '.join(empty)}.")
    if thin:
        findings.remarks.append(f"Classes with hardly a pixel in train: {', '.join(thin)}.")


def convert(paths: Sequence[Path], classes: ClassList) -> int:
    """Turn label maps that hold the colours of ``classes`` into palette images of their indices; how many there were.

    Black, white and void's grey become void where no class has them. A file is replaced whole, and only when all are known to
    be convertible: otherwise none is touched.

    Raises:
        ValueError: if two classes have one colour, or a pixel has a colour of none.
    """
    table = _table(classes)
    for path in paths:
        _indices(path, table)
    for path in paths:
        labels = _indices(path, table)
        with atomic_write(path) as partial:
            label_image(labels, classes).save(partial, "PNG")
    return len(paths)


def _table(classes: ClassList) -> NDArray[np.int16]:
    """(2^24,): the class of each colour as one number, -1 where there is none."""
    table = np.full(2**24, -1, dtype=np.int16)
    for void in ((0, 0, 0), (255, 255, 255), (224, 224, 192)):
        table[_number(np.array(void))] = VOID
    for index, colour in enumerate(classes.colours):
        if colour in classes.colours[:index]:
            first = classes.names[classes.colours.index(colour)]
            raise ValueError(
                f"{first} and {classes.names[index]} have one colour in classes.txt, so it cannot be told which is meant"
            )
        table[_number(np.array(colour))] = index
    return table


def _number(colours: NDArray[np.integer]) -> NDArray[np.int64]:
    """(..., 3) colours as whole numbers."""
    red, green, blue = (colours[..., channel].astype(np.int64) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def _indices(path: Path, table: NDArray[np.int16]) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        colours = np.array(image.convert("RGB"))
    labels = table[_number(colours)]
    if (labels < 0).any():
        row, column = np.argwhere(labels < 0)[0].tolist()
        raise ValueError(
            f"{path} has the colour {tuple(colours[row, column].tolist())} at ({column}, {row}), which is no class's in classes.txt; nothing was converted"
        )
    return labels.astype(np.uint8)
