"""Convolutions as a processor likes them: with the activation in the same pass, and atrous ones taken apart.

``fuse_activations`` puts these into a trained network in place of torch's own. They hold the same weights, answer the
same questions (stride, dilation, padding can still be changed) and say the same, but for the rounding of bfloat16. Where
a gradient is asked for, or the tensor is not on a processor that oneDNN knows, they do what torch does.
"""

import copy
import weakref
from collections.abc import Iterator
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

WIDE = 512
"""Maps from which on an atrous convolution in bfloat16 is faster as nine products of matrices than as oneDNN's own
convolution, if it halves them or more: each product is then smaller than the map. Measured on AMX, see docs/performance.md."""

LARGEST_KERNEL = 2**22
"""Weights of a convolution from which on oneDNN is faster at two halves of it, by a quarter on AMX."""

DIRECT_PADDING = 7
"""The padding, in cells, up to which oneDNN has a fast depthwise convolution in bfloat16; beyond it the map is padded first."""


class FusedConv2d(nn.Conv2d):
    """A convolution and the activation behind it in one pass over the map: (N, in, H, W) -> (N, out, H', W').

    In bfloat16 some go another way, since oneDNN is slow at them. Depthwise ones at large rates get a map that is padded
    beforehand. Wide atrous ones go tap by tap: what a tap makes of a cell does not depend on the rate, so it is remembered
    for the map seen last, and another rate on it costs only sums.
    """

    def __init__(self, conv: nn.Conv2d, activation: nn.Module | None = None) -> None:
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            device="meta",
        )
        self.weight, self.bias = conv.weight, conv.bias
        self.exact_bias = None if conv.bias is None else conv.bias.detach().clone()
        """In float32 whatever the precision: it is added to a sum in float32 anyway."""
        self.activation = copy.copy(activation)
        if isinstance(self.activation, nn.ReLU | nn.Hardtanh | nn.Hardswish):
            self.activation.inplace = False
        self._post_op = _post_op(activation)
        self._remembered: tuple[weakref.ref[Tensor], list[Tensor]] | None = None
        """The map seen last, and its products with the nine taps."""

    def forward(self, x: Tensor, summand: Tensor | None = None) -> Tensor:
        """``activation(conv(x) + summand)``; without a gradient it is written over the summand, which is faster."""
        if not x.is_cpu or x.is_meta or (torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)):
            out = super().forward(x)
            return self._activated(out if summand is None else out + summand)
        padding = cast("tuple[int, int]", self.padding)  # the other way to write it, a word, is not used here
        if x.dtype != torch.bfloat16 or summand is not None:
            return self._one_pass(x, padding, summand)
        if self._goes_by_taps():
            return self._activated(self._sum_of_taps(x))
        if self.groups > 1 and max(padding) > DIRECT_PADDING:
            return self._one_pass(_padded(x, *padding), (0, 0))
        if self.groups == 1 and self.weight.numel() > LARGEST_KERNEL:
            return self._in_halves(x, padding)
        return self._one_pass(x, padding)

    def _one_pass(self, x: Tensor, padding: tuple[int, int], summand: Tensor | None = None) -> Tensor:
        where = (list(padding), list(self.stride), list(self.dilation), self.groups)
        name, scalars = self._post_op
        if summand is None:
            return torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.exact_bias, *where, name, scalars, "")
        return torch.ops.mkldnn._convolution_pointwise_(  # which wants the bias in the map's precision
            summand, x, self.weight, self.bias, *where, "add", 1.0, None if name == "none" else name, scalars, ""
        )

    def _in_halves(self, x: Tensor, padding: tuple[int, int]) -> Tensor:
        """One half of the output's maps, then the other."""
        where = (list(padding), list(self.stride), list(self.dilation), 1)
        biases = (None, None) if self.exact_bias is None else self.exact_bias.chunk(2)
        halves = [
            torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *where, *self._post_op, "")
            for weight, bias in zip(self.weight.chunk(2), biases, strict=True)
        ]
        return torch.cat(halves, dim=1)

    def _goes_by_taps(self) -> bool:
        """Whether this is an atrous convolution that is faster tap by tap, and can be taken so: the map keeps its size."""
        (rate, _), wide = self.dilation, self.groups == 1 and self.in_channels >= max(WIDE, 2 * self.out_channels)
        keeps_size = (
            self.kernel_size == (3, 3) and self.stride == (1, 1) and self.padding == self.dilation == (rate, rate)
        )
        return wide and keeps_size and rate > 1

    def _sum_of_taps(self, x: Tensor) -> Tensor:
        """What each tap makes of the cells, shifted by the rate. The sum is in float32."""
        height, width = x.shape[-2:]
        total = torch.zeros(x.shape[0], height, width, self.out_channels)
        if self.exact_bias is not None:
            total += self.exact_bias
        products = self._products(x)
        for tap, here, there in self._taps_on(height, width):
            total[here].add_(products[tap][there])
        return total.permute(0, 3, 1, 2).to(x.dtype)

    def _taps_on(self, height: int, width: int) -> Iterator[tuple[int, tuple[slice, ...], tuple[slice, ...]]]:
        """The taps that meet a map anywhere: number, the (N, H, W) cells that have the tap on the map, and what it sees."""
        for row in range(3):
            rows, seen_rows = _shifted(height, (row - 1) * self.dilation[0])
            for column in range(3):
                columns, seen_columns = _shifted(width, (column - 1) * self.dilation[1])
                if rows.start < rows.stop and columns.start < columns.stop:
                    yield 3 * row + column, (slice(None), rows, columns), (slice(None), seen_rows, seen_columns)

    def _products(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> for each of the nine taps (N, H, W, out), whatever the rate."""
        if self._remembered is None or self._remembered[0]() is not x:
            cells = x.permute(0, 2, 3, 1)
            taps = self.weight.flatten(2).unbind(2)
            self._remembered = (weakref.ref(x), [nn.functional.linear(cells, tap) for tap in taps])
        return self._remembered[1]

    def _activated(self, x: Tensor) -> Tensor:
        return x if self.activation is None else self.activation(x)


def _padded(x: Tensor, rows: int, columns: int) -> Tensor:
    """(N, C, H, W) -> (N, C, H + 2 rows, W + 2 columns), zeros around, channels last."""
    count, channels, height, width = x.shape
    framed = x.new_zeros(count, height + 2 * rows, width + 2 * columns, channels).permute(0, 3, 1, 2)
    framed[:, :, rows : rows + height, columns : columns + width] = x
    return framed


def _shifted(size: int, offset: int) -> tuple[slice, slice]:
    """The cells of a row that have a neighbour ``offset`` cells further, and those neighbours."""
    first, last = max(0, -offset), min(size, size - offset)
    return slice(first, last), slice(first + offset, last + offset)


def _post_op(activation: nn.Module | None) -> tuple[str, list[float]]:
    """oneDNN's name for an activation, and its numbers."""
    match activation:
        case nn.ReLU():
            return "relu", []
        case nn.Hardtanh():  # ReLU6 is one
            return "hardtanh", [activation.min_val, activation.max_val]
        case nn.Hardswish():
            return "hardswish", []
        case _:
            return "none", []


class FusedBottleneck(nn.Module):
    """ResNet's bottleneck with its sum and its ReLUs inside the convolutions; names as in torchvision's block.

    Where it adds its own input, it writes over it. Nobody else reads that: the input of a stage's first block, which may
    be wanted as a feature, is not added but goes through ``downsample``.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            FusedConv2d(getattr(block, name), nn.ReLU()) for name in ("conv1", "conv2", "conv3")
        )
        downsample = getattr(block, "downsample", None)
        self.downsample: nn.Module = nn.Identity() if downsample is None else downsample

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(self.conv2(self.conv1(x)), self.downsample(x))
        return out


class GlobalAveragePooling(nn.Module):
    """The mean of each map, (N, C, H, W) -> (N, C, 1, 1): many times as fast as ``AdaptiveAvgPool2d(1)`` in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x, (x.shape[-2], x.shape[-1]))


