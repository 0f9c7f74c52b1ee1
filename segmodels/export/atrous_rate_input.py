"""Atrous convolutions whose rate is an input of the graph.

No exporter has that: a convolution's dilation is a constant of its node. But a 3x3 convolution is nine products, each of the
map as it is with the weights of one tap, that are shifted by the rate and summed (DeepLab v3, section 3.1). Products
know no rate, and a shift is a look-up of cells, which takes its indices from wherever they come.

Cells are rows here, (cells, channels): a look-up then copies whole rows, which runtimes do as fast as memory goes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

TAPS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
"""Where the nine taps of a 3x3 convolution look, in steps of the rate; in the order of its weights."""


@dataclass
class Rate:
    """Where the rate is handed to the convolutions of one graph while it runs."""

    value: Tensor | None = None
    """(), int64: cells between the taps of the ASPP's first branch."""

    def set(self, value: Tensor) -> None:
        """Take ``value``, or 1 where it is less: taps that stand still or the other way round are no atrous convolution."""
        self.value = torch.where(value < 1, torch.ones_like(value), value)


class MovingConv(nn.Module):
    """A 3x3 convolution, plain or depthwise, of ``times`` the rate: (1, in, H, W) -> (1, out, H, W), zero outside."""

    def __init__(self, conv: nn.Conv2d, rate: Rate, times: int) -> None:
        super().__init__()
        assert conv.kernel_size == (3, 3)
        assert conv.groups in (1, conv.in_channels)
        self.rate, self.times, self.depthwise = rate, times, conv.groups > 1
        weight = conv.weight.detach().flatten(2)  # (out, in or 1, 9)
        taps = weight[:, 0].T if self.depthwise else weight.permute(1, 2, 0).flatten(1)
        self.weight = nn.Parameter(taps.contiguous(), requires_grad=False)  # (9, channels), or (in, 9 * out)
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        assert self.rate.value is not None
        height, width = x.shape[-2:]
        cells = x[0].flatten(1).T
        cells = torch.cat([cells, torch.zeros_like(cells[:1])])  # the last row is what lies outside
        index = taps_at(height, width, self.rate.value * self.times)
        if self.depthwise:
            summed = (cells[index] * self.weight).sum(1)
        else:
            products = (cells @ self.weight).unflatten(1, (len(TAPS), -1)).flatten(0, 1)
            summed = products[index * len(TAPS) + torch.arange(len(TAPS))].sum(1)
        if self.bias is not None:
            summed = summed + self.bias
        return summed.T.unflatten(1, (height, width))[None]


def taps_at(height: int, width: int, rate: Tensor) -> Tensor:
    """(height * width, 9): the cell, counted row by row, that each tap of each cell meets; beyond the map the one after all."""
    steps = torch.tensor(TAPS)
    rows = torch.arange(height)[:, None, None] + steps[:, 0] * rate
    columns = torch.arange(width)[None, :, None] + steps[:, 1] * rate
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return torch.where(inside, rows * width + columns, height * width).flatten(0, 1)
