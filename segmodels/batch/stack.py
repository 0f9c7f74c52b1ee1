"""A stack of pictures in, a stack of labels out: time-lapses, focus series and channels of a microscope."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..files import atomic_write
from ..inference.instances import COLUMNS, Instances, has_instances, instance_files, rois, table_rows, write_rois
from ..inference.photo import open_stack
from ..inference.reading.tiff_structure import PixelSize, imagej_options
from .job import INSTANCES, PhotoWriter, check_absent, read_record

if TYPE_CHECKING:
    from roifile import ImagejRoi

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
    """The files: ``tiff``, ``csv`` and ``rois``."""


def segment_stack(writer: PhotoWriter, path: Path, progress: Callable[[], object] | None = None) -> StackReport:
    """Tell objects apart in every picture of a TIFF stack, or in every one at the job's place.

    ``<stem>_stack_instances.tif`` is an ImageJ hyperstack of 16-bit labels with the axes of ``path``,
    ``<stem>_stack_instances.csv`` has a row for each object of each picture, and ``<stem>_stack_rois.zip`` the outlines.
    Numbers begin anew in each picture. What is done is not done again, unless the job says so.

    Args:
        writer: the job, and a network that tells objects apart.
        path: any file that can be read; one with a single picture is a stack of one.
        progress: called after each picture.

    Raises:
        ValueError: if the network does not tell objects apart, or there are too many for 16 bits.
        PhotoError: if a picture cannot be read, or there is no such place.
        ForeignFileError: if a file of such a name is somebody's own.
    """
    job, segmenter = writer.job, writer.segmenter
    if not has_instances(segmenter.card.class_list):
        raise ValueError(f"{segmenter.card.name} does not tell objects apart, so it cannot count in a stack")
    files = instance_files(job.out, f"{job.stem(path)}_stack")
    del files[INSTANCES]
    outputs = {kind: str(file) for kind, file in files.items()}
    identity = writer.identity(path) if path.is_file() else {}
    earlier = read_record(files["tiff"])
    if earlier is None:
        check_absent(files.values())
    elif not job.force and earlier["identity"] == identity and all(file.is_file() for file in files.values()):
        return StackReport(**earlier["report"], outputs=outputs)
    chosen = dict(job.place)
    found: list[Instances] = []
    with open_stack(path) as stack:
        axes = {name: length for name, length in stack.axes.items() if name not in chosen}
        places = list(stack.places(**chosen))
        for place in places:
            photo = stack.read(segmenter.display_range, **place)
            found.append(job.segment(segmenter, photo).instances)
            if progress:
                progress()
    counts = [len(one) for one in found]
    record = json.dumps({"identity": identity, "report": {"counts": counts, "places": places}})
    job.out.mkdir(parents=True, exist_ok=True)
    _write_tables(files["csv"], places, found)
    with atomic_write(files["rois"]) as partial:
        write_rois(partial, _stack_rois(places, found))
    _write_stack(files["tiff"], [one.labels for one in found], axes, photo.pixel_size, record)
    return StackReport(counts, places, outputs)


def _stack_rois(places: Sequence[Mapping[str, int]], found: Sequence[Instances]) -> "Iterator[ImagejRoi]":
    """All outlines, each at the place of its picture in ImageJ's hyperstack."""
    for place, instances in zip(places, found, strict=True):
        yield from rois(instances, place, "".join(f"{axis[0]}{number}-" for axis, number in place.items()))


def _write_stack(
    file: Path,
    labels: Sequence[NDArray[np.int32]],
    axes: Mapping[str, int],
    pixel_size: PixelSize | None,
    record: str,
) -> None:
    """Write the labels as a hyperstack, whose axes have another order than the file's may have had."""
    if max(int(one.max(initial=0)) for one in labels) > np.iinfo(np.uint16).max:
        raise ValueError("a 16-bit picture has 65,535 numbers, and there are more objects: cut the picture in parts")
    values = np.stack(labels).astype(np.uint16).reshape(*axes.values(), *labels[0].shape)
    ordered = sorted(axes, key=list(HYPERSTACK).index)
    values = values.transpose(*(list(axes).index(name) for name in ordered), -2, -1)
    letters = "".join(HYPERSTACK[name] for name in ordered) + "YX"
    with atomic_write(file) as partial:
        tifffile.imwrite(partial, values, imagej=True, **imagej_options(pixel_size, axes=letters, Info=record))


def _write_tables(file: Path, places: Sequence[Mapping[str, int]], found: Sequence[Instances]) -> None:
    """Write all tables as one, with the place of the picture first."""
    with atomic_write(file) as partial, partial.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow([*places[0], *COLUMNS])
        for place, instances in zip(places, found, strict=True):
            rows.writerows([*place.values(), *row] for row in table_rows(instances))
