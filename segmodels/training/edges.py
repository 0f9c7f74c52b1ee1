"""How well a label map holds the edges of the true one.

A band around true edges, the trimap of the DeepLab papers' figures (arXiv 1606.00915, section 4.3), in which pixels are scored
as elsewhere; and Boundary IoU (Cheng et al. 2021, arXiv 2103.16562), which compares the rims of both maps' regions. An edge is
where neighbours differ in class, or where one is void: Pascal VOC draws its edges in void. The photo's border is none.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..labels import VOID
from .metrics import Scores, confusion_matrix

BANDS = (2, 4, 8, 16)
"""How far from a true edge, in pixels, the pixels of each band are at most."""

RIM = 0.02
"""How wide the rims of Boundary IoU are, in parts of the photo's diagonal (section 4.2 of its paper)."""


def edge_distances(labels: NDArray[np.uint8], most: int) -> NDArray[np.float32]:
    """How far each pixel of an (H, W) map is from the nearest pixel of another value, in pixels; infinite beyond ``most``."""
    across = np.full(labels.shape, np.inf, dtype=np.float32)
    height, width = labels.shape
    for offset in range(min(most, width - 1), 0, -1):  # in the same row
        differs = labels[:, offset:] != labels[:, :-offset]
        across[:, offset:][differs] = offset
        across[:, :-offset][differs] = offset
    squares = across**2
    nearest = squares.copy()
    for offset in range(1, min(most, height - 1) + 1):
        for here, there in ((slice(offset, None), slice(None, -offset)), (slice(None, -offset), slice(offset, None))):
            # Straight up or down is another value, or else the same one, which may have another beside it.
            beyond = np.where(labels[here] != labels[there], 0, squares[there]) + np.float32(offset**2)
            np.minimum(nearest[here], beyond, out=nearest[here])
    nearest[nearest > most**2] = np.inf
    return np.sqrt(nearest)


@dataclass(frozen=True)
class EdgeScores:
    """Confusion within each band of true edges, and what the rims of each class have in common, added up over photos."""

    num_classes: int
    bands: dict[int, NDArray[np.int64]] = field(init=False)
    """By width in pixels: true classes are rows, predicted ones columns."""
    rims: NDArray[np.int64] = field(init=False)
    """(2, num_classes): pixels in both rims, and in either."""

    def __post_init__(self) -> None:
        shape = (self.num_classes, self.num_classes)
        object.__setattr__(self, "bands", {width: np.zeros(shape, dtype=np.int64) for width in BANDS})
        object.__setattr__(self, "rims", np.zeros((2, self.num_classes), dtype=np.int64))

    def add(self, truth: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Count one photo: the true label map and the one to score, both (H, W)."""
        rim = max(round(RIM * float(np.hypot(*truth.shape))), 1)
        distances = edge_distances(truth, max(rim, *BANDS))
        for width, confusion in self.bands.items():
            near = distances <= width
            confusion += confusion_matrix(truth[near], labels[near], self.num_classes)
        labels = np.where(truth == VOID, np.uint8(VOID), labels)  # what is void in one is void in both
        rims = [distances <= rim, edge_distances(labels, rim) <= rim]
        counts = [
            np.bincount(map_[near], minlength=256)[: self.num_classes]
            for map_, near in zip((truth, labels), rims, strict=True)
        ]
        both = np.bincount(truth[rims[0] & rims[1] & (truth == labels)], minlength=256)[: self.num_classes]
        self.rims[0] += both
        self.rims[1] += counts[0] + counts[1] - both

    def band(self, width: int) -> Scores:
        """What is right within so many pixels of a true edge."""
        return Scores(self.bands[width])

    @property
    def boundary_iou(self) -> float | None:
        """The mean over the classes of Boundary IoU; those whose rim has no pixel in either are left out."""
        found = self.rims[1] > 0
        return float((self.rims[0][found] / self.rims[1][found]).mean()) if found.any() else None

    def report(self) -> dict[str, Any]:
        """All of it as JSON."""
        scores = {width: self.band(width) for width in self.bands}
        return {
            "pixel_accuracy": {str(width): one.pixel_accuracy for width, one in scores.items()},
            "miou": {str(width): one.miou() for width, one in scores.items()},
            "boundary_iou": self.boundary_iou,
        }
