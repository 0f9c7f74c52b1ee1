"""Convolutions as a processor likes them: with the activation in the same pass, and atrous ones taken apart.

``fuse_activations`` puts these into a trained network in place of torch's own. They hold the same weights, answer the
same questions (stride, dilation, padding can still be changed) and say the same, but for the rounding of bfloat16. Where
a gradient is asked for, or the tensor is not on a processor that oneDNN knows, they do what torch does.
"""

import copy
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

DIRECT_RATES = ((1024, 2), (512, 10))
"""(channels, rate): with so many channels or more, oneDNN's own atrous convolution in bfloat16 is the fastest up to that
rate, and nine products of matrices beyond; with fewer it always is. Measured on AMX, see docs/performance.md."""

DIRECT_DEPTHWISE_RATE = 8
"""The rate up to which that holds for depthwise 3x3 ones. Depthwise ones with larger kernels are faster in float32 at every rate but 1."""


class FusedConv2d(nn.Conv2d):
    """A convolution and the activation behind it in one pass over the map: (N, in, H, W) -> (N, out, H', W').

    In bfloat16 atrous convolutions go another way, since oneDNN is slow at them: depthwise 5x5 ones run in float32,
    and at large rates depthwise and wide ones go tap by tap, which leaves out what lies off the map.
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

    def forward(self, x: Tensor, summand: Tensor | None = None) -> Tensor:
        """``activation(conv(x) + summand)``."""
        if not x.is_cpu or x.is_meta or (torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)):
            out = super().forward(x)
            return self._activated(out if summand is None else out + summand)
        if x.dtype == torch.bfloat16 and self.dilation[0] > 1:
            if self._is_far():
                out = self._sum_of_taps(x)
                return self._activated(out if summand is None else out + summand)
            if self.groups == self.in_channels and self.kernel_size != (3, 3):
                assert summand is None
                return self._one_pass(x.float(), self.weight.float(), None).to(x.dtype)
        return self._one_pass(x, self.weight, summand)

    def _one_pass(self, x: Tensor, weight: Tensor, summand: Tensor | None) -> Tensor:
        where = (list(self.padding), list(self.stride), list(self.dilation), self.groups)
        name, scalars = self._post_op
        if summand is None:
            return torch.ops.mkldnn._convolution_pointwise(x, weight, self.exact_bias, *where, name, scalars, "")
        return torch.ops.mkldnn._convolution_pointwise(  # which wants the bias in the map's precision
            x, summand, weight, self.bias, *where, "add", 1.0, None if name == "none" else name, scalars, ""
        )

    def _is_far(self) -> bool:
        """Whether the convolution is faster tap by tap, and can be taken so: 3x3, and the map keeps its size."""
        rate = self.dilation[0]
        if self.kernel_size != (3, 3) or self.stride != (1, 1) or not self.padding == self.dilation == (rate, rate):
            return False
        if self.groups == 1:
            return any(self.in_channels >= channels and rate > direct for channels, direct in DIRECT_RATES)
        return rate > DIRECT_DEPTHWISE_RATE and self.groups == self.in_channels == self.out_channels

    def _sum_of_taps(self, x: Tensor) -> Tensor:
        """Each tap is a 1x1 convolution, or a product by channel, shifted by the rate. The sum is in float32."""
        height, width = x.shape[-2:]
        total = torch.zeros(x.shape[0], height, width, self.out_channels)
        if self.exact_bias is not None:
            total += self.exact_bias
        depthwise = self.groups > 1
        cells, weight = (x.permute(0, 2, 3, 1).float(), self.weight.float()) if depthwise else (x, self.weight)
        for row in range(3):
            to_rows, from_rows = _shifted(height, (row - 1) * self.dilation[0])
            for column in range(3):
                to_columns, from_columns = _shifted(width, (column - 1) * self.dilation[1])
                if to_rows.start >= to_rows.stop or to_columns.start >= to_columns.stop:
                    continue  # the tap is off the map everywhere
                target = total[:, to_rows, to_columns]
                if depthwise:
                    target.addcmul_(cells[:, from_rows, from_columns], weight[:, 0, row, column])
                else:
                    # Whole rows go in, though some columns fall off the map: a part of each would be copied first.
                    tap = weight[:, :, row : row + 1, column : column + 1]
                    part = nn.functional.conv2d(cells[:, :, from_rows], tap).permute(0, 2, 3, 1)
                    target += part[:, :, from_columns]
        return total.permute(0, 3, 1, 2).to(x.dtype)

    def _activated(self, x: Tensor) -> Tensor:
        return x if self.activation is None else self.activation(x)


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
    """ResNet's bottleneck with its sum and its ReLUs inside the convolutions; names as in torchvision's block."""

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


def can_fuse() -> bool:
    """Whether this build of torch has oneDNN's convolutions with an activation inside."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def fuse_activations(module: nn.Module) -> None:
    """Replace every convolution inside ``module`` by one that takes the activation behind it along.

    Behind it means what is known of the neighbours in an ``nn.Sequential`` and of this zoo's and torchvision's blocks.
    Batch norms must have been folded before. Modules that are left without work become ``nn.Identity``, so that names
    stay what they were.
    """
    for name, child in module.named_children():
        if _is_bottleneck(child):
            child = FusedBottleneck(child)
            setattr(module, name, child)
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
