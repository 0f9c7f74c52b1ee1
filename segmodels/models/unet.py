"""U-Net (Ronneberger, Fischer, Brox 2015: arXiv 1505.04597).

A contracting path finds what is in the picture, an expanding path finds where, and at every scale the expanding path is
handed the contracting path's features: concatenated, not added.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ..labels import VOC_CLASSES
from .backbones import MobileNetV2, ResNet18, check_fixed_stride
from .base import SegmentationNetwork
from .fcn import HEAD_WIDTH
from .heads import ASPP
from .layers import crop_centre, crop_like, resize_logits, upsample_like

Padding = Literal["same", "valid"]
"""``"valid"``: each 3x3 convolution loses a border of one pixel, as in the paper. ``"same"``: the size stays."""


def two_convs(in_channels: int, out_channels: int, padding: Padding = "same", batch_norm: bool = True) -> nn.Sequential:
    """Two 3x3 convolutions, each with its ReLU (section 2): (N, in, H, W) -> (N, out, H, W), or 4 less if valid.

    The paper has no batch norm; its convolutions have biases instead.
    """

    def conv(channels: int) -> nn.Sequential:
        layers: list[nn.Module] = [
            nn.Conv2d(channels, out_channels, 3, padding=int(padding == "same"), bias=not batch_norm)
        ]
        if batch_norm:
            layers.append(nn.BatchNorm2d(out_channels))
        return nn.Sequential(*layers, nn.ReLU(inplace=True))

    return nn.Sequential(conv(in_channels), conv(out_channels))


class ContractingPath(nn.Module):
    """The classic backbone (section 2): two 3x3 convolutions a step, 2x2 max pooling between steps, maps doubling.

    (N, in, H, W) -> five features at strides 1, 2, 4, 8, 16 with ``width`` to ``16 * width`` channels.
    """

    output_stride = 16
    align_corners: bool = False

    def __init__(
        self, in_channels: int = 3, width: int = 64, padding: Padding = "same", batch_norm: bool = True
    ) -> None:
        super().__init__()
        self.out_channels: tuple[int, ...] = (width, 2 * width, 4 * width, 8 * width, 16 * width)
        self.padding = padding
        widths = zip((in_channels, *self.out_channels), self.out_channels, strict=False)
        self.steps = nn.ModuleList(two_convs(above, below, padding, batch_norm) for above, below in widths)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)

    def set_output_stride(self, output_stride: int) -> None:
        """Raise ValueError for any stride but 16."""
        check_fixed_stride(output_stride, self.output_stride)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The output of every step.

        Raises:
            ValueError: without padding, if a map to be pooled has an odd side (section 3 asks for even ones).
        """
        features = [self.steps[0](x)]
        for step in self.steps[1:]:
            height, width = features[-1].shape[-2:]
            if self.padding == "valid" and (height % 2 or width % 2):
                raise ValueError(
                    f"an unpadded U-Net pools maps with even sides only, and {x.shape[-1]} x {x.shape[-2]} leads to "
                    f"{width} x {height}: take a tile whose sides are multiples of 16 plus 12, such as 572 x 572"
                )
            features.append(step(self.pool(features[-1])))
        return features


