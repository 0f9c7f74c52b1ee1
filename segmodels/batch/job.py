"""What is done to every photo, and the pictures that say of themselves what they were made from.

Each picture carries a record: the photo's path, size and time, the hash of the weights, the settings, the precision.
So what is done is known from the pictures alone, a result is never taken for a photo, and a file that has no record is
somebody's own and stays as it is.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .. import __version__
from ..crf.parameters import CRF
from ..inference.instances import ENDINGS, instance_files
from ..inference.loading import load, resolve_name
from ..inference.photo import Photo
from ..inference.pictures import figure, label_image
from ..inference.result import Segmentation
from ..inference.segmenter import Segmenter
from ..models import registry

PICTURES = ("overlay", "figure", "labels")
"""What is written of a photo; the label map comes last."""

INSTANCES = "instances"
"""What can be written too where objects are told apart: their labels, table and outlines."""

RECORD = "segmodels"
"""The text chunk of a PNG that says how it was made."""

PARTIAL = ".segmodels-"
"""How the folders begin in which pictures wait until they are whole."""

Report = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What is done to every photo."""

    out: Path
    """The folder for the pictures."""
    model: str
    weights: str | None = None
    atrous_rate: int | None = None
    output_stride: int | None = None
    working_size: int | None = None
    precision: str | None = None
    device: str | None = None
    pictures: tuple[str, ...] = PICTURES
    """Which are written."""
    force: bool = False
    """Whether what is done is done again."""
    grey: bool = False
    """Whether label maps are grey: a pixel's level is its class, for readers that see colours in a palette."""
    crf: CRF | None = None
    """None for the network's own labels."""
    place: tuple[tuple[str, int], ...] = ()
    """Which picture of files that hold several, such as ``(("channel", 2), ("z", 8))``; the first if empty."""

    def load(self) -> Segmenter:
        """The network; errors as of ``segmodels.load``."""
        return load(self.model, self.weights, self.device, self.precision)

    def segment(self, segmenter: Segmenter, photo: Photo) -> Segmentation:
        return segmenter(photo.image, self.atrous_rate, self.output_stride, self.working_size, crf=self.crf)

    def stem(self, path: Path) -> str:
        """How the names of the results of the photo at ``path`` begin: with the place that was chosen, as in ``cells_c2_z8``."""
        return path.stem + "".join(f"_{axis[0]}{number}" for axis, number in self.place)

    def files(self, path: Path) -> dict[str, Path]:
        """Where the pictures of the photo at ``path`` go."""
        return {
            name: self.out / f"{self.stem(path)}_{name}.png" for name in (INSTANCES, *PICTURES) if name in self.pictures
        }

    def beside(self, path: Path) -> dict[str, Path]:
        """Where the other files of the objects in the photo at ``path`` go."""
        files = instance_files(self.out, self.stem(path)) if INSTANCES in self.pictures else {}
        return {kind: file for kind, file in files.items() if kind != INSTANCES}

    def with_path(self, report: Report, path: Path) -> Report:
        """A report of the photo with the names of files as this job has them."""
        files = {**self.files(path), **self.beside(path)}
        return {**report, "file": str(path), "outputs": {name: str(file) for name, file in files.items()}}


@dataclass(frozen=True)
class Outcome:
    """What became of a photo: a report, or a sentence that says why there is none."""

    path: Path
    report: Report | None
    problem: str | None = None


class ForeignFileError(ValueError):
    """A picture would overwrite a file that is not one of ours; the message says which."""


