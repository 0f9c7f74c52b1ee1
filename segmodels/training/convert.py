"""Label maps that hold colours turned into classes, with a copy of what was."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import atomic_write, display_path
from ..inference.pictures import label_image
from ..label_files import LabelFile, open_label_map
from ..labels import ClassList, Colour
from .check import Findings, are_levels, check, colours_of, used_colours

NEW = ".labels-converted"
"""The folder in which they wait until all are judged."""


def convert(root: Path, paths: Sequence[Path], classes: ClassList) -> Path:
    """Turn the label maps ``paths`` into palette images of the classes whose colours they hold; return where the old ones are.

    A colour stands for a class only if classes.txt gives it, so no two colours become one class. All are written
    beside the old ones and looked over first: where something would be wrong, nothing is replaced.

    Raises:
        ValueError: if no colours are given, two classes have one, a pixel has a colour of none, or the folder would not be
            ready with what came of it.
    """
    given = colours_of(root)
    new = root / NEW
    shutil.rmtree(new, ignore_errors=True)
    try:
        for path in paths:
            labels = _classes(path, given, classes)
            file = new / path.relative_to(root / "labels").with_suffix(".png")
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file) as partial:
                label_image(labels, classes).save(partial, "PNG")
        _judge(check(root, replaced=new))
        return _replace(root, paths, new)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _judge(findings: Findings) -> None:
    if findings.problems:
        raise ValueError(f"nothing was converted, because of what would come of it: {findings.problems[0]}")


def _replace(root: Path, paths: Sequence[Path], new: Path) -> Path:
    """Put the new label maps in the old ones' places, and the old ones into a folder of their own, which is returned."""
    before = root / "labels_before"
    number = 1
    while before.exists():
        number += 1
        before = root / f"labels_before_{number}"
    for path in paths:
        name = path.relative_to(root / "labels")
        (before / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, before / name)
    for path in paths:
        (new / path.relative_to(root / "labels").with_suffix(".png")).replace(path)
    return before


def _classes(path: Path, given: Mapping[Colour, int], classes: ClassList) -> NDArray[np.uint8]:
    found = open_label_map(path)
    levels = used_colours(found)
    if found.palette is not None and not set(levels.values()) & set(given) and are_levels(levels, len(classes.names)):
        return found.colours()[..., 0].copy()  # a grey label map that was packed into a palette
    return classes_of_colours(found, given, path)


def classes_of_colours(found: LabelFile, given: Mapping[Colour, int], path: Path) -> NDArray[np.uint8]:
    """Return the class of each pixel, (H, W), by its colour.

    Raises:
        ValueError: if a pixel has a colour that is not ``given``.
    """
    colours = found.colours()
    table = np.full(2**24, -1, dtype=np.int16)
    for colour, value in given.items():
        table[colour_number(np.array(colour))] = value
    labels = table[colour_number(colours)]
    if (labels < 0).any():
        row, column = np.argwhere(labels < 0)[0].tolist()
        missing = "classes.txt gives no colours (`name R G B`)" if not given else "which is no class's in classes.txt"
        raise ValueError(
            f"{display_path(path)} has the colour {tuple(colours[row, column].tolist())} at ({column}, {row}): {missing}; nothing "
            "was converted"
        )
    return labels.astype(np.uint8)


def colour_number(colours: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return (..., 3) colours as whole numbers."""
    red, green, blue = (colours[..., channel].astype(np.int64) for channel in range(3))
    return (red << 16) | (green << 8) | blue
