"""What one position of a map sees of the photo: in theory, at an atrous rate, and in effect.

Everything is measured along one axis, in pixels of the input; the kernels here are square.
"""

import functools
import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..models.ablation import disabled_parts
from ..models.base import SegmentationNetwork
from ..models.layers import resize_logits

Field = TypeVar("Field")


@dataclass(frozen=True)
class ReceptiveField:
    """The input pixels that the positions of a map depend on, in closed form.

    Position 0 depends on the pixels ``first`` to ``last``, and each further position on pixels ``jump`` further on.
    Pixels outside the photo, where there is padding, count too. Infinite where the whole photo was pooled.

    After upsampling, the fields of neighbouring positions differ; then ``first`` and ``last`` are means over them.
    """

    first: float = 0
    last: float = 0
    jump: float = 1

    @property
    def size(self) -> float:
        """How many pixels a position sees."""
        return self.last - self.first + 1

    @property
    def centre(self) -> float:
        """The middle of position 0's field; 0 is the middle of the first pixel. Not a number if all is seen."""
        return (self.first + self.last) / 2

    def through(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "ReceptiveField":
        """The field behind one more convolution or pooling."""
        span = dilation * (kernel - 1)
        return ReceptiveField(
            self.first - padding * self.jump, self.last + (span - padding) * self.jump, self.jump * stride
        )

    def upsampled(self, factor: int, taps: float, shift: float) -> "ReceptiveField":
        """The field behind a map ``factor`` times finer.

        Each new position reads ``taps`` old ones (a mean), the middle of which for position 0 is at ``shift``.
        """
        reach = (taps - 1) / 2
        return ReceptiveField(
            self.first + (shift - reach) * self.jump, self.last + (shift + reach) * self.jump, self.jump / factor
        )

    def union(self, other: "ReceptiveField") -> "ReceptiveField":
        """The field of a sum or a concatenation of two maps of the same stride."""
        return ReceptiveField(min(self.first, other.first), max(self.last, other.last), min(self.jump, other.jump))


WHOLE_PHOTO = ReceptiveField(-torch.inf, torch.inf)

POINTWISE = (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Dropout, nn.Identity)


def receptive_field(layers: nn.Module | Iterable[nn.Module]) -> ReceptiveField:
    """The field of a chain of convolutions and poolings, given as modules or as (nested) ``nn.Sequential``.

    Raises:
        TypeError: for a module whose field depends on more than itself, such as a residual block. The fields inside
            any network are in the layers that ``cost.count`` lists.
    """
    field = ReceptiveField()
    for layer in _chain(layers):
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            settings = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
            field = field.through(*(_vertical(setting) for setting in settings))
        elif isinstance(layer, nn.AvgPool2d):
            field = field.through(*(_vertical(setting) for setting in (layer.kernel_size, layer.stride, layer.padding)))
        elif not isinstance(layer, POINTWISE):
            raise TypeError(f"a {type(layer).__name__} is no link of a chain of convolutions and poolings")
    return field


def _chain(layers: nn.Module | Iterable[nn.Module]) -> Iterator[nn.Module]:
    if isinstance(layers, nn.Module) and not isinstance(layers, nn.Sequential):
        yield layers
        return
    for layer in layers:
        yield from _chain(layer)


def _vertical(setting: Any) -> int:
    """The vertical one of a setting that torch has as a number, a pair, or a list of one or two."""
    return setting if isinstance(setting, int) else cast(int, setting[0])


class Tracer(TorchDispatchMode, Generic[Field]):
    """While it is entered, follows what every tensor that is computed from ``x`` depends on, through any network."""

    def __init__(self, x: Tensor, field: Field) -> None:
        super().__init__()
        # The tensors are kept beside their fields: an id is only good while its tensor lives.
        self._fields: dict[int, tuple[Field, Tensor]] = {id(x): (field, x)}

    def of(self, tensor: Tensor) -> Field | None:
        """The field of ``tensor``; None if it does not depend on the input."""
        entry = self._fields.get(id(tensor))
        return entry[0] if entry else None

    def propagate(self, operation: Any, args: tuple[Any, ...], out: Tensor, fields: list[Field]) -> Field:
        """The field behind one of torch's operations, from those of its inputs that have one."""
        raise NotImplementedError

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        with self:  # in inference mode some operations arrive whole: take them apart into those that are known
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        out = func(*args, **kwargs)
        inputs = [self.of(value) for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        fields = [field for field in inputs if field is not None]
        if fields:
            results = [result for result in tree_leaves(out) if isinstance(result, Tensor)]
            field = self.propagate(func.overloadpacket, args, results[0], fields)
            self._fields |= {id(result): (field, result) for result in results}
        return out


class FieldTracer(Tracer[ReceptiveField]):
    """Follows the fields in closed form.

    Sizes need not be multiples of the strides: an interpolation counts with the whole number nearest to its factor.
    A pooling to a fixed size and a fully connected layer count as seeing all.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__(x, ReceptiveField())

    def propagate(
        self, operation: Any, args: tuple[Any, ...], out: Tensor, fields: list[ReceptiveField]
    ) -> ReceptiveField:
        return _propagate(operation, args, out, functools.reduce(ReceptiveField.union, fields))


def _propagate(operation: Any, args: tuple[Any, ...], out: Tensor, field: ReceptiveField) -> ReceptiveField:
    """The field behind one of torch's operations; those not named here work position by position."""
    aten = torch.ops.aten
    if operation is aten.convolution:
        kernel = args[1].shape[2]
        stride, padding, dilation = (_vertical(setting) for setting in args[3:6])
        if args[6]:  # transposed
            shift = (padding - (kernel - 1) / 2) / stride
            return field.upsampled(stride, kernel / stride, shift)
        return field.through(kernel, stride, padding, dilation)
    if operation in (aten.max_pool2d_with_indices, aten.avg_pool2d):
        kernel, stride, padding, *_ = (*args[1:], 0)  # torch leaves out a padding of zero
        return field.through(_vertical(kernel), _vertical(stride), _vertical(padding))
    if operation is aten.upsample_bilinear2d:
        if args[2]:  # cells on corners
            factor = round((out.shape[-2] - 1) / max(args[0].shape[-2] - 1, 1))
            return field.upsampled(factor, 2, 0) if factor > 1 else field
        factor = round(out.shape[-2] / args[0].shape[-2])
        return field.upsampled(factor, 2, (0.5 / factor) - 0.5) if factor > 1 else field
    if operation is aten.slice and args[1] == 2:
        start = args[2] * field.jump
        return ReceptiveField(field.first + start, field.last + start, field.jump)
    if operation in (aten.mean, aten._adaptive_avg_pool2d, aten.adaptive_max_pool2d, aten.addmm):
        return WHOLE_PHOTO
    return field


Span = NDArray[np.int64]
"""(n, 2): the first and the last pixel, along one axis of the photo, that each of n rows or columns depends on."""


@dataclass(frozen=True)
class Reach:
    """The pixels of one photo that each position of a map depends on, exactly, its padding left out.

    They lie in a box: position (r, c) sees the rows from ``rows[r, 0]`` to ``rows[r, 1]`` and the columns from
    ``columns[c, 0]`` to ``columns[c, 1]``.
    """

    rows: Span
    columns: Span


def reach(network: SegmentationNetwork, height: int, width: int, *disabled: Collection[str]) -> list[Reach]:
    """What each pixel of the logits depends on, on a photo of (height, width) pixels: once for each of ``disabled``.

    ``disabled`` are names of ``parts`` to switch off; ``reach(network, 384, 512, (), ("image pooling",))`` is the reach of the
    whole network and that of the same without image pooling. Nothing is computed for a network on torch's meta device.

    Raises:
        ValueError: for a name that is no part of the network, and if the network does something unknown to a map.
    """
    x = next(network.parameters()).new_empty(1, 3, height, width)
    tracer = _ReachTracer(x)
    found = []
    with torch.no_grad(), tracer:
        features = network.encode(x)
        for names in disabled:
            with disabled_parts(network, names):
                found.append(tracer.of(resize_logits(network.decode(features), (height, width), network.align_corners)))
    return [each or Reach(_nothing(height), _nothing(width)) for each in found]


PERIOD = 64
"""So many neighbouring pixels show every field that there is: interpolation repeats itself from cell to cell."""


def largest_field(network: SegmentationNetwork, disabled: Collection[str] = ()) -> float:
    """How many pixels a pixel's class depends on, along an edge, at most, without the parts ``disabled``; infinite if on all.

    It is exact, and of a photo that is large enough. Where maps are interpolated, neighbours see by up to a cell more or
    less, of which the closed form is the mean.

    Raises:
        ValueError: as ``reach``.
    """
    x = next(network.parameters()).new_empty(1, 3, PERIOD, PERIOD)
    tracer = FieldTracer(x)
    with torch.no_grad(), tracer, disabled_parts(network, disabled):
        mean = tracer.of(network(x))
    if mean is None or mean.size == torch.inf:
        return 0 if mean is None else torch.inf
    corner = int(network.align_corners)  # where cells lie on corners, this many pixels more leave none beside them
    side = 2 * PERIOD + 32 * math.ceil(mean.size / 32)
    while True:
        (found,) = reach(network, 32 + corner, side + corner, disabled)
        first, last = found.columns.T
        whole = (first > 0) & (last < side + corner - 1)
        if whole.sum() >= PERIOD:
            return int((last - first)[whole].max()) + 1
        side += PERIOD


class _ReachTracer(Tracer[Reach]):
    """Follows for each row and each column which pixels it depends on."""

    def __init__(self, x: Tensor) -> None:
        rows, columns = (np.repeat(np.arange(size)[:, None], 2, axis=1) for size in x.shape[-2:])
        super().__init__(x, Reach(rows, columns))

    def propagate(self, operation: Any, args: tuple[Any, ...], out: Tensor, fields: list[Reach]) -> Reach:
        rows = _propagate_span(operation, args, out, [field.rows for field in fields], -2)
        return Reach(rows, _propagate_span(operation, args, out, [field.columns for field in fields], -1))


def _propagate_span(operation: Any, args: tuple[Any, ...], out: Tensor, spans: list[Span], axis: int) -> Span:
    """The span behind one of torch's operations, along ``axis``: -2 for rows, -1 for columns."""
    aten = torch.ops.aten
    span, size = spans[0], out.shape[axis]
    if operation is aten.convolution:
        kernel = args[1].shape[axis]
        stride, padding, dilation = (_along(setting, axis) for setting in args[3:6])
        return _read(span, (_transposed if args[6] else _window)(size, kernel, stride, padding, dilation))
    if operation in (aten.max_pool2d_with_indices, aten.avg_pool2d):
        kernel, stride, padding, *_ = (*args[1:], 0)
        return _read(span, _window(size, _along(kernel, axis), _along(stride, axis), _along(padding, axis), 1))
    if operation is aten.upsample_bilinear2d:
        return _read(span, _between(len(span), size, align_corners=args[2]))
    if operation is aten.replication_pad2d:
        before = args[1][0 if axis == -1 else 2]
        return span[np.clip(np.arange(size) - before, 0, len(span) - 1)]
    if operation is aten.slice:
        start = args[2] or 0 if args[1] == out.ndim + axis else 0
        return span[start : start + size]
    if operation in (aten.mean, aten._adaptive_avg_pool2d):
        return _read(span, np.arange(len(span))[None].repeat(size, axis=0))
    if any(len(span) not in (1, size) for span in spans):
        raise ValueError(f"{operation} changes the size of a map in a way that is not known here")
    union = [np.broadcast_to(span, (size, 2)) for span in spans]
    return np.stack([np.min(union, axis=0)[:, 0], np.max(union, axis=0)[:, 1]], axis=1)


def _along(setting: Any, axis: int) -> int:
    """The one for ``axis`` of a setting that torch has as a number, a pair, or a list of one or two."""
    return setting if isinstance(setting, int) else cast(int, setting[axis if len(setting) == 2 else 0])


def _read(span: Span, sources: NDArray[np.int64]) -> Span:
    """The span of positions each of which reads some of ``sources`` (n, taps); those outside the map are padding."""
    inside = (sources >= 0) & (sources < len(span))
    known = span[np.where(inside, sources, 0)]
    nothing = _nothing(1)[0]
    first = np.where(inside, known[..., 0], nothing[0]).min(axis=1)
    last = np.where(inside, known[..., 1], nothing[1]).max(axis=1)
    return np.stack([first, last], axis=1)


def _nothing(size: int) -> Span:
    """The span of positions that do not depend on the photo: it ends before it begins."""
    return np.repeat([[np.iinfo(np.int64).max, -1]], size, axis=0)


def _window(size: int, kernel: int, stride: int, padding: int, dilation: int) -> NDArray[np.int64]:
    """The positions that each of ``size`` outputs of a convolution or pooling reads."""
    return np.arange(size)[:, None] * stride - padding + np.arange(kernel) * dilation


def _transposed(size: int, kernel: int, stride: int, padding: int, dilation: int) -> NDArray[np.int64]:
    """The positions that each of ``size`` outputs of a transposed convolution reads; -1 for none."""
    spread = np.arange(size)[:, None] + padding - np.arange(kernel) * dilation
    return np.where(spread % stride == 0, spread // stride, -1)


def _between(size: int, new_size: int, align_corners: bool) -> NDArray[np.int64]:
    """The two positions of ``size`` that bilinear interpolation mixes for each of ``new_size``; one where it hits it."""
    if align_corners:
        position = np.arange(new_size) * (size - 1) / max(new_size - 1, 1)
    else:
        position = np.clip((np.arange(new_size) + 0.5) * size / new_size - 0.5, 0, size - 1)
    return np.stack([np.floor(position), np.ceil(position)], axis=1).astype(np.int64)


def map_size(size: int, output_stride: int) -> int:
    """The height or width of a map at ``output_stride`` of a photo of ``size`` pixels."""
    return -(-size // output_stride)


def taps(row: int, column: int, rate: int, height: int, width: int) -> list[tuple[int, int, bool]]:
    """Where the nine taps of an atrous 3x3 lie around a cell of a map: (row, column, whether that is on the map)."""
    return [
        (r, c, 0 <= r < height and 0 <= c < width)
        for r in (row - rate, row, row + rate)
        for c in (column - rate, column, column + rate)
    ]


def share_of_taps_inside(height: int, width: int, rate: int) -> float:
    """The part of an atrous 3x3's taps that land inside a map of (height, width), averaged over all positions.

    The others read padding. At a rate beyond the map's size only the middle tap is left: a 1x1 convolution.
    """

    def along(size: int) -> float:
        # Every position has its middle tap; a tap on either side lands for all but `rate` positions.
        return (size + 2 * max(size - rate, 0)) / (3 * size)

    return along(height) * along(width)


def effective_receptive_field(
    network: SegmentationNetwork, pixels: Tensor, row: int, column: int, class_index: int
) -> Tensor:
    """How much each input pixel moves one pixel's class score: (H, W), the gradient's size summed over the channels.

    ``pixels`` is what the network takes, (1, 3, H, W). The theoretical field is a square that most pixels of hardly
    contribute to (Luo et al. 2016: arXiv 1701.04128). The network's weights and their gradients are left alone; it
    should be in eval mode.
    """
    with torch.inference_mode(False), torch.enable_grad():
        pixels = pixels.detach().clone().requires_grad_()
        score = network(pixels)[0, class_index, row, column]
        (gradient,) = torch.autograd.grad(score, pixels)
    return gradient[0].abs().sum(0)
