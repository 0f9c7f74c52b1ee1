"""Convolutions as a processor likes them: with the activation in the same pass, and atrous ones taken apart.

``fuse_activations`` puts these into a trained network in place of torch's own. They hold the same weights, answer the
same questions (stride, dilation, padding can still be changed) and say the same, but for the rounding of bfloat16. Where
a gradient is asked for, or the tensor is not on a processor that oneDNN knows, they do what torch does.
"""

import copy
import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from .module_graph import consecutive_layers, is_bottleneck
from .replacement import constructor_arguments, needs_torch
from .transposed_conv import PhasedConvTranspose2d, has_phases

WIDE = 512
"""Maps from which on an atrous convolution in bfloat16 is faster as nine products of matrices than as oneDNN's own
convolution, if it halves them or more: each product is then smaller than the map. Measured on AMX."""

LARGEST_KERNEL = 2**22
"""Weights of a convolution from which on oneDNN is faster at two halves of it, by a quarter on AMX."""

DIRECT_PADDING = 7
"""The padding, in cells, up to which oneDNN has a fast depthwise convolution in bfloat16; beyond it the map is padded first."""


class ProductCache:
    """What convolutions that go tap by tap made of one photo's maps, by layer: it belongs to the photo's features.

    Copies begin empty.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: weakref.WeakKeyDictionary[nn.Module, tuple[Tensor, Tensor]] = weakref.WeakKeyDictionary()

    def get(self, layer: nn.Module, x: Tensor) -> Tensor | None:
        """What ``layer`` made of ``x``, if that is known."""
        with self._lock:
            known = self._known.get(layer)
        return None if known is None or known[0] is not x else known[1]

    def put(self, layer: nn.Module, x: Tensor, products: Tensor) -> None:
        """Remember what ``layer`` made of ``x``."""
        with self._lock:
            self._known[layer] = (x, products)

    @property
    def nbytes(self) -> int:
        """What is remembered takes, without the maps."""
        with self._lock:
            return sum(products.nbytes for _, products in self._known.values())

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()


_products: ContextVar[ProductCache | None] = ContextVar("products", default=None)


@contextmanager
def caching_products(products: ProductCache) -> Iterator[None]:
    """Inside, in this thread, what goes tap by tap is looked up in ``products`` and remembered there."""
    token = _products.set(products)
    try:
        yield
    finally:
        _products.reset(token)


class FusedConv2d(nn.Conv2d):
    """A convolution and the activation behind it in one pass over the map: (N, in, H, W) -> (N, out, H', W').

    In bfloat16 some go another way, since oneDNN is slow at them. Depthwise ones at large rates get a map that is padded
    beforehand. Wide atrous ones go tap by tap: what a tap makes of a cell does not depend on the rate, so where it is
    remembered (``caching_products``) another rate costs only sums.

    The bias stays in float32, whatever the precision: it is added to a sum in float32 anyway.
    """

    def __init__(self, conv: nn.Conv2d, activation: nn.Module | None = None) -> None:
        super().__init__(**constructor_arguments(conv))
        self.weight, self.bias = conv.weight, conv.bias
        self.activation = copy.copy(activation)
        if isinstance(self.activation, nn.ReLU | nn.Hardtanh | nn.Hardswish):
            self.activation.inplace = False
        self._post_op = _post_op(activation)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move and cast as torch does, but for the bias, which keeps its numbers."""
        exact = None if self.bias is None else self.bias.detach()
        super()._apply(fn, recurse)
        if self.bias is not None and exact is not None and self.bias.dtype != exact.dtype:
            self.bias.data = exact.to(self.bias.device)
        return self

    def forward(self, x: Tensor, summand: Tensor | None = None) -> Tensor:
        """``activation(conv(x) + summand)``; without a gradient it is written over the summand, which is faster."""
        if needs_torch(x, self.weight):
            bias = self._bias_like(x)
            out = nn.functional.conv2d(x, self.weight, bias, self.stride, self.padding, self.dilation, self.groups)
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
            return torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *where, name, scalars, "")
        return torch.ops.mkldnn._convolution_pointwise_(
            summand,
            x,
            self.weight,
            self._bias_like(x),
            *where,
            "add",
            1.0,
            None if name == "none" else name,
            scalars,
            "",
        )

    def _in_halves(self, x: Tensor, padding: tuple[int, int]) -> Tensor:
        """One half of the output's maps, then the other."""
        where = (list(padding), list(self.stride), list(self.dilation), 1)
        biases = (None, None) if self.bias is None else self.bias.chunk(2)
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
        if self.bias is not None:
            total += self.bias
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

    def _products(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (9, N, H, W, out): what each of the nine taps makes of each cell, whatever the rate."""
        known = _products.get()
        products = None if known is None else known.get(self, x)
        if products is None:
            cells = x.permute(0, 2, 3, 1)
            products = x.new_empty(9, *cells.shape[:3], self.out_channels)  # one block, which leaves the heap whole
            for tap, product in zip(self.weight.flatten(2).unbind(2), products, strict=True):
                product.copy_(nn.functional.linear(cells, tap))
            if known is not None:
                known.put(self, x, products)
        return products

    def _bias_like(self, x: Tensor) -> Tensor | None:
        return None if self.bias is None else self.bias.to(x.dtype)

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


@functools.cache
def can_fuse(dtype: torch.dtype) -> bool:
    """Whether oneDNN's convolutions with an activation inside are here, for ``dtype``, and give what torch's own give.

    They are torch's private operators, and the processor may not do with every ``dtype``: so each is run once.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        with torch.inference_mode():
            return all(_says_the_same(dtype, *case) for case in _PROBES)
    except Exception:  # an operator that is gone or was changed says so in many ways
        return False


_PROBES: tuple[tuple[nn.Module | None, bool], ...] = (
    *((activation, False) for activation in (None, nn.ReLU(), nn.ReLU6(), nn.Hardswish())),
    *((activation, True) for activation in (None, nn.ReLU())),
)
"""Each activation, and whether there is a summand."""


def _says_the_same(dtype: torch.dtype, activation: nn.Module | None, summed: bool) -> bool:
    """Whether a small fused convolution agrees with torch's own in float64, up to the rounding of ``dtype``."""
    numbers = torch.Generator().manual_seed(0)  # of its own, so that nobody's seed moves

    def draw(*shape: int) -> Any:
        return (4 * torch.rand(shape, generator=numbers) - 2).to(dtype)

    conv = nn.Conv2d(8, 8, 3, padding=1, device="meta")
    conv.weight, conv.bias = nn.Parameter(draw(8, 8, 3, 3)), nn.Parameter(draw(8).float())
    x, summand = (draw(1, 8, 6, 5).to(memory_format=torch.channels_last) for _ in range(2))
    expected = nn.functional.conv2d(x.double(), conv.weight.double(), conv.bias.double(), padding=1)
    if summed:
        expected += summand.double()
    if activation is not None:
        expected = activation(expected)
    answer = FusedConv2d(conv, activation)(x, summand.clone() if summed else None)
    close = 3 * torch.finfo(dtype).eps * float(expected.abs().max())
    return answer.dtype == dtype and float((answer.double() - expected).abs().max()) <= close


def fuse_activations(module: nn.Module) -> None:
    """Replace every convolution inside ``module`` by one that takes the activation behind it along, transposed ones and
    global pooling by faster ones.

    Batch norms must have been folded before. Modules that are left without work become ``nn.Identity``, so that names
    stay what they were.
    """
    for name, child in module.named_children():
        if is_bottleneck(child):
            child = FusedBottleneck(child)
            setattr(module, name, child)
        if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size in (1, (1, 1)):
            setattr(module, name, GlobalAveragePooling())
        fuse_activations(child)
    for first, second in consecutive_layers(module):
        conv, activation = getattr(module, first), getattr(module, second)
        if type(conv) is nn.Conv2d and _post_op(activation)[0] != "none":
            setattr(module, first, FusedConv2d(conv, activation))
            setattr(module, second, nn.Identity())
    for name, child in module.named_children():
        if type(child) is nn.Conv2d:
            setattr(module, name, FusedConv2d(child))
        if has_phases(child):
            setattr(module, name, PhasedConvTranspose2d(child))
