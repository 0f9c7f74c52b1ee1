"""From logits to a label map at the photo's own size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.layers import factor_between

STRIP_VALUES = 4_000_000
"""Logits that are held at once while a label map is made at the photo's size: 16 MB in float32."""

MANY_BORDER_PIXELS = 0.25
"""The part of a strip from which on interpolating all of it is faster than picking out the pixels along borders."""


def argmax_classes(logits: Tensor) -> Tensor:
    """The (h, w) index of the best class of every cell of (C, h, w) logits. Much faster than ``argmax``, and the same."""
    return logits.max(0).indices


Size = tuple[int, int]
"""(height, width), in pixels, of a network's input whose cells lie on corners: cell i at pixel ``stride * i``."""


def label_map(
    logits: Tensor, size: tuple[int, int], winners: Tensor | None = None, aligned_size: Size | None = None
) -> NDArray[np.uint8]:
    """The best class of every pixel of a photo of ``size`` (height, width), from (C, h, w) logits.

    The logits are interpolated bilinearly, so edges are smooth at any size, and only those of classes that win
    somewhere in the logits: no class is invented on the way. Where one class wins in all four cells around a pixel it
    wins there too, since interpolation is a weighted mean, so only pixels along borders are interpolated. It is done in
    strips, so that memory does not grow with the number of classes times the size of the photo.

    ``winners`` are the ``argmax_classes``, if they are known already. ``aligned_size`` is the size at which the network saw the
    photo, where ``align_corners`` is set; without it they lie in the middle of what they cover.
    """
    logits = logits.cpu()  # a few megabytes, whatever the photo's size
    winners = argmax_classes(logits) if winners is None else winners.cpu()
    present = torch.bincount(winners.ravel(), minlength=len(logits)).nonzero().ravel()
    if len(present) == 1:
        return np.full(size, present.item(), dtype=np.uint8)
    height, width = size
    names = present.to(torch.uint8)
    rows, columns = Between.both(logits, size, aligned_size)
    cells = winners.to(torch.uint8).numpy()
    labels = cells[:, columns.first.numpy()].take(rows.first.numpy(), 0)  # five times as fast as indexing
    on_borders = borders(cells)[:, columns.first.numpy()]
    logits = logits[present]
    strip = max(STRIP_VALUES // (len(present) * width), 1)
    for top in range(0, height, strip):
        part = slice(top, top + strip)
        on_border = torch.from_numpy(np.flatnonzero(on_borders.take(rows.first[part].numpy(), 0)))
        if not len(on_border):
            continue
        down = torch.lerp(logits[:, rows.first[part]], logits[:, rows.second[part]], rows.share[part, None])
        if len(on_border) > MANY_BORDER_PIXELS * labels[part].size:
            labels[part] = names[_best_of_all(down, columns)].numpy()
        else:
            labels[part].ravel()[on_border.numpy()] = names[_best_at(on_border, down, columns)].numpy()
    return labels


@dataclass(frozen=True)
class Between:
    """Between which two cells each pixel along an edge lies, and how near to the second, 0 to 1."""

    first: Tensor
    second: Tensor
    share: Tensor

    @classmethod
    def cells(cls, count: int, pixels: int, seen: int | None = None) -> "Between":
        """``count`` cells spread over ``pixels`` pixels, which the network saw as ``seen`` where ``align_corners`` is set.

        A pixel's middle lies where resizing the photo put it, whatever the grid; a cell, where convolutions left it.
        """
        if seen is None:
            position = (torch.arange(pixels) + 0.5) * count / pixels - 0.5
        else:
            position = ((torch.arange(pixels) + 0.5) * seen / pixels - 0.5) / factor_between(count, seen)
        position = position.clamp(0, count - 1)
        first = position.long()
        return cls(first, (first + 1).clamp(max=count - 1), position - first)

    @classmethod
    def both(cls, logits: Tensor, size: Size, aligned_size: Size | None) -> "tuple[Between, Between]":
        """Between which rows and columns of (C, h, w) logits the pixels of a photo of ``size`` (height, width) lie."""
        seen = aligned_size or (None, None)
        return cls.cells(logits.shape[1], size[0], seen[0]), cls.cells(logits.shape[2], size[1], seen[1])

    def at(self, pixels: Tensor) -> "Between":
        """The same of some pixels alone."""
        return Between(self.first[pixels], self.second[pixels], self.share[pixels])


def nearest_cells(count: int, pixels: int, seen: int | None = None) -> NDArray[np.int64]:
    """Which of ``count`` cells spread over ``pixels`` pixels lies nearest to each of these, along an edge.

    ``seen`` is that edge as the network saw it, where ``align_corners`` is set.
    """
    between = Between.cells(count, pixels, seen)
    nearest: NDArray[np.int64] = torch.where(between.share < 0.5, between.first, between.second).numpy()
    return nearest


def upsample_logits(logits: Tensor, size: tuple[int, int], aligned_size: Size | None = None) -> Tensor:
    """(C, h, w) logits interpolated to a photo of ``size`` (height, width), just as ``label_map`` does: (C, height, width)."""
    return spread_between(logits, *Between.both(logits, size, aligned_size))


def spread_between(logits: Tensor, rows: Between, columns: Between) -> Tensor:
    """(C, h, w) logits interpolated between ``rows`` and ``columns`` of theirs."""
    upper, lower = (logits.index_select(1, row) for row in (rows.first, rows.second))  # twice as fast as indexing
    down = torch.lerp(upper, lower, rows.share[:, None])
    left, right = (down.index_select(2, column) for column in (columns.first, columns.second))
    return torch.lerp(left, right, columns.share)


def values_at(logits: Tensor, row: Tensor, column: Tensor, between: tuple[Between, Between]) -> Tensor:
    """(C, h, w) logits interpolated at P pixels, given by their rows and columns: (C, P)."""
    rows, columns = between
    flat, cells = logits.flatten(1), logits.shape[2]

    def along(line: Tensor) -> Tensor:
        first, second = (flat.index_select(1, line * cells + cell[column]) for cell in (columns.first, columns.second))
        return torch.lerp(first, second, columns.share[column])

    return torch.lerp(along(rows.first[row]), along(rows.second[row]), rows.share[row])


def borders(cells: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether among the (h, w) cell, its right, its lower and its lower right neighbour there are two classes."""
    framed = np.pad(cells, ((0, 1), (0, 1)), mode="edge")
    return (cells != framed[:-1, 1:]) | (cells != framed[1:, :-1]) | (cells != framed[1:, 1:])


def _best_of_all(down: Tensor, columns: Between) -> Tensor:
    """The (height, width) best of (C, height, w) logits, interpolated along each row."""
    return torch.lerp(down[..., columns.first], down[..., columns.second], columns.share).max(0).indices


def _best_at(pixels: Tensor, down: Tensor, columns: Between) -> Tensor:
    """As ``_best_of_all``, but only the (N,) best at N pixels of the photo, counted row by row."""
    width, cells = len(columns.first), down.shape[2]
    row = torch.div(pixels, width, rounding_mode="floor")
    column = pixels - row * width
    first, second = (
        down.flatten(1).index_select(1, row * cells + cell[column]) for cell in (columns.first, columns.second)
    )
    return torch.lerp(first, second, columns.share[column]).max(0).indices


def mean_confidence(logits: Tensor, classes: Sequence[str], winners: Tensor | None = None) -> dict[str, float]:
    """The mean softmax probability of each class over the cells of (C, h, w) logits where it wins, surest first."""
    probability = logits.softmax(0).amax(0).ravel()
    winner = (argmax_classes(logits) if winners is None else winners).ravel()
    cells = torch.bincount(winner, minlength=len(classes))
    sums = torch.zeros(len(classes), device=logits.device).index_add_(0, winner, probability)
    found = {classes[index]: float(sums[index] / cells[index]) for index in cells.nonzero().ravel().tolist()}
    return dict(sorted(found.items(), key=lambda item: -item[1]))
