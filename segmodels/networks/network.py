"""What every network here is: a backbone, a decoder, and bilinear interpolation to the input's size."""

from torch import Tensor, nn

from .backbones import Backbone
from .layers import Grid, resize_logits


class SegmentationNetwork(nn.Module):
    """(N, 3, H, W) normalised pixels -> (N, num_classes, H, W) logits.

    ``encode`` is the expensive half and ``decode`` the cheap one. They are apart so that a decoder's setting, such as
    the atrous rate, can change on features that were computed once.
    """

    backbone: Backbone
    grid: Grid
    """Where the cells of its logits lie: as the backbone's, unless a published network was trained otherwise."""

    def __init__(self, backbone: Backbone, decoder: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder
        self.grid = backbone.grid

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
        return resize_logits(self.decode(self.encode(x)), (x.shape[-2], x.shape[-1]), self.grid)
