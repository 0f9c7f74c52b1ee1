"""Fully convolutional networks (Long, Shelhamer, Darrell 2015: arXiv 1411.4038).

A classifier's fully connected layers are 1x1 convolutions that happen to look at one position. Slide them over a larger
map and they give a map of scores. FCN upsamples that coarse map and adds the scores of finer features on the way.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from ..labels import VOC_CLASSES
from .backbones import VGG16, MobileNetV2
from .base import SegmentationNetwork
from .heads import ASPP
from .layers import BilinearUpsampling, ConvBNReLU, upsample_like


class FCNDecoder(nn.Module):
    """Scores at several strides, fused from coarse to fine (section 4.2, figure 3).

    ``strides`` are those of the predictions from coarse to fine, each half of the one before: (32, 16, 8) is FCN-8s,
    (32, 16) FCN-16s, (32,) FCN-32s without a skip. ``in_channels`` are all the backbone's, from fine to coarse, and
    ``levels`` the indices of the features at ``strides``, from coarse to fine. ``head`` is what the classifier had between
    its last features and its scores, as convolutions; it gives ``head_channels`` maps. A skip's scores are a 1x1
    convolution of its feature as in the paper. With ``skip_width`` a 3x3 convolution of so many maps stands before it.

    The output is (N, num_classes, H / stride, W / stride), rounded up, at the last of ``strides``; the fixed
    interpolation to the photo's size is the network's.

    Raises:
        ValueError: if a stride is not half of the one before, or there is not one level a stride.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        head: nn.Module,
        head_channels: int,
        num_classes: int,
        strides: Sequence[int] = (32, 16, 8),
        levels: Sequence[int] = (-1, -2, -3),
        align_corners: bool = False,
        skip_width: int | None = None,
    ) -> None:
        super().__init__()
        if len(levels) != len(strides) or any(coarse != 2 * fine for coarse, fine in pairwise(strides)):
            raise ValueError(f"strides must halve from one to the next, one a level, got {strides} for {levels}")
        self.strides = tuple(strides)
        self.levels = tuple(levels)
        self.head = head
        self.score = nn.Conv2d(head_channels, num_classes, 1)
        self.skip_scores = nn.ModuleDict(
            {
                str(stride): skip_scores(in_channels[level], num_classes, skip_width)
                for stride, level in zip(strides[1:], levels[1:], strict=True)
            }
        )
        self.upsamples = nn.ModuleDict(
            {str(stride): BilinearUpsampling(num_classes, 2, align_corners) for stride in strides[1:]}
        )

    def all_strides(self, features: list[Tensor]) -> dict[int, Tensor]:
        """The predictions on the way, from coarse to fine, each at its own stride: ``{32: ..., 16: ..., 8: ...}``."""
        coarsest, *finer = (features[level] for level in self.levels)
        logits: Tensor = self.score(self.head(coarsest))
        predictions = {self.strides[0]: logits}
        for stride, feature in zip(self.strides[1:], finer, strict=True):
            raised = upsample_like(cast(BilinearUpsampling, self.upsamples[str(stride)]), logits, feature)
            logits = raised + self.skip_scores[str(stride)](feature)
            predictions[stride] = logits
        return predictions

    def forward(self, features: list[Tensor]) -> Tensor:
        return self.all_strides(features)[self.strides[-1]]


def skip_scores(in_channels: int, num_classes: int, width: int | None = None) -> nn.Module:
    """Return the layers that score one skip: (N, in_channels, h, w) -> (N, num_classes, h, w).

    Args:
        in_channels: channels of the feature map.
        num_classes: number of scores.
        width: maps of a 3x3 convolution before the 1x1 one; without it there is only the 1x1 convolution (section 4.2).
    """
    if width is None:
        return nn.Conv2d(in_channels, num_classes, 1)
    return nn.Sequential(*ConvBNReLU(in_channels, width, 3), nn.Conv2d(width, num_classes, 1))


class FCN(SegmentationNetwork):
    """A network with an FCN decoder: all its predictions are trained."""

    decoder: FCNDecoder

    def side_logits(self, features: list[Tensor]) -> list[Tensor]:
        """The predictions from coarse to fine."""
        return list(self.decoder.all_strides(features).values())


def fcn_mobilenetv2(num_classes: int = len(VOC_CLASSES)) -> FCN:
    """FCN-8s on MobileNet v2: (N, 3, H, W) -> (N, num_classes, H, W), with predictions at strides 32, 16 and 8.

    The head is that of DeepLab on MobileNet v2, a 1x1 convolution beside image pooling, here at stride 32. A block of
    MobileNet v2 ends without a ReLU, so a 3x3 convolution with one stands before the scores of each skip.
    """
    backbone = MobileNetV2(output_stride=32)
    head = ASPP(backbone.out_channels[-1], HEAD_WIDTH, (), dropout=0.1)
    decoder = FCNDecoder(
        backbone.out_channels,
        head,
        HEAD_WIDTH,
        num_classes,
        align_corners=backbone.align_corners,
        skip_width=SKIP_WIDTH,
    )
    return FCN(backbone, decoder)