class PhotoWriter:
    """A job with its Segmenter: knows what pictures of a photo would be made from, and makes them."""

    def __init__(self, job: Job, segmenter: Segmenter) -> None:
        self.job = job
        self.segmenter = segmenter
        self._settings = {
            "segmodels": __version__,
            "model": job.model,
            "weights": weights_hash(job.model, job.weights),
            "atrous_rate": job.atrous_rate,
            "output_stride": job.output_stride,
            "working_size": job.working_size,
            "precision": segmenter.precision,
            **({"grey": True} if job.grey else {}),
            "crf": job.crf and asdict(job.crf),
            **({"place": [list(pair) for pair in job.place]} if job.place else {}),
        }

    def identity(self, path: Path) -> dict[str, Any]:
        """What the pictures of a photo depend on: the file as it is now, and how it is segmented."""
        stamp = path.stat()
        return {"photo": [str(path.absolute()), stamp.st_size, stamp.st_mtime_ns], **self._settings}

    def earlier_report(self, path: Path) -> Report | None:
        """The report of an earlier run, if all pictures are there and were made from the same."""
        if self.job.force:
            return None
        with suppress(OSError):
            records = [read_record(file) for file in self.job.files(path).values()]
            if not all(file.is_file() for file in self.job.beside(path).values()):
                return None
            identity = self.identity(path)
            if all(record is not None and record["identity"] == identity for record in records):
                return self.job.with_path(records[0]["report"], path) if records[0] else None
        return None

    def write(self, path: Path, identity: dict[str, Any], photo: Photo, result: Segmentation) -> Report:
        """Write the pictures, each with a record; they are seen when all are whole, the label map last.

        ``identity`` is the photo's as it was before it was read.

        Raises:
            ForeignFileError: if a file of such a name is somebody's own.
        """
        report = self.job.with_path(result.report(), path)
        report["notes"] += photo.notes
        record = json.dumps({"identity": identity, "report": report})
        files, beside = self.job.files(path), self.job.beside(path)
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=self.job.out) as waiting:
            for name in files:
                _save(name, Path(waiting, name), photo, result, record, self.job.grey)
            check_free(files.values())
            check_free_beside(files, beside.values())
            for kind, file in beside.items():
                instance_files(Path(waiting), INSTANCES)[kind].replace(file)
            for name, file in files.items():
                Path(waiting, name).replace(file)
        return report


def _save(name: str, file: Path, photo: Photo, result: Segmentation, record: str, grey: bool) -> None:
    info = PngInfo()
    info.add_text(RECORD, record)
    match name:
        case "labels":
            image = Image.fromarray(result.labels) if grey else label_image(result.labels, result.class_list)
            image.save(file, "PNG", pnginfo=info)
        case "overlay":  # a quarter of the time, a third more bytes
            result.overlay(photo.image).save(file, "PNG", pnginfo=info, compress_level=1)
        case "figure":
            figure(photo.image, result.labels, result.class_list).savefig(file, format="png", metadata={RECORD: record})
        case "instances":
            written = result.instances.save(file.parent, INSTANCES, info, photo)
            written[INSTANCES].replace(file)


def read_record(file: Path) -> dict[str, Any] | None:
    """How a picture, or a stack of labels, was made; None if there is none, or it was not made here."""
    try:
        record = json.loads(_record_text(file))
        if isinstance(record, dict) and {"identity", "report"} <= record.keys():
            return record
    except (OSError, KeyError, TypeError, ValueError, SyntaxError):
        pass
    return None


def _record_text(file: Path) -> str:
    if file.suffix == ".tif":
        with tifffile.TiffFile(file) as tiff:
            return str((tiff.imagej_metadata or {})["Info"])
    with Image.open(file, formats=["PNG"]) as picture:
        return str(picture.info[RECORD])


def is_result(file: Path) -> bool:
    """Whether a file is a picture that was made here, or by its name the labels of objects."""
    return file.name.endswith(ENDINGS["tiff"]) or (
        file.stem.endswith(tuple(f"_{name}" for name in (INSTANCES, *PICTURES))) and read_record(file) is not None
    )


def check_free(files: Iterable[Path]) -> None:
    """Raise ForeignFileError for the first of ``files`` that is there, and not a picture that was made here."""
    for file in files:
        if os.path.lexists(file) and read_record(file) is None:
            raise ForeignFileError(
                f"{file} is there already and was not made here, so it is left alone: choose another folder"
            )


def check_absent(files: Iterable[Path]) -> None:
    """Raise ForeignFileError for the first of ``files`` that is there: they say nowhere what made them."""
    for file in files:
        if os.path.lexists(file):
            raise ForeignFileError(f"{file} is there already, so it is left alone: choose another folder")


def check_free_beside(files: dict[str, Path], beside: Iterable[Path]) -> None:
    """Raise ForeignFileError for the first file ``beside`` the labels of objects that is there while those labels are not."""
    for file in beside:
        if os.path.lexists(file) and read_record(files[INSTANCES]) is None:
            raise ForeignFileError(
                f"{file} is there already and was not made here, so it is left alone: choose another folder"
            )


def delete_partial(out: Path) -> None:
    """Delete what runs left that were killed while they wrote, a day ago or longer."""
    for folder in out.glob(f"{PARTIAL}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > 24 * 3600:
                shutil.rmtree(folder)


def weights_hash(model: str, weights: str | None) -> str:
    """The SHA-256 of the weights' file, and of the bundled one whose backbone a decoder alone is joined to.

    Raises:
        ValueError: for an unknown network, or one without weights that can be had.
        OSError: if a file cannot be read.
    """
    name, file = resolve_name(model, weights)
    card = registry.card(name)
    digest = hashlib.sha256()
    if file is None or card.source == "bundled":
        digest.update(card.weights_file().read_bytes())
    if file is not None:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()