class UpBlock(nn.Module):
    """One step up (section 2): an up-convolution of stride 2, the skip concatenated, two 3x3 convolutions.

    (N, in, h, w) and a skip of (N, skip, H, W) -> (N, out, H, W), where H is 2h or 2h - 1. Without padding the skip is
    larger than 2h; its middle is used, and the output is 4 smaller than 2h.

    The up-convolution is 2x2 as in the paper where maps were halved by 2x2 poolings. With ``align_corners`` it is 3x3, so
    that the cells it adds lie between those it has.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        padding: Padding = "same",
        batch_norm: bool = True,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        kernel, border = (2, 0) if not align_corners else (3, 1)
        self.up = nn.ConvTranspose2d(in_channels, out_channels, kernel, stride=2, padding=border)
        self.convs = two_convs(out_channels + skip_channels, out_channels, padding, batch_norm)

    def upsample(self, x: Tensor, skip: Tensor) -> Tensor:
        """The up-convolution of ``x``, no larger than the skip."""
        return crop_like(self.up(x), skip) if not self.align_corners else upsample_like(self.up, x, skip)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.upsample(x, skip)
        joined: Tensor = self.convs(torch.cat([x, crop_centre(skip, x)], dim=1))
        return joined


class UNetDecoder(nn.Module):
    """The expanding path over any backbone: (N, num_classes, H, W) at the finest feature's stride.

    Args:
        in_channels: the channels of the backbone's feature maps, from fine to coarse.
        widths: the channels of the blocks, from coarse to fine.
        num_classes: the channels of the answer.
        padding: of the 3x3 convolutions.
        batch_norm: whether each convolution has a batch norm.
        norm_skips: whether a batch norm stands before each skip. Features of a backbone that are not normalised are many
            times larger than what comes up from below, and would drown it.
        side_outputs: whether every block but the last predicts too (``all_steps``), so that training reaches the deep ones.
        levels: which feature maps are the skips, from coarse to fine; all but the deepest if None.
        bottom: works on the deepest feature map, where the contracting path turns.
        bottom_channels: the channels that it gives.
        align_corners: whether the first and last cells of two maps lie on each other when one is enlarged.
        coarse_scores: whether what ``bottom`` gives is scored too. Every prediction is then what the path adds to these
            scores, interpolated.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        widths: Sequence[int],
        num_classes: int,
        padding: Padding = "same",
        batch_norm: bool = True,
        norm_skips: bool = False,
        side_outputs: bool = False,
        levels: Sequence[int] | None = None,
        bottom: nn.Module | None = None,
        bottom_channels: int | None = None,
        align_corners: bool = False,
        coarse_scores: bool = False,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.levels = tuple(range(len(in_channels) - 2, -1, -1) if levels is None else levels)
        skips = [in_channels[level] for level in self.levels]
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in skips) if norm_skips else None
        self.bottom = nn.Identity() if bottom is None else bottom
        self.blocks = nn.ModuleList()
        below = bottom_channels or in_channels[-1]
        self.score = nn.Conv2d(below, num_classes, 1) if coarse_scores else None
        for skip, width in zip(skips, widths, strict=True):
            self.blocks.append(UpBlock(below, skip, width, padding, batch_norm, align_corners))
            below = width
        self.classifier = nn.Conv2d(below, num_classes, 1)
        sides = [nn.Conv2d(width, num_classes, 1) for width in widths[:-1]] if side_outputs else []
        self.sides = nn.ModuleList(sides)

    def steps(self, features: list[Tensor]) -> list[Tensor]:
        """What ``bottom`` gives, and then each block, from coarse to fine."""
        skips = [features[level] for level in self.levels]
        if self.norms is not None:
            skips = [norm(skip) for norm, skip in zip(self.norms, skips, strict=True)]
        outputs: list[Tensor] = [self.bottom(features[-1])]
        for block, skip in zip(self.blocks, skips, strict=True):
            outputs.append(block(outputs[-1], skip))
        return outputs

    def all_steps(self, features: list[Tensor]) -> list[Tensor]:
        """A prediction a block, from coarse to fine, the network's own last."""
        bottom, *outputs = self.steps(features)
        return [self.predict(head, x, bottom) for head, x in zip(self.heads(), outputs, strict=True)]

    def heads(self) -> list[nn.Module]:
        """The 1x1 convolutions that predict, from coarse to fine."""
        return [*self.sides, self.classifier]

    def predict(self, head: nn.Module, x: Tensor, bottom: Tensor) -> Tensor:
        """Return what ``head`` makes of a block's output ``x``, added to the scores of ``bottom`` if there are any."""
        logits: Tensor = head(x)
        if self.score is None:
            return logits
        return logits + resize_logits(self.score(bottom), (x.shape[-2], x.shape[-1]), self.align_corners)

    def forward(self, features: list[Tensor]) -> Tensor:
        bottom, *_, finest = self.steps(features)
        return self.predict(self.classifier, finest, bottom)


class UNet(SegmentationNetwork):
    """A U-Net that reaches stride 1: there is nothing to interpolate.

    With padding the logits have the photo's size. Without, they cover its middle: 388x388 of 572x572 (figure 1).
    """

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class SupervisedUNet(SegmentationNetwork):
    """A U-Net whose blocks all learn to predict; the coarse predictions are for training and for looking at."""

    decoder: UNetDecoder

    def side_logits(self, features: list[Tensor]) -> list[Tensor]:
        """A prediction at each step up, from coarse to fine."""
        return self.decoder.all_steps(features)


def he_initialise(network: nn.Module) -> None:
    """Draw the weights of every convolution from a Gaussian of deviation sqrt(2 / N), N its inputs (section 3).

    Without batch norm it is what keeps twenty layers of ReLUs alive.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def unet(
    num_classes: int = len(VOC_CLASSES),
    in_channels: int = 3,
    width: int = 64,
    padding: Padding = "same",
    batch_norm: bool = True,
) -> UNet:
    """The classic U-Net: (N, in_channels, H, W) -> (N, num_classes, H, W), or the middle of it if valid.

    The paper's own is ``unet(2, in_channels=1, padding="valid", batch_norm=False)``. ``width`` is the number of maps of
    the first step, 64 in the paper; cost and parameters go with its square.
    """
    path = ContractingPath(in_channels, width, padding, batch_norm)
    widths = path.out_channels[-2::-1]
    network = UNet(path, UNetDecoder(path.out_channels, widths, num_classes, padding, batch_norm))
    he_initialise(network)
    return network


def unet_mobilenetv2(num_classes: int = len(VOC_CLASSES)) -> SupervisedUNet:
    """U-Net whose contracting path is MobileNet v2 at output stride 32; any input size. Logits come at stride 2.

    The head of DeepLab on MobileNet v2, a 1x1 convolution beside image pooling, stands where the path turns, and its
    scores say what is there. The path up, with skips at strides 16, 8, 4 and 2, corrects them.
    """
    backbone = MobileNetV2(output_stride=32)
    decoder = UNetDecoder(
        backbone.out_channels,
        (128, 64, 32, 16),
        num_classes,
        norm_skips=True,
        side_outputs=True,
        bottom=ASPP(backbone.out_channels[-1], HEAD_WIDTH, (), dropout=0.1),
        bottom_channels=HEAD_WIDTH,
        align_corners=backbone.align_corners,
        coarse_scores=True,
    )
    return SupervisedUNet(backbone, decoder)


def unet_resnet18(num_classes: int = len(VOC_CLASSES)) -> SegmentationNetwork:
    """U-Net whose contracting path is ResNet-18; any input size. Each step up is as wide as its skip, as in the paper.

    Logits come at stride 2, where the finest features are.
    """
    backbone = ResNet18(output_stride=32)
    widths = backbone.out_channels[-2::-1]
    return SegmentationNetwork(
        backbone, UNetDecoder(backbone.out_channels, widths, num_classes, align_corners=backbone.align_corners)
    )