SKIP_WIDTH = 64
"""The maps between a feature of MobileNet v2 and the scores of its skip."""

HEAD_WIDTH = 256
"""The maps of the head on MobileNet v2 (section 6.3 of its paper: those of DeepLab v3)."""

FC_WIDTH = 4096
"""The maps of VGG16's two hidden fully connected layers, fc6 and fc7."""

FC6_KERNEL = 7
"""VGG16's fc6 reads the whole 7x7 map that a 224x224 photo leaves at stride 32."""


def vgg16_head(padding: int = FC6_KERNEL // 2) -> nn.Sequential:
    """VGG16's fc6 and fc7 as convolutions (section 3.1): (N, 512, h, w) -> (N, 4096, h, w).

    The paper's code pads the photo by 100 pixels so that the 7x7 kernel fits, and crops the scores afterwards. Padding
    the map by 3 instead gives a position to every cell, at any size of photo, with nothing left to crop. With
    ``padding=0`` the map shrinks by 6, and a photo of 224x224 leaves one position: the classifier's.

    Module numbers are those of torchvision's VGG16 classifier.
    """
    return nn.Sequential(
        nn.Conv2d(VGG16.out_channels[-1], FC_WIDTH, FC6_KERNEL, padding=padding),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Conv2d(FC_WIDTH, FC_WIDTH, 1),
        nn.ReLU(inplace=True),
        nn.Dropout(),
    )


def classifier_as_convolutions(classifier: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of VGG16's fully connected layers as those of convolutions (section 3.1, figure 2).

    ``classifier`` is the state dict of torchvision's ``vgg16().classifier``. The first matrix, (4096, 512 * 7 * 7),
    becomes a (4096, 512, 7, 7) kernel, the others, (out, in), become (out, in, 1, 1). Names and biases stay, and so
    does every number: it is the same function, which can now slide.

    Raises:
        ValueError: if the first matrix does not read 7x7 maps.
    """
    first = classifier["0.weight"]
    if first.shape[1] % FC6_KERNEL**2:
        raise ValueError(f"VGG16's first fully connected layer reads 512x7x7 numbers, this one {first.shape[1]}")
    kernels = {name: tensor[..., None, None] if tensor.ndim == 2 else tensor for name, tensor in classifier.items()}
    kernels["0.weight"] = first.reshape(len(first), -1, FC6_KERNEL, FC6_KERNEL)
    return kernels


def load_vgg16(network: FCN, state: Mapping[str, Tensor]) -> None:
    """Start an FCN on VGG16 from ``state``, the weights of torchvision's ``vgg16``, its 1000 scores left out.

    Raises:
        KeyError, ValueError, RuntimeError: if ``state`` is another network's.
    """
    parts: dict[str, dict[str, Tensor]] = {"features": {}, "classifier": {}}
    for name, tensor in state.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    backbone = network.backbone
    assert isinstance(backbone, VGG16)
    backbone.features.load_state_dict(parts["features"])
    kernels = classifier_as_convolutions(parts["classifier"])
    head = network.decoder.head
    head.load_state_dict({name: kernels[name] for name in head.state_dict()})


def _fcn_vgg16(num_classes: int, *strides: int) -> FCN:
    backbone = VGG16()
    levels = range(-1, -1 - len(strides), -1)
    return FCN(backbone, FCNDecoder(backbone.out_channels, vgg16_head(), FC_WIDTH, num_classes, strides, levels))


def fcn32s_vgg16(num_classes: int = len(VOC_CLASSES)) -> FCN:
    """The paper's FCN-32s on VGG16, no skips (section 4.2): (N, 3, H, W) -> (N, num_classes, H, W)."""
    return _fcn_vgg16(num_classes, 32)


def fcn16s_vgg16(num_classes: int = len(VOC_CLASSES)) -> FCN:
    """The paper's FCN-16s on VGG16, with the scores of pool4 (section 4.2)."""
    return _fcn_vgg16(num_classes, 32, 16)


def fcn8s_vgg16(num_classes: int = len(VOC_CLASSES)) -> FCN:
    """The paper's FCN-8s on VGG16, with the scores of pool4 and pool3 (section 4.2)."""
    return _fcn_vgg16(num_classes, 32, 16, 8)
