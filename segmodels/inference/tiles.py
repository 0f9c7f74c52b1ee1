"""Pictures of any size: overlapping tiles, with borders mirrored (U-Net, section 2, figure 2).

Each tile is segmented with what lies around it, and only its middle is kept. So every pixel sees as much as it would if the
network saw the whole picture at once, and there are no seams.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .contrast import contrast_range, stretch_contrast
from .label_map import argmax_classes

OVERLAP = 96
"""Pixels around a tile: as far as the U-Net sees from a cell of 16 x 16 pixels, the least it pools. Unpadded, it makes 388
pixels of 572, 92 less on each side (figure 1); 96 is the next multiple of 16, so that tiles are pooled as the whole is."""

TILE = 512
"""Pixels of a tile's side, without what lies around it."""

Progress = Callable[[int, int], None]
"""Told how many tiles are done, and of how many."""

Pixels = NDArray[np.generic]


@dataclass(frozen=True)
class Tiled:
    """A picture's classes, and how sure the network was."""

    labels: NDArray[np.uint8]
    """(H, W), an index into the classes."""
    confidence: tuple[float | None, ...]
    """The mean probability of each class over the pixels that were given it; None where it was not found."""


def segment_tiles(
    logits_of: Callable[[Tensor], Tensor],
    picture: Pixels,
    tile: int = TILE,
    progress: Progress | None = None,
    overlap: int = OVERLAP,
) -> Tiled:
    """Find the class of every pixel of a picture of any size, tile by tile.

    Memory does not grow with the picture but for the labels, a byte a pixel: ``picture`` may be a memory map.

    Args:
        logits_of: from (h, w, 3) pixels of 0 to 255 to (C, h, w) logits, on the processor.
        picture: (H, W) grey or (H, W, 3) RGB of any type of numbers. Its contrast is stretched, the same in all tiles.
        tile: the side of the tiles in pixels, a multiple of 16.
        progress: called after each tile with the number that are done and the number of all.
        overlap: pixels around a tile that the network sees too, a multiple of 16; with fewer than ``OVERLAP`` there are seams.

    Raises:
        ValueError: for a picture, a tile or an overlap of another kind, and a picture without a valid value.
    """
    if picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)) or not picture.size:
        raise ValueError(f"a picture is (H, W) or (H, W, 3), not {picture.shape}")
    if tile < 16 or tile % 16:
        raise ValueError(f"the side of a tile must be a multiple of 16, not {tile}")
    if overlap < 0 or overlap % 16:
        raise ValueError(f"the overlap of tiles must be a multiple of 16, not {overlap}")
    height, width = picture.shape[:2]
    labels = np.empty((height, width), dtype=np.uint8)
    limits = contrast_range(picture)
    counts: NDArray[np.float64] = np.zeros(0)
    sums: NDArray[np.float64] = np.zeros(0)
    places = list(tile_corners(height, width, tile))
    for done, (top, left) in enumerate(places, 1):
        pixels = torch.from_numpy(seen_by_tile(picture, top, left, tile, overlap).astype(np.float32))
        logits = logits_of(stretch_contrast(pixels, limits))
        part = labels[top : top + tile, left : left + tile]
        kept = logits[:, overlap : overlap + part.shape[0], overlap : overlap + part.shape[1]]
        part[...] = argmax_classes(kept).numpy()
        found = np.bincount(part.ravel(), minlength=len(kept)).astype(np.float64)
        sure = np.bincount(part.ravel(), kept.softmax(0).amax(0).numpy().ravel(), len(kept)).astype(np.float64)
        counts, sums = (found, sure) if done == 1 else (counts + found, sums + sure)
        if progress:
            progress(done, len(places))
    confidence = (total / count if count else None for total, count in zip(sums.tolist(), counts.tolist(), strict=True))
    return Tiled(labels, tuple(confidence))


def tile_corners(height: int, width: int, tile: int) -> Iterator[tuple[int, int]]:
    """Return where the tiles of a picture begin: rows and columns, a row of tiles after the other."""
    return ((top, left) for top in range(0, height, tile) for left in range(0, width, tile))


def seen_by_tile(picture: Pixels, top: int, left: int, tile: int = TILE, overlap: int = OVERLAP) -> Pixels:
    """Return what the network sees for the tile that begins at ``top``, ``left``: (h, w, 3), the tile and what lies around it.

    Beyond the picture's edge it goes on as in a mirror (figure 2).
    """
    height, width = picture.shape[:2]
    rows = _mirrored(top, min(tile, height - top), height, overlap)
    return _cut(picture, rows, _mirrored(left, min(tile, width - left), width, overlap))


def _mirrored(start: int, length: int, side: int, overlap: int = OVERLAP) -> NDArray[np.int64]:
    """Return the rows (or columns) that a tile from ``start`` sees; beyond the picture's ``side`` they go back, as in a mirror.

    Their number is a multiple of 16.
    """
    seen = -(-length // 16) * 16 + 2 * overlap
    places = np.arange(start - overlap, start - overlap + seen)
    if side == 1:
        return np.zeros_like(places)
    turned = np.abs(places) % (2 * (side - 1))
    return np.minimum(turned, 2 * (side - 1) - turned)


def _cut(picture: Pixels, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pixels:
    """Return these rows and columns as (h, w, 3). Of a memory map, only what lies between them is read."""
    first = rows.min(), columns.min()
    block = picture[first[0] : rows.max() + 1, first[1] : columns.max() + 1]
    cut = block[np.ix_(rows - first[0], columns - first[1])]
    return cut if cut.ndim == 3 else np.repeat(cut[..., None], 3, axis=2)
