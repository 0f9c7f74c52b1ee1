"""What a run would stumble over, looked for before its first step."""

from collections.abc import Sequence

import numpy as np

from .check import empty_classes, one_class_problem
from .data import SegmentationFolder, stored_size


def look_over(folders: Sequence[SegmentationFolder], validation: SegmentationFolder | None) -> list[str]:
    """Read every label map and validation photo once, and compare sizes; return sentences about classes without a pixel.

    Raises:
        ValueError: if a pair is faulty, or train or validation have fewer than two classes to tell apart.
    """
    counts = np.zeros(256, dtype=np.int64)
    for folder in folders:
        for index in range(len(folder)):
            counts += np.bincount(_sized_labels(folder, index).ravel(), minlength=256)
    classes = folders[0].class_list
    if problem := one_class_problem(counts, classes):
        raise ValueError(f"{folders[0].root}/{folders[0].split}.txt: {problem}")
    if validation is not None:
        _check_validation(validation)
    names = empty_classes(counts, classes)
    if not names or not (folders[0].root / "classes.txt").is_file():
        return []
    return [
        f"no label map has a pixel of {', '.join(names)}: the network will not learn {'it' if len(names) == 1 else 'them'}"
    ]


def _check_validation(validation: SegmentationFolder) -> None:
    counts = np.zeros(256, dtype=np.int64)
    for index in range(len(validation)):
        counts += np.bincount(validation[index][1].ravel(), minlength=256)
    if problem := one_class_problem(counts, validation.class_list):
        raise ValueError(f"{validation.root}/{validation.split}.txt: {problem}")


def _sized_labels(folder: SegmentationFolder, index: int) -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    labels = folder.labels(index)
    path = folder.photo_path(folder.stems[index])
    size, turn = stored_size(path)
    if labels.shape[::-1] not in (size, size if turn is None else size[::-1]):
        raise ValueError(
            f"{path} has {size[0]} x {size[1]} pixels and its label map {labels.shape[1]} x {labels.shape[0]}"
        )
    return labels
