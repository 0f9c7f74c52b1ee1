"""Many photos: reading, segmenting and writing overlap, a bad file does not stop the rest, what is done is not redone."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..inference.photo import Photo, PhotoError, read_photo
from ..inference.pictures import figure, label_image, overlay
from ..inference.segmentation import Segmentation
from ..segmenter import Segmenter

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
"""What counts as a photo in a folder. A file that is named is read whatever it is called."""

AHEAD = 2
"""Photos that are read before, and written after, the one in the network: a bound on memory, whatever their number."""

PICTURES = ("labels", "overlay", "figure")
RECORD = "segmodels"
"""The text chunk of a label map's PNG that says how it was made."""

Report = dict[str, Any]
T = TypeVar("T")
R = TypeVar("R")


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

    def segment(self, segmenter: Segmenter, photo: Photo) -> Segmentation:
        return segmenter(photo.image, self.atrous_rate, self.output_stride, self.working_size)

    def files(self, path: Path) -> dict[str, Path]:
        """Where the pictures of the photo at ``path`` go."""
        return {name: self.out / f"{path.stem}_{name}.png" for name in PICTURES}

    def named(self, report: Report, path: Path) -> Report:
        """A report of the photo with the names of files as this job has them."""
        return {**report, "file": str(path), "outputs": {name: str(file) for name, file in self.files(path).items()}}

    def identity(self, path: Path) -> dict[str, Any]:
        """What the pictures of a photo depend on: the settings, and the file as it is now."""
        stamps = [Path(file).stat() for file in (path, self.weights) if file is not None]
        return {
            "settings": {**asdict(self), "out": None},
            "files": [[stamp.st_size, stamp.st_mtime_ns] for stamp in stamps],
        }


@dataclass(frozen=True)
class Outcome:
    """What became of a photo: a report, or a sentence that says why there is none."""

    path: Path
    report: Report | None
    problem: str | None = None


def photos_in(paths: Sequence[Path]) -> list[Path]:
    """The files among ``paths``, and of each folder among them the photos it holds, by name.

    Raises:
        ValueError: if a folder holds none, or two photos have the same stem, so that one's pictures would overwrite the
            other's.
    """
    photos: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
            if not found:
                raise ValueError(f"there are no photos in the folder {path}")
            photos += found
        else:
            photos.append(path)
    seen: set[str] = set()
    for photo in photos:
        if photo.stem in seen:
            raise ValueError(f"two photos are called {photo.stem}, and their results would overwrite each other")
        seen.add(photo.stem)
    return photos


def done_before(job: Job, path: Path) -> Report | None:
    """The report of an earlier run, if its pictures are there and the photo and the settings are the same."""
    files = job.files(path)
    try:
        with Image.open(files["labels"], formats=["PNG"]) as labels:
            record = json.loads(labels.info[RECORD])
        if record["identity"] == job.identity(path) and all(file.is_file() for file in files.values()):
            return job.named(record["report"], path)
    except (OSError, KeyError, TypeError, ValueError):  # no pictures, or none that this made
        pass
    return None


def write(job: Job, path: Path, photo: Photo, result: Segmentation) -> Report:
    """Write the pictures; the label map comes last, whole or not at all, with a record of what made it."""
    files = job.files(path)
    report = job.named(result.report(), path)
    report["notes"] += photo.notes
    overlay(photo.image, result.labels).save(
        files["overlay"], compress_level=1
    )  # a quarter of the time, a third more bytes
    figure(photo.image, result.labels, result.classes).savefig(files["figure"])
    record = PngInfo()
    record.add_text(RECORD, json.dumps({"identity": job.identity(path), "report": report}))
    partial = files["labels"].with_suffix(".partial")
    label_image(result.labels).save(partial, "PNG", pnginfo=record)
    partial.replace(files["labels"])
    return report


def segment_photo(job: Job, segmenter: Segmenter, path: Path) -> Outcome:
    """One photo from file to files, unless it was done before."""
    try:
        report = done_before(job, path)
        if report is None:
            photo = read_photo(path)
            report = write(job, path, photo, job.segment(segmenter, photo))
        return Outcome(path, report)
    except PhotoError as error:
        return Outcome(path, None, str(error))


def segment_many(job: Job, segmenter: Segmenter, photos: Sequence[Path]) -> Iterator[Outcome]:
    """The photos in order, read and written by threads while the network works on another.

    Raises:
        OSError: if pictures cannot be written.
    """
    with ThreadPoolExecutor(AHEAD) as readers, ThreadPoolExecutor(AHEAD) as writers:
        try:
            read = _ahead(readers, lambda path: _read(job, path), photos)
            yield from _in_order(_segmented(job, segmenter, writers, read))
        finally:
            readers.shutdown(wait=False, cancel_futures=True)
            writers.shutdown(wait=False, cancel_futures=True)


def _read(job: Job, path: Path) -> Outcome | tuple[Path, Photo]:
    """The photo, or its outcome if it is known by now."""
    report = done_before(job, path)
    if report is not None:
        return Outcome(path, report)
    try:
        return path, read_photo(path)
    except PhotoError as error:
        return Outcome(path, None, str(error))


def _segmented(
    job: Job, segmenter: Segmenter, writers: ThreadPoolExecutor, read: Iterator[Outcome | tuple[Path, Photo]]
) -> Iterator["Future[Outcome]"]:
    for item in read:
        if isinstance(item, Outcome):
            yield writers.submit(lambda outcome: outcome, item)
        else:
            path, photo = item
            result = job.segment(segmenter, photo)
            yield writers.submit(lambda *made: Outcome(made[1], write(*made)), job, path, photo, result)


def _ahead(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """``work`` of the items in order, started for ``AHEAD`` of them before they are asked for."""
    return _in_order(pool.submit(work, item) for item in items)


def _in_order(futures: Iterator["Future[R]"]) -> Iterator[R]:
    """Results in order, with ``AHEAD`` futures begun before the first is waited for."""
    begun: deque[Future[R]] = deque()
    for future in futures:
        begun.append(future)
        if len(begun) > AHEAD:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
