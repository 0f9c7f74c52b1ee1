"""The article's building blocks, each a few lines of torch.

Shapes are written (N, C, H, W). Everything here accepts any height and width.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class ConvBNReLU(nn.Sequential):
    """Convolution, batch norm, ReLU: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).

    The padding is ``dilation * (kernel - 1) / 2`` on each side, so that at stride 1 the size stays for any odd kernel.
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
    """A 3x3 convolution whose taps stand ``rate`` cells apart (DeepLab v3, section 3.1): the size stays.

    A rate changes where the nine taps lie, never how many weights there are: the same weights run at any rate.
    """

    def __init__(self, in_channels: int, out_channels: int, rate: int) -> None:
        super().__init__(in_channels, out_channels, 3, dilation=rate)


class DepthwiseSeparableConv(nn.Sequential):
    """A depthwise 3x3 (one filter a channel, optionally atrous), then a pointwise 1x1 (DeepLab v3+, section 3.1).

    Costs ``H * W * (9 * in + in * out)`` multiply-accumulates against the plain convolution's ``H * W * 9 * in * out``.
    Batch norm and ReLU follow both parts, as in the paper's modified Xception (section 3.2).
    """

    def __init__(self, in_channels: int, out_channels: int, rate: int = 1) -> None:
        super().__init__(
            ConvBNReLU(in_channels, in_channels, 3, dilation=rate, groups=in_channels),
            ConvBNReLU(in_channels, out_channels, 1),
        )


def bilinear_kernel(factor: int) -> Tensor:
    """The (2 * factor, 2 * factor) kernel that makes a transposed convolution of stride ``factor`` bilinear.

    FCN, section 3.3: "deconvolution" filters start as bilinear interpolation. Only even kernels are made here, for even
    or odd factors alike, with padding ``factor // 2`` when the factor is even.
    """
    size = 2 * factor
    centre = factor - 0.5
    ramp = 1 - (torch.arange(size) - centre).abs() / factor
    return ramp[:, None] * ramp[None, :]


class BilinearUpsampling(nn.ConvTranspose2d):
    """Learned upsampling: (N, C, H, W) -> (N, C, factor * H, factor * W), starting as bilinear interpolation.

    One transposed convolution of stride ``factor`` over all channels (FCN, section 3.3). The kernel starts diagonal:
    each class is interpolated by itself, and training may mix them.

    Raises:
        ValueError: if ``factor`` is odd (the kernel would not be centred).
    """

    def __init__(self, channels: int, factor: int) -> None:
        if factor % 2:
            raise ValueError(f"factor must be even to keep the map centred, got {factor}")
        super().__init__(channels, channels, 2 * factor, stride=factor, padding=factor // 2, bias=False)
        with torch.no_grad():
            self.weight.zero_()
            self.weight[range(channels), range(channels)] = bilinear_kernel(factor)


def crop_like(x: Tensor, reference: Tensor) -> Tensor:
    """Cut ``x`` at the bottom and right to the height and width of ``reference`` (never larger than ``x``)."""
    return x[..., : reference.shape[-2], : reference.shape[-1]]


def crop_centre(x: Tensor, reference: Tensor) -> Tensor:
    """Cut the middle out of ``x``, as high and wide as ``reference`` (never larger than ``x``)."""
    height, width = reference.shape[-2:]
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


def resize_logits(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation to ``size`` (height, width), the last step of every network here."""
    return nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


SeparableOrAtrous = Callable[[int, int, int], nn.Module]
"""Builds a 3x3 convolution from (in_channels, out_channels, rate): ``AtrousConv`` or ``DepthwiseSeparableConv``."""
