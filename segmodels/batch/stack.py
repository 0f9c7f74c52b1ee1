"""A stack of pictures in, a stack of labels out: time-lapses, focus series and channels of a microscope."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..files import atomic_write
from ..inference.instances import COLUMNS, Instances, has_instances, table_rows
from ..inference.photo import open_stack
from ..inference.segmenter import Segmenter
from .job import check_absent

HYPERSTACK = {"t": "T", "z": "Z", "page": "Z", "channel": "C"}
"""The axes of a stack, by the letters that ImageJ's hyperstacks have for them, in their order."""


@dataclass(frozen=True)
class StackReport:
    """What was found in a stack."""

    counts: list[int]
    """The number of objects in each picture, in the order of the file."""
    places: list[dict[str, int]]
    """Where each picture lies on the axes of the file, counted from 1."""
    outputs: dict[str, str]
    """The files: ``tiff`` and ``csv``."""


def segment_stack(
    segmenter: Segmenter,
    path: Path,
    out: Path,
    progress: Callable[[], object] | None = None,
    place: Mapping[str, int] | None = None,
) -> StackReport:
    """Tell objects apart in every picture of a TIFF stack, or in every one at ``place``.

    ``<stem>_instances.tif`` is an ImageJ hyperstack of 16-bit labels with the axes of ``path``, and
    ``<stem>_instances.csv`` has a row for each object of each picture. Numbers begin anew in each picture.

    Args:
        segmenter: a network that tells objects apart.
        path: any file that can be read; one with a single picture is a stack of one.
        out: the folder for the files; made if it is missing.
        progress: called after each picture.
        place: a number on some of the axes, counted from 1, such as ``{"channel": 2}``; all pictures if None.

    Raises:
        ValueError: if the network does not tell objects apart, or there are too many for 16 bits.
        PhotoError: if a picture cannot be read, or there is no such place.
        ForeignFileError: if a file of such a name is there already.
    """
    if not has_instances(segmenter.card.class_list):
        raise ValueError(f"{segmenter.card.name} does not tell objects apart, so it cannot count in a stack")
    files = {"tiff": out / f"{path.stem}_instances.tif", "csv": out / f"{path.stem}_instances.csv"}
    check_absent(files.values())
    found: list[Instances] = []
    with open_stack(path) as stack:
        axes = {name: length for name, length in stack.axes.items() if name not in (place or {})}
        places = list(stack.places(**(place or {})))
        for place in places:
            found.append(segmenter(stack.read(segmenter.display_range, **place).image).instances)
            if progress:
                progress()
    out.mkdir(parents=True, exist_ok=True)
    _write_stack(files["tiff"], [one.labels for one in found], axes)
    _write_tables(files["csv"], places, found)
    outputs = {kind: str(file) for kind, file in files.items()}
    return StackReport([len(one) for one in found], places, outputs)


def _write_stack(file: Path, labels: Sequence[NDArray[np.int32]], axes: Mapping[str, int]) -> None:
    """Write the labels as a hyperstack, whose axes have another order than the file's may have had."""
    if max(int(one.max(initial=0)) for one in labels) > np.iinfo(np.uint16).max:
        raise ValueError("a 16-bit picture has 65,535 numbers, and there are more objects: cut the picture in parts")
    values = np.stack(labels).astype(np.uint16).reshape(*axes.values(), *labels[0].shape)
    ordered = sorted(axes, key=list(HYPERSTACK).index)
    values = values.transpose(*(list(axes).index(name) for name in ordered), -2, -1)
    with atomic_write(file) as partial:
        letters = "".join(HYPERSTACK[name] for name in ordered) + "YX"
        tifffile.imwrite(partial, values, imagej=True, metadata={"axes": letters})


def _write_tables(file: Path, places: Sequence[Mapping[str, int]], found: Sequence[Instances]) -> None:
    """Write all tables as one, with the place of the picture first."""
    with atomic_write(file) as partial, partial.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow([*places[0], *COLUMNS])
        for place, instances in zip(places, found, strict=True):
            rows.writerows([*place.values(), *row] for row in table_rows(instances))
