"""What every network here is: a backbone, a decoder, and bilinear interpolation to the input's size."""

from torch import Tensor, nn

from .backbones import Backbone
from .heads import ASPP
from .layers import resize_logits


class SegmentationNetwork(nn.Module):
    """(N, 3, H, W) normalised pixels -> (N, num_classes, H, W) logits.

    ``encode`` is the expensive half and ``decode`` the cheap one. They are apart so that a decoder's setting, such as
    the atrous rate, can change on features that were computed once.
    """

    backbone: Backbone
    align_corners: bool
    """Where the cells of its logits lie: as the backbone's, unless a published network was trained otherwise."""

    def __init__(self, backbone: Backbone, decoder: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder
        self.align_corners = backbone.align_corners

    def encode(self, x: Tensor) -> list[Tensor]:
        """The backbone's feature maps, from fine to coarse."""
        return self.backbone(x)

    def decode(self, features: list[Tensor]) -> Tensor:
        """Logits at the decoder's own stride: (N, num_classes, h, w)."""
        logits: Tensor = self.decoder(features)
        return logits

    def side_logits(self, features: list[Tensor]) -> list[Tensor]:
        """All predictions that training supervises, the network's own last. Only FCN has more than one."""
        return [self.decode(features)]

    def forward(self, x: Tensor) -> Tensor:
        return resize_logits(self.decode(self.encode(x)), (x.shape[-2], x.shape[-1]), self.align_corners)


def set_atrous_rate(network: SegmentationNetwork, rate: int) -> None:
    """Set a DeepLab's ASPP to the rates (rate, 2 * rate, 3 * rate)."""
    aspp = network.decoder.aspp
    assert isinstance(aspp, ASPP)
    aspp.set_atrous_rates((rate, 2 * rate, 3 * rate))


def configure(network: SegmentationNetwork, atrous_rate: int | None = None, output_stride: int | None = None) -> None:
    """Set the rate and the stride of a network that are not None; its weights stay."""
    if output_stride is not None and network.backbone.output_stride != output_stride:
        network.backbone.set_output_stride(output_stride)
    if atrous_rate is not None:
        set_atrous_rate(network, atrous_rate)
