"""A folder of numbered objects looked over before anyone trains on it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..inference.photo import read_photo
from ..labels import NUCLEI
from .check import SPLITS, Findings, check_lists, some
from .instances import NUMBER_SUFFIXES, NUMBER_TAILS, numbers_of, read_instances
from .pairs import PHOTO_SUFFIXES, Files, files_in, missing, photo_of, read_stems


def check_instances(root: Path) -> Findings:
    """Look over all splits of the folder at ``root``, which has ``instances/`` in place of ``labels/``.

    Raises:
        FileNotFoundError: if ``images/`` or every list is missing.
    """
    if not (root / "images").is_dir():
        raise FileNotFoundError(missing(root, "images"))
    lists = {split: read_stems(root / f"{split}.txt") for split in SPLITS if (root / f"{split}.txt").is_file()}
    if not lists:
        raise FileNotFoundError(missing(root, "train.txt"))
    findings = Findings(NUCLEI)
    photos, numbers = files_in(root / "images", PHOTO_SUFFIXES), files_in(root / "instances", NUMBER_SUFFIXES)
    for split, stems in lists.items():
        looked = _Split()
        for stem in stems:
            for what, said in looked.faults(photo_of(photos, stem, root), numbers_of(numbers, stem, root)):
                looked.wrong.setdefault(what, []).append(said)
        findings.photos[split] = len(stems)
        findings.problems += [f"{split}: {what}: {some(names)}." for what, names in looked.wrong.items()]
        if not stems:
            findings.problems.append(f"{split}: the list is empty.")
        elif looked.areas:
            findings.remarks.append(looked.sentence(split))
        if looked.empty:
            findings.remarks.append(f"{split}: pictures without an object: {some(looked.empty)}.")
    check_lists(root, lists, _by_picture(numbers), findings)
    return findings


class _Split:
    """What is in the pictures of one split."""

    def __init__(self) -> None:
        self.wrong: dict[str, list[str]] = {}
        self.empty: list[str] = []
        self.counts: list[int] = []
        self.areas: list[int] = []

    def faults(self, photo: Path, numbers: Path) -> Iterator[tuple[str, str]]:
        """What is wrong with one pair: the kind of fault, and the pair as it is to be named. Counts its objects."""
        if not photo.is_file():
            yield "pictures are missing from images/", photo.stem
        if not numbers.is_file():
            yield "numbers of objects are missing from instances/", numbers.stem
            return
        try:
            values = read_instances(numbers)
        except ValueError as error:
            yield "numbers of objects cannot be read", str(error).rstrip(".")
            return
        sizes = np.bincount(values.ravel())[1:]
        sizes = sizes[sizes > 0]
        self.counts.append(len(sizes))
        self.areas += sizes.tolist()
        if not len(sizes):
            self.empty.append(numbers.name)
        if len(sizes) == 1 and (parts := ndimage.label(values)[1]) > 1:
            yield "one number for several objects, where each needs its own", f"{numbers.name} ({parts} apart)"
        if photo.is_file():
            try:
                width, height = read_photo(photo).image.size
            except ValueError as error:
                yield "pictures cannot be read", f"{photo.name} ({str(error).rstrip('.')})"
                return
            if values.shape != (height, width):
                yield (
                    "sizes differ",
                    f"{photo.name} {width} x {height}, its numbers {values.shape[1]} x {values.shape[0]}",
                )

    def sentence(self, split: str) -> str:
        """How many objects there are, and how large."""
        return (
            f"{split}: {len(self.areas):,} objects, {min(self.counts)} to {max(self.counts)} in a picture, "
            f"median {np.median(self.areas):,.0f} px."
        )


def _by_picture(numbers: Files) -> Files:
    """Files of numbers by the names of their pictures."""
    endings = tuple(filter(None, NUMBER_TAILS))
    return {next((s.removesuffix(e) for e in endings if s.endswith(e)), s): path for s, path in numbers.items()}
