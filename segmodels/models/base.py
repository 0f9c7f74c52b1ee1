"""The base class of all networks: a backbone, a decoder, and bilinear interpolation to the input's size."""

from torch import Tensor, nn

from .backbones import Backbone
from .heads import ASPP
from .layers import resize_logits


class SegmentationNetwork(nn.Module):
    """A segmentation network: (N, 3, H, W) normalised pixels -> (N, num_classes, H, W) logits.

    ``encode`` is the expensive half and ``decode`` the cheap one, so a setting of the decoder, such as the atrous rate,
    can change without computing the features again.

    Args:
        backbone: the feature extractor.
        decoder: turns the backbone's feature maps into logits.
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
        """Return the backbone's feature maps, from fine to coarse.

        Args:
            x: normalised pixels, (N, 3, H, W).

        Returns:
            One (N, C, h, w) map for each stride of the backbone.
        """
        return self.backbone(x)

    def decode(self, features: list[Tensor]) -> Tensor:
        """Return the logits at the decoder's own stride.

        Args:
            features: what ``encode`` returns.

        Returns:
            (N, num_classes, h, w).
        """
        logits: Tensor = self.decoder(features)
        return logits

    def side_logits(self, features: list[Tensor]) -> list[Tensor]:
        """Return all predictions that the loss supervises, the network's own last. Only some networks have more than
        one.

        Args:
            features: what ``encode`` returns.

        Returns:
            One (N, num_classes, h, w) tensor for each prediction, from coarse to fine.
        """
        return [self.decode(features)]

    def forward(self, x: Tensor) -> Tensor:
        return resize_logits(self.decode(self.encode(x)), (x.shape[-2], x.shape[-1]), self.align_corners)


def set_atrous_rate(network: SegmentationNetwork, rate: int) -> None:
    """Set the ASPP of a DeepLab to the rates (rate, 2 * rate, 3 * rate). The weights stay the same.

    Args:
        network: a network whose decoder has an ASPP.
        rate: the rate of the first atrous branch, in cells of the feature map.
    """
    aspp = network.decoder.aspp
    assert isinstance(aspp, ASPP)
    aspp.set_atrous_rates((rate, 2 * rate, 3 * rate))


def configure(network: SegmentationNetwork, atrous_rate: int | None = None, output_stride: int | None = None) -> None:
    """Set atrous rate and output stride, where given. The weights stay the same.

    Args:
        network: the network to change.
        atrous_rate: the rate of the ASPP's first branch, or None to leave it.
        output_stride: 8, 16 or 32, or None to leave it.

    Raises:
        ValueError: if the backbone cannot run at ``output_stride``.
    """
    if output_stride is not None and network.backbone.output_stride != output_stride:
        network.backbone.set_output_stride(output_stride)
    if atrous_rate is not None:
        set_atrous_rate(network, atrous_rate)
