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

MEASURES = {
    "miou": "mIoU",
    "miou7": "mIoU-7",
    "miou_of_present_classes": "mIoU of present classes",
    "pixel_accuracy": "pixel accuracy",
}
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
        """Intersection over union of each class; None where neither the truth nor the prediction has a pixel of it."""
        hits = np.diag(self.confusion)
        union = self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - hits
        return [float(hit / size) if size else None for hit, size in zip(hits, union, strict=True)]

    @property
    def miou7(self) -> float | None:
        """Mean IoU over the seven classes of which the bundled weights' validation photos hold enough to score; None where
        there is no pixel of any."""
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

    def miou(self, classes: Sequence[int] | None = None) -> float | None:
        """Mean IoU over ``classes``, or over all; None if none of them has a pixel.

        As in the papers (FCN, section 5, and the Pascal VOC, Cityscapes and COCO-Stuff scripts), a class that is predicted
        where the truth has none counts as 0; one that neither has is left out.
        """
        iou = self.iou
        known = [
            value for index in (range(len(iou)) if classes is None else classes) if (value := iou[index]) is not None
        ]
        return float(np.mean(known)) if known else None

    @property
    def present(self) -> list[int]:
        """The classes of which the truth has a pixel."""
        return [index for index, pixels in enumerate(self.pixels) if pixels]

    @property
    def miou_of_present_classes(self) -> float | None:
        """Mean IoU over the classes of which the truth has a pixel; None if it has none.

        It leaves out what ``miou`` counts as 0: classes that are predicted and that the truth does not have.
        """
        return self.miou(self.present)

    def measures(self, classes: Sequence[str]) -> dict[str, float]:
        """By name, what there is to say of all classes together: ``miou7`` of Pascal VOC's, ``miou``, ``pixel_accuracy`` and
        ``miou_of_present_classes``.
        """
        found = {
            "miou7": self.miou7 if tuple(classes) == VOC_CLASSES and self.present else None,
            "miou": self.miou(),
            "miou_of_present_classes": self.miou_of_present_classes,
            "pixel_accuracy": self.pixel_accuracy,
        }
        return {name: value for name, value in found.items() if value is not None}

    def notes(self, classes: Sequence[str]) -> list[str]:
        """Sentences about what the numbers cannot say: of fewer than two classes there is nothing to tell apart."""
        if len(self.present) != 1:
            return []
        name = classes[self.present[0]]
        return [
            f"every scored pixel is truly {name}: the scores are of one class, and do not say whether classes are told apart"
        ]

    def summary(self, classes: Sequence[str]) -> str:
        """The same in words."""
        found = self.measures(classes)
        said = [f"{title} {found[name]:.3f}" for name, title in MEASURES.items() if name in found]
        return ", ".join(said) or "nothing to score: all pixels are void"
