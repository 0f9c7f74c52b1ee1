"""DeepLab v3 (Chen et al. 2017: arXiv 1706.05587) and v3+ (Chen et al. 2018: arXiv 1802.02611).

Instead of pooling and upsampling again, DeepLab keeps the map large and lets the convolutions look further: their taps
stand ``rate`` cells apart. Several rates side by side (ASPP) see objects at several scales.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..labels import VOC_CLASSES
from .backbones import MobileNetV2, Xception65
from .base import SegmentationNetwork
from .heads import ASPP
from .layers import AtrousConv, ConvBNReLU, DepthwiseSeparableConv, SeparableOrAtrous, resize_logits

ATROUS_RATES = (6, 12, 18)
"""The ASPP's rates at output stride 16 (v3, section 4.1); twice that at stride 8."""


class DeepLabV3Decoder(nn.Module):
    """ASPP and a 1x1 classifier (v3, section 3.3): logits at the backbone's output stride.

    ``refine`` puts a 3x3 convolution between them, as torchvision does.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        atrous_rates: Sequence[int],
        width: int = 256,
        dropout: float = 0.5,
        atrous_width: int | None = None,
        refine: bool = False,
    ) -> None:
        super().__init__()
        self.aspp = ASPP(in_channels, width, atrous_rates, dropout=dropout, atrous_width=atrous_width)
        self.refine: nn.Module = ConvBNReLU(width, width) if refine else nn.Identity()
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        logits: Tensor = self.classifier(self.refine(self.aspp(features[-1])))
        return logits


class DeepLabV3PlusDecoder(nn.Module):
    """ASPP, upsampled and joined with low-level features at stride 4 (v3+, section 3.1, figure 2).

    The low-level features are narrowed to 48 channels first, so that they do not outweigh the ASPP's (section 4.1), and
    two separable 3x3 convolutions of ``refine_width`` maps, as many as the ASPP's if None, refine both. Logits come at
    stride 4. The ASPP is separable as in the paper, unless ``conv`` says otherwise. With ``coarse_scores`` the ASPP's map is
    scored too, as in v3, and what follows corrects these scores.
    """

    LOW_LEVEL_WIDTH = 48
    LOW_LEVEL_INDEX = 1  # of the backbone's feature maps: the one at stride 4

    def __init__(
        self,
        low_level_channels: int,
        in_channels: int,
        num_classes: int,
        atrous_rates: Sequence[int],
        width: int = 256,
        dropout: float = 0.5,
        refine_width: int | None = None,
        align_corners: bool = True,
        conv: SeparableOrAtrous = DepthwiseSeparableConv,
        coarse_scores: bool = False,
    ) -> None:
        super().__init__()
        refine_width = refine_width or width
        self.aspp = ASPP(in_channels, width, atrous_rates, conv=conv, dropout=dropout)
        self.low_level = ConvBNReLU(low_level_channels, self.LOW_LEVEL_WIDTH, 1)
        self.refine = nn.Sequential(
            DepthwiseSeparableConv(width + self.LOW_LEVEL_WIDTH, refine_width),
            DepthwiseSeparableConv(refine_width, refine_width),
        )
        self.classifier = nn.Conv2d(refine_width, num_classes, 1)
        self.score = nn.Conv2d(width, num_classes, 1) if coarse_scores else None
        self.align_corners = align_corners

    def forward(self, features: list[Tensor]) -> Tensor:
        fine = self.low_level(features[self.LOW_LEVEL_INDEX])
        pyramid = self.aspp(features[-1])
        return self.join(resize_logits(pyramid, (fine.shape[-2], fine.shape[-1]), self.align_corners), fine)

    def join(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return the logits of the ASPP's map ``coarse``, upsampled to stride 4, and the narrowed low-level map ``fine``."""
        logits: Tensor = self.classifier(self.refine(torch.cat([coarse, fine], dim=1)))
        return logits if self.score is None else logits + self.score(coarse)


def deeplabv3_mobilenetv2_google(num_classes: int = len(VOC_CLASSES)) -> SegmentationNetwork:
    """DeepLab v3 on MobileNet v2 as its authors published it (MobileNet v2, section 6.3): without atrous branches.

    The pyramid is a 1x1 convolution beside image pooling; what is atrous are the backbone's last three blocks.
    """
    backbone = MobileNetV2(output_stride=16)
    return SegmentationNetwork(backbone, DeepLabV3Decoder(backbone.out_channels[-1], num_classes, (), dropout=0.1))


def deeplabv3_mobilenetv2(num_classes: int = len(VOC_CLASSES)) -> SegmentationNetwork:
    """DeepLab v3 on MobileNet v2 at output stride 16, the branches of its ASPP narrower than the paper's 256 maps."""
    backbone = MobileNetV2(output_stride=16)
    decoder = DeepLabV3Decoder(backbone.out_channels[-1], num_classes, ATROUS_RATES, width=V3_WIDTH, dropout=0.1)
    return SegmentationNetwork(backbone, decoder)


def deeplabv3plus_mobilenetv2(num_classes: int = len(VOC_CLASSES)) -> SegmentationNetwork:
    """DeepLab v3+ on MobileNet v2 at output stride 16: ASPP and scores of ``deeplabv3_mobilenetv2``, corrected."""
    backbone = MobileNetV2(output_stride=16)
    low_level, deepest = backbone.out_channels[1], backbone.out_channels[-1]
    decoder = DeepLabV3PlusDecoder(
        low_level, deepest, num_classes, ATROUS_RATES, width=V3_WIDTH, dropout=0.1, conv=AtrousConv, coarse_scores=True
    )
    return SegmentationNetwork(backbone, decoder)


def deeplabv3plus_mobilenetv2_separable(num_classes: int = len(VOC_CLASSES)) -> SegmentationNetwork:
    """DeepLab v3+ on MobileNet v2 at output stride 16 with the paper's separable ASPP, half as wide at stride 4."""
    backbone = MobileNetV2(output_stride=16)
    low_level, deepest = backbone.out_channels[1], backbone.out_channels[-1]
    decoder = DeepLabV3PlusDecoder(low_level, deepest, num_classes, ATROUS_RATES, dropout=0.1, refine_width=128)
    return SegmentationNetwork(backbone, decoder)


V3_WIDTH = 96
"""The maps of each branch of DeepLab v3's ASPP on MobileNet v2."""


def deeplabv3plus_xception65(num_classes: int = len(VOC_CLASSES), output_stride: int = 16) -> SegmentationNetwork:
    """The paper's DeepLab v3+ on the modified aligned Xception-65, every 3x3 convolution but the stem's separable.

    At output stride 8 the rates double (v3, section 4.1), so that they cover the same field of the photo.

    Raises:
        ValueError: if ``output_stride`` is none of 8, 16, 32.
    """
    backbone = Xception65(output_stride)
    rates = [rate * 16 // output_stride for rate in ATROUS_RATES]
    low_level, deepest = backbone.out_channels[1], backbone.out_channels[-1]
    decoder = DeepLabV3PlusDecoder(low_level, deepest, num_classes, rates, dropout=0.1)
    return SegmentationNetwork(backbone, decoder)
