"""Many photos: reading, segmenting and writing overlap, a bad file does not stop the rest, what is done is not redone."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ..inference.photo import Photo, PhotoError
from ..inference.segmenter import Segmenter
from .job import ForeignFileError, Job, Outcome, PhotoWriter, check_free, is_result

SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif"),
    *(".dcm", ".nii", ".nii.gz"),
)
"""What counts as a photo in a folder, in capitals too; hidden files do not. A file that is named is read whatever it is called."""

PREFETCH = 2
"""Photos that are read before, and written after, the one in the network: a bound on memory, whatever their number."""

Read = tuple[Path, dict[str, Any], Photo]
"""A photo that waits for the network, with its identity as it was before it was read."""

T = TypeVar("T")
R = TypeVar("R")


def photos_in(paths: Sequence[Path]) -> list[Path]:
    """The files among ``paths``, and of each folder among them the photos it holds, by name; earlier results are none.

    Raises:
        ValueError: if a folder holds none, or two photos have the same stem, so that one's pictures would overwrite the
            other's.
    """
    photos: list[Path] = []
    for path in paths:
        if path.is_dir():
            there = (file for file in path.iterdir() if file.name.lower().endswith(SUFFIXES) and file.is_file())
            named = sorted(file for file in there if not file.name.startswith("."))
            found = [file for file in named if not is_result(file)]
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


def segment_photo(writer: PhotoWriter, path: Path) -> Outcome:
    """One photo from file to files, unless it was done before.

    Raises:
        OSError: if pictures cannot be written.
    """
    read = _read(writer, path)
    return read if isinstance(read, Outcome) else _segmented(writer, read)()


def segment_many(job: Job, segmenter: Segmenter, photos: Sequence[Path]) -> Iterator[Outcome]:
    """The photos in order, read and written by threads while the network works on another.

    Raises:
        OSError: if pictures cannot be written.
    """
    writer = PhotoWriter(job, segmenter)
    with ThreadPoolExecutor(PREFETCH) as read_pool, ThreadPoolExecutor(PREFETCH) as write_pool:
        try:
            yield from _in_order(
                _written(writer, write_pool, _ahead(read_pool, lambda path: _read(writer, path), photos))
            )
        finally:
            read_pool.shutdown(wait=False, cancel_futures=True)
            write_pool.shutdown(wait=False, cancel_futures=True)


def _read(writer: PhotoWriter, path: Path) -> Outcome | Read:
    """The photo, or its outcome if it is known by now."""
    report = writer.earlier_report(path)
    if report is not None:
        return Outcome(path, report)
    try:
        check_free(writer.job.files(path).values())
        identity = writer.identity(path) if path.is_file() else {}
        return path, identity, writer.segmenter.read_photo(path, **dict(writer.job.place))
    except (PhotoError, ForeignFileError) as error:
        return Outcome(path, None, str(error))


def _segmented(writer: PhotoWriter, read: Read) -> Callable[[], Outcome]:
    """Run the network on a photo; what is left to do is to write the pictures."""
    path, identity, photo = read
    result = writer.job.segment(writer.segmenter, photo)

    def write() -> Outcome:
        try:
            return Outcome(path, writer.write(path, identity, photo, result))
        except ForeignFileError as error:
            return Outcome(path, None, str(error))

    return write


def _written(
    writer: PhotoWriter, write_pool: ThreadPoolExecutor, read: Iterator[Outcome | Read]
) -> Iterator["Future[Outcome]"]:
    for item in read:
        if isinstance(item, Outcome):
            yield write_pool.submit(lambda outcome: outcome, item)
        else:
            yield write_pool.submit(_segmented(writer, item))


def _ahead(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """``work`` of the items in order, started for ``PREFETCH`` of them before they are asked for."""
    return _in_order(pool.submit(work, item) for item in items)


def _in_order(futures: Iterator["Future[R]"]) -> Iterator[R]:
    """Results in order, with ``PREFETCH`` futures begun before the first is waited for."""
    begun: deque[Future[R]] = deque()
    for future in futures:
        begun.append(future)
        if len(begun) > PREFETCH:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
