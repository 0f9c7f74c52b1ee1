"""Strokes of a brush, and the cells of a feature map that lie under them.

Strokes are an (H, W) uint8 array of the photo's size: a class's index where it was painted, ``UNPAINTED`` elsewhere.
"""

import numpy as np
from numpy.typing import NDArray

from ..inference.label_map import Size, nearest_cells

UNPAINTED = 255
"""The value of a pixel that nothing was painted on; as in label maps, where it is void."""

STRIP_PIXELS = 4_000_000
"""Pixels looked at in one go, so that memory does not grow with what was painted."""


def check_strokes(strokes: NDArray[np.uint8], size: tuple[int, int], num_classes: int) -> None:
    """Raise ValueError unless ``strokes`` belong to a photo of ``size`` (width, height) and to these classes."""
    if not isinstance(strokes, np.ndarray) or strokes.dtype != np.uint8 or strokes.ndim != 2:
        raise ValueError(
            "strokes must be an (H, W) uint8 array, a class's index where it was painted and 255 elsewhere"
        )
    if strokes.shape[::-1] != tuple(size):
        raise ValueError(
            f"the strokes are {strokes.shape[1]} × {strokes.shape[0]} pixels and the photo {size[0]} × {size[1]}: "
            "they must have the photo's size"
        )
    used = np.bincount(strokes.ravel(), minlength=256).nonzero()[0]
    strange = used[(used >= num_classes) & (used != UNPAINTED)]
    if len(strange):
        raise ValueError(
            f"the strokes have the class {strange[0]}: classes go from 0 to {num_classes - 1}, and {UNPAINTED} is unpainted"
        )


def cells_under(
    strokes: NDArray[np.uint8], shape: tuple[int, int], num_classes: int, aligned_size: Size | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cells of a feature map that have a painted pixel, and the class of each.

    A pixel belongs to the cell whose middle is nearest. Where several classes were painted on one cell, it gets the one
    that covers most of it, or the first of two equals.

    Args:
        strokes: uint8, (H, W): the class of each painted pixel, 255 elsewhere.
        shape: (height, width) of the map, in cells.
        num_classes: the number of classes.
        aligned_size: (height, width) of the network's input, if its cells lie on corners.

    Returns:
        The cells, counted row by row and in that order, and their classes, both (N,).
    """
    height, width = shape
    seen = aligned_size or (None, None)
    rows, columns = (nearest_cells(*each) for each in zip(shape, strokes.shape, seen, strict=True))
    counts = np.zeros(height * width * num_classes, dtype=np.int64)
    strip = max(STRIP_PIXELS // strokes.shape[1], 1)
    for top in range(0, strokes.shape[0], strip):
        down, across = np.nonzero(strokes[top : top + strip] != UNPAINTED)
        cells = rows[top + down] * width + columns[across]
        counts += np.bincount(cells * num_classes + strokes[top + down, across], minlength=len(counts))
    by_cell = counts.reshape(-1, num_classes)
    painted = np.flatnonzero(by_cell.any(1))
    return painted, by_cell[painted].argmax(1)
