"""The building blocks of the papers, each in a few lines of torch.

Shapes are written (N, C, H, W). Everything here accepts any height and width.

``align_corners`` has the meaning it has in ``torch.nn.functional.interpolate``. It says where the cells of a feature
map of stride s lie in the photo. After 3x3 convolutions of stride 2 with symmetric padding, cell i lies on pixel ``s *
i``: at sizes ``s * k + 1`` the first cell lies on the first pixel and the last cell on the last pixel (True). After 2x2
poolings, a cell lies in the middle of its s pixels, at ``s * i + (s - 1) / 2`` (False). Code that resizes logits must
pass this flag along.
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn


class ConvBNReLU(nn.Sequential):
    """Convolution, batch norm, ReLU: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).

    The padding is ``dilation * (kernel - 1) / 2`` on each side, so at stride 1 any odd kernel keeps the size.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: width of the square kernel.
        stride: step of the kernel, in cells.
        dilation: distance between the kernel's taps, in cells.
        groups: groups of channels that are convolved separately; ``in_channels`` makes it depthwise.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel,
                stride,
                padding=dilation * (kernel - 1) // 2,
                dilation=dilation,
                groups=groups,
                bias=False,
            ),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class AtrousConv(ConvBNReLU):
    """A 3x3 convolution whose taps are ``rate`` cells apart (DeepLab v3, section 3.1). The size stays.

    The rate changes where the nine taps lie, not how many weights there are: the same weights run at any rate.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        rate: distance between the taps, in cells.
    """

    def __init__(self, in_channels: int, out_channels: int, rate: int) -> None:
        super().__init__(in_channels, out_channels, 3, dilation=rate)


class DepthwiseSeparableConv(nn.Sequential):
    """A depthwise 3x3 convolution, optionally atrous, then a pointwise 1x1 (DeepLab v3+, section 3.1).

    It costs ``H * W * (9 * in + in * out)`` multiply-accumulates; a plain 3x3 convolution costs ``H * W * 9 * in *
    out``. Batch norm and ReLU follow both parts, as in the paper's modified Xception (section 3.2).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        rate: distance between the taps of the depthwise part, in cells.
    """

    def __init__(self, in_channels: int, out_channels: int, rate: int = 1) -> None:
        super().__init__(
            ConvBNReLU(in_channels, in_channels, 3, dilation=rate, groups=in_channels),
            ConvBNReLU(in_channels, out_channels, 1),
        )


def bilinear_kernel(factor: int, align_corners: bool = False) -> Tensor:
    """Return the square kernel that makes a transposed convolution of stride ``factor`` bilinear (FCN, section 3.3).

    Args:
        factor: the stride, by which the map becomes finer.
        align_corners: where the cells lie, which decides the kernel's size.

    Returns:
        (2 * factor, 2 * factor) for use with padding ``factor // 2``; with ``align_corners``
        (2 * factor - 1, 2 * factor - 1) for use with padding ``factor - 1``, so that every cell keeps its value.
    """
    size = 2 * factor - int(align_corners)
    centre = (size - 1) / 2
    ramp = 1 - (torch.arange(size) - centre).abs() / factor
    return ramp[:, None] * ramp[None, :]


class BilinearUpsampling(nn.ConvTranspose2d):
    """Learned upsampling by ``factor``, starting as bilinear interpolation: one transposed convolution over all channels
    (FCN, section 3.3). The kernel starts diagonal: each class is interpolated by itself, and training may mix them.

    (N, C, H, W) -> (N, C, factor * H, factor * W) between cell centres, (N, C, factor * (H - 1) + 1, ...) with ``align_corners``;
    ``to`` makes it fit a finer map.

    Raises:
        ValueError: if ``factor`` is odd and ``align_corners`` is False (the kernel would not be centred).
    """

    def __init__(self, channels: int, factor: int, align_corners: bool = False) -> None:
        if factor % 2 and not align_corners:
            raise ValueError(f"factor must be even to keep the map centred, got {factor}")
        kernel = bilinear_kernel(factor, align_corners)
        padding = factor // 2 if not align_corners else factor - 1
        super().__init__(channels, channels, len(kernel), stride=factor, padding=padding, bias=False)
        with torch.no_grad():
            self.weight.zero_()
            self.weight[range(channels), range(channels)] = kernel