def can_fuse() -> bool:
    """Whether this build of torch has oneDNN's convolutions with an activation inside."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def fuse_activations(module: nn.Module) -> None:
    """Replace every convolution inside ``module`` by one that takes the activation behind it along, and global pooling.

    Behind it means what is known of the neighbours in an ``nn.Sequential`` and of this zoo's and torchvision's blocks.
    Batch norms must have been folded before. Modules that are left without work become ``nn.Identity``, so that names
    stay what they were.
    """
    for name, child in module.named_children():
        if _is_bottleneck(child):
            child = FusedBottleneck(child)
            setattr(module, name, child)
        if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size in (1, (1, 1)):
            setattr(module, name, GlobalAveragePooling())
        fuse_activations(child)
    for first, second in _pairs(module):
        conv, activation = getattr(module, first), getattr(module, second)
        if type(conv) is nn.Conv2d and _post_op(activation)[0] != "none":
            setattr(module, first, FusedConv2d(conv, activation))
            setattr(module, second, nn.Identity())
    for name, child in module.named_children():
        if type(child) is nn.Conv2d:
            setattr(module, name, FusedConv2d(child))


def _is_bottleneck(module: nn.Module) -> bool:
    names = {name for name, _ in module.named_children()}
    return {"conv1", "conv2", "conv3", "bn3", "relu"} <= names and isinstance(module.get_submodule("bn3"), nn.Identity)


def _pairs(module: nn.Module) -> Iterator[tuple[str, str]]:
    """The names of the children that may be a convolution and the activation behind it."""
    names = [name for name, child in module.named_children() if not isinstance(child, nn.Identity)]
    if isinstance(module, nn.Sequential):
        yield from pairwise(names)
    elif {"depthwise", "activation"} <= set(names):
        yield "depthwise", "activation"
