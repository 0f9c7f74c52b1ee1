"""How a label map is scored against the true one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..labels import VOC_CLASSES, VOID

SCORED_CLASSES = tuple(
    VOC_CLASSES.index(name) for name in ("background", "cat", "cow", "dog", "horse", "person", "sheep")
)
"""The classes of mIoU-7."""

MEASURES = {"miou": "mIoU", "miou7": "mIoU-7", "pixel_accuracy": "pixel accuracy"}
"""What is said of all classes together: its name for programs, and in print."""


def confusion_matrix(truth: NDArray[np.uint8], labels: NDArray[np.uint8], num_classes: int) -> NDArray[np.int64]:
    """Pixels of true class i (row) that were given label j (column); void pixels of ``truth`` are left out.

    Raises:
        ValueError: if the shapes differ.
    """
    if truth.shape != labels.shape:
        raise ValueError(f"the label maps differ in size: {truth.shape} and {labels.shape}")
    scored = truth != VOID
    pairs = truth[scored].astype(np.int64) * num_classes + labels[scored]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says: rows are true classes, columns predicted ones, values pixels."""

    confusion: NDArray[np.int64]

    @property
    def iou(self) -> list[float | None]:
        """Intersection over union of each class; None where the truth has no pixel of it."""
        hits = np.diag(self.confusion)
        union = self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - hits
        scored = zip(hits, union, self.pixels, strict=True)
        return [float(hit / size) if pixels else None for hit, size, pixels in scored]

    @property
    def miou7(self) -> float | None:
        """Mean IoU over the seven classes of which the bundled weights' validation photos hold enough to score; None where
        the truth has no pixel of any."""
        return self.miou(SCORED_CLASSES)

    @property
    def pixels(self) -> list[int]:
        """Pixels of each class in the truth."""
        return cast(list[int], self.confusion.sum(axis=1).tolist())

    @property
    def pixel_accuracy(self) -> float | None:
        """Share of the scored pixels that have the right label; None where all are void."""
        scored = self.confusion.sum()
        return float(np.diag(self.confusion).sum() / scored) if scored else None

    def miou(self, classes: tuple[int, ...] | None = None) -> float | None:
        """Mean IoU over ``classes``, or over all; those without a pixel are left out, and if none has one it is None."""
        iou = self.iou
        chosen = [iou[index] for index in (classes or range(len(iou)))]
        known = [value for value in chosen if value is not None]
        return float(np.mean(known)) if known else None

    def measures(self, classes: Sequence[str]) -> dict[str, float]:
        """By name, what there is to say of all classes together: ``miou7`` of Pascal VOC's, ``miou``, ``pixel_accuracy``."""
        seven = self.miou7 if tuple(classes) == VOC_CLASSES else None
        found = {"miou7": seven, "miou": self.miou(), "pixel_accuracy": self.pixel_accuracy}
        return {name: value for name, value in found.items() if value is not None}

    def summary(self, classes: Sequence[str]) -> str:
        """The same in words."""
        found = self.measures(classes)
        said = [f"{title} {found[name]:.3f}" for name, title in MEASURES.items() if name in found]
        return ", ".join(said) or "nothing to score: all pixels are void"