def least_size(conv: nn.ConvTranspose2d, size: Sequence[int]) -> list[int]:
    """Return the output size of a transposed convolution without what its kernel reaches beyond the last cell.

    Args:
        conv: the transposed convolution.
        size: (height, width) of its input, in cells.

    Returns:
        [height, width] of its output.
    """
    along = zip(size, conv.kernel_size, conv.stride, cast("tuple[int, int]", conv.padding), strict=True)
    return [(cells - 1) * stride - 2 * padding + kernel for cells, kernel, stride, padding in along]


def upsample_like(upsampling: nn.ConvTranspose2d, x: Tensor, finer: Tensor) -> Tensor:
    """Upsample ``x`` to the height and width of the ``finer`` map.

    The result is cropped where it would be larger. Where it would be smaller, it is extended by what the kernel reaches
    beyond the last cell.

    Args:
        upsampling: the transposed convolution to use.
        x: the coarse map, (N, C, h, w).
        finer: a map with the wanted size, (N, C', H, W).

    Returns:
        (N, out, H, W).
    """
    least = least_size(upsampling, x.shape[-2:])
    most = [size + stride - 1 for size, stride in zip(least, upsampling.stride, strict=True)]
    return crop_like(upsampling(x, most), finer)


def crop_like(x: Tensor, reference: Tensor) -> Tensor:
    """Cut ``x`` at the bottom and right to the height and width of ``reference`` (never larger than ``x``)."""
    return x[..., : reference.shape[-2], : reference.shape[-1]]


def crop_centre(x: Tensor, reference: Tensor) -> Tensor:
    """Cut the middle out of ``x``, as high and wide as ``reference`` (never larger than ``x``)."""
    height, width = reference.shape[-2:]
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


def resize_logits(logits: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Interpolate logits bilinearly, the last step of every network here.

    With ``align_corners`` every cell keeps its place, ``factor`` pixels from its neighbour, at any size. Beyond the
    last cell, where the size is not ``factor * k + 1``, its value is repeated.

    Args:
        logits: (N, C, h, w).
        size: the wanted (height, width), in pixels.
        align_corners: where the cells lie, see the module.

    Returns:
        (N, C, height, width).

    Raises:
        ValueError: with ``align_corners``, if no number of halvings leads from ``size`` to (h, w).
    """
    if not align_corners:
        return nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    if not torch.compiler.is_exporting():
        return _resize_aligned(logits, size)
    repeated = torch.cat([logits, logits[..., -1:, :]], dim=-2)
    repeated = torch.cat([repeated, repeated[..., -1:]], dim=-1)
    # As far as the repeated cells, and then cut: no size decides what is done, so that one exported graph serves all sizes.
    reached = [factor_between(n, pixels) * n + 1 for n, pixels in zip(logits.shape[-2:], size, strict=True)]
    fine = nn.functional.interpolate(repeated, size=reached, mode="bilinear", align_corners=True)
    return fine[..., : size[0], : size[1]]


def _resize_aligned(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize as ``resize_logits`` does with ``align_corners``, as far as the last cell; what is beyond repeats the edge."""
    reached = [factor_between(n, pixels) * (n - 1) + 1 for n, pixels in zip(logits.shape[-2:], size, strict=True)]
    if logits.shape[-2:] == (1, 1):
        return logits.expand(*logits.shape[:-2], *size)
    fine = nn.functional.interpolate(logits, size=reached, mode="bilinear", align_corners=True)
    bottom, right = size[0] - reached[0], size[1] - reached[1]
    return nn.functional.pad(fine, (0, right, 0, bottom), mode="replicate") if bottom or right else fine


def factor_between(cells: int, pixels: int) -> int:
    """Return the power of two by which ``pixels`` were halved to ``cells``, rounding up each time.

    Raises:
        ValueError: if no number of halvings leads there.
    """
    cells, pixels = _as_number(cells), _as_number(pixels)
    factor = 1
    while -(-pixels // factor) > cells:
        factor *= 2
    if -(-pixels // factor) != cells:
        raise ValueError(f"no halving leads from {pixels} pixels to {cells} cells")
    return factor


def _as_number(length: int) -> int:
    """While a network is exported, a length is a symbol. What depends on the factor alone is the same for all lengths, so
    the example's stands for them, and the symbol stays free.
    """
    return length.node.hint if isinstance(length, torch.SymInt) else length


SeparableOrAtrous = Callable[[int, int, int], nn.Module]
"""Builds a 3x3 convolution from (in_channels, out_channels, rate): ``AtrousConv`` or ``DepthwiseSeparableConv``."""
