"""Transposed convolutions as plain ones, a phase at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeGuard, cast

import torch
from torch import Tensor, nn

from ..models.layers import least_size
from .replacement import constructor_arguments, needs_torch


def has_phases(module: nn.Module) -> TypeGuard[nn.ConvTranspose2d]:
    """Whether this is a transposed convolution that can be taken apart: a full one, with a tap for every row it makes."""
    return (
        type(module) is nn.ConvTranspose2d
        and module.groups == 1
        and module.dilation == (1, 1)
        and module.output_padding == (0, 0)
        and min(module.kernel_size) >= max(module.stride)
    )


@dataclass(frozen=True)
class _Phase:
    """Every s-th row that a transposed convolution makes, or column."""

    first: int
    """The first of them."""
    taps: list[int]
    """The taps that these rows see, in the order of the coarse map's rows that are under them."""
    begin: int
    """The coarse row that the first tap of the first of them sees: below 0 if it lies outside."""

    def seen(self, x: Tensor, axis: int, count: int) -> Tensor:
        """The part of ``x`` along ``axis`` that ``count`` of these rows see, zeros where it lies outside."""
        end, size = self.begin + count - 1 + len(self.taps), x.shape[axis]
        before, after = max(0, -self.begin), max(0, end - size)
        inside = x.narrow(axis, max(0, self.begin), min(end, size) - max(0, self.begin))
        if not before and not after:
            return inside
        return nn.functional.pad(inside, (0, 0, before, after) if axis == 2 else (before, after))


def _phases(kernel: int, stride: int, padding: int) -> list[_Phase]:
    """Row o sees the coarse row i by tap k where o = i s - p + k: so o and k agree in what i makes of them."""
    phases = []
    for first in range(stride):
        taps = list(range((first + padding) % stride, kernel, stride))[::-1]
        phases.append(_Phase(first, taps, (first + padding - taps[0]) // stride))
    return phases


class PhasedConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution of stride s as s x s plain ones: (N, in, H, W) -> (N, out, H', W').

    Of the cells that it makes, every s-th row and column sees the same taps: each such phase is a small convolution of the
    coarse map, and nothing is multiplied that torch's would not multiply. In bfloat16 oneDNN's own takes six to twenty times
    as long.
    """

    def __init__(self, conv: nn.ConvTranspose2d) -> None:
        super().__init__(**constructor_arguments(conv))
        self.weight, self.bias = conv.weight, conv.bias
        self._kernels: list[tuple[_Phase, _Phase, Tensor]] = []

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._kernels = []
        return super()._apply(fn, recurse)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """As torch's: ``output_size`` may ask for rows and columns that the kernel reaches beyond the last cell."""
        if needs_torch(x, self.weight):
            return super().forward(x, output_size)
        self._kernels = self._kernels or self._cut()
        height, width = least_size(self, x.shape[-2:]) if output_size is None else output_size[-2:]
        out = x.new_empty(len(x), height, width, self.out_channels).permute(0, 3, 1, 2)
        (down, across) = cast("tuple[int, int]", self.stride)
        for rows, columns, kernel in self._kernels:
            part = out[:, :, rows.first :: down, columns.first :: across]
            if not part.numel():  # one cell makes no row of this phase
                continue
            seen = columns.seen(rows.seen(x, 2, part.shape[2]), 3, part.shape[3])
            part.copy_(nn.functional.conv2d(seen, kernel, self.bias))
        return out

    def _cut(self) -> list[tuple[_Phase, _Phase, Tensor]]:
        """The phases of rows and columns, and the kernel of each pair, (out, in, h, w)."""
        kernel = self.weight.detach().transpose(0, 1)
        (rows, columns) = (
            _phases(*each)
            for each in zip(self.kernel_size, self.stride, cast("tuple[int, int]", self.padding), strict=True)
        )
        return [
            (row, column, kernel[:, :, row.taps][..., column.taps].contiguous(memory_format=torch.channels_last))
            for row in rows
            for column in columns
        ]
