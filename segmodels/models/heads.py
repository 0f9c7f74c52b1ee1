"""Spatial pyramid pooling and its atrous version."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .layers import AtrousConv, ConvBNReLU, SeparableOrAtrous, resize_logits


class SpatialPyramidPooling(nn.Module):
    """Max pooling over several grids of bins: (N, C, H, W) of any size -> (N, C * sum(bins^2)) (SPP-net, section 2.2).

    With the default grids of 4x4, 2x2 and 1x1 bins, 256 channels give 256 * 21 = 5376 numbers at any size.

    Args:
        bins: the number of bins along an edge, for each grid.
    """

    def __init__(self, bins: Sequence[int] = (4, 2, 1)) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.AdaptiveMaxPool2d(n) for n in bins)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([pool(x).flatten(1) for pool in self.pools], dim=1)


class ImagePooling(nn.Sequential):
    """The mean of each channel over the whole map, through a 1x1 convolution, repeated at every position.

    (N, in, H, W) -> (N, out, H, W). It brings back the wide context that large atrous rates lose at the border (DeepLab
    v3, section 3.3).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *ConvBNReLU(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = super().forward(x)
        return resize_logits(pooled, (x.shape[-2], x.shape[-1]))


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (DeepLab v3, section 3.3): (N, in, H, W) -> (N, out, H, W).

    Five branches see the same features: a 1x1 convolution, three 3x3 convolutions at growing atrous rates, and image
    pooling. Their outputs are concatenated and projected by a 1x1 convolution. Module names and order are
    torchvision's, so its weights load here.

    Args:
        in_channels: channels of the backbone's last map.
        out_channels: channels of the output, and of each branch.
        atrous_rates: the rates of the 3x3 branches, in cells. Empty for DeepLab on MobileNet v2, which has none
            (Sandler et al. 2018, section 6.3).
        conv: builds a branch: ``AtrousConv`` for v3, ``DepthwiseSeparableConv`` for v3+ (v3+, section 3.1).
        dropout: the probability in the projection.
        atrous_width: channels of the atrous branches; ``out_channels`` if None.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        atrous_rates: Sequence[int],
        conv: SeparableOrAtrous = AtrousConv,
        dropout: float = 0.5,
        atrous_width: int | None = None,
    ) -> None:
        super().__init__()
        atrous_width = atrous_width or out_channels
        branches: list[nn.Module] = [ConvBNReLU(in_channels, out_channels, 1)]
        branches += [conv(in_channels, atrous_width, rate) for rate in atrous_rates]
        branches.append(ImagePooling(in_channels, out_channels))
        self.convs = nn.ModuleList(branches)
        self.project = nn.Sequential(
            *ConvBNReLU(2 * out_channels + len(atrous_rates) * atrous_width, out_channels, 1),
            nn.Dropout(dropout),
        )

    @property
    def atrous_rates(self) -> tuple[int, ...]:
        """The current rates of the 3x3 branches, in cells of the feature map."""
        return tuple(conv.dilation[0] for conv in self.atrous_convs())

    def set_atrous_rates(self, rates: Sequence[int]) -> None:
        """Move the taps of the 3x3 branches to ``rates``. The weights stay the same.

        Args:
            rates: one positive rate for each atrous branch, in cells.

        Raises:
            ValueError: if there are more or fewer rates than branches, or one is below 1.
        """
        convs = self.atrous_convs()
        if len(rates) != len(convs) or any(rate < 1 for rate in rates):
            raise ValueError(f"expected {len(convs)} positive atrous rates, got {tuple(rates)}")
        for conv, rate in zip(convs, rates, strict=True):
            conv.dilation = conv.padding = (rate, rate)

    def atrous_convs(self) -> list[nn.Conv2d]:
        """Return the 3x3 convolutions whose taps the rates move, one for each atrous branch."""
        return [
            module
            for branch in self.convs
            for module in branch.modules()
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
        ]

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.project(torch.cat([branch(x) for branch in self.convs], dim=1))
        return projected
