"""Fully convolutional networks (Long, Shelhamer, Darrell 2015: arXiv 1411.4038).

A classifier's fully connected layers are 1x1 convolutions that happen to look at one position. Slide them over a larger
map and they give a map of scores. FCN upsamples that coarse map and adds the scores of finer features on the way.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from ..labels import VOC_CLASSES
from .backbones import VGG16, EfficientNetLite0
from .layers import BilinearUpsampling, crop_like
from .network import SegmentationNetwork


class FCNDecoder(nn.Module):
    """Scores at strides 8, 16 and 32, fused from coarse to fine (section 4.2, figure 3).

    Takes a list of features whose last three have strides 8, 16, 32 and ``in_channels`` channels. ``head`` is what the
    classifier had between its last features and its scores, as convolutions; it gives ``head_channels`` maps.

    ``stride`` chooses the prediction: 8 (FCN-8s, all skips), 16 (FCN-16s) or 32 (FCN-32s, no skip). The output is
    (N, num_classes, H / stride, W / stride), rounded up; the last, fixed interpolation is the network's.

    Raises:
        ValueError: for another stride.
    """

    STRIDES = (32, 16, 8)

    def __init__(
        self, in_channels: Sequence[int], head: nn.Module, head_channels: int, num_classes: int, stride: int = 8
    ) -> None:
        super().__init__()
        if stride not in self.STRIDES:
            raise ValueError(f"stride must be 8, 16 or 32, got {stride!r}")
        stride8, stride16, _ = in_channels
        self.head = head
        self.score32 = nn.Conv2d(head_channels, num_classes, 1)
        self.score16 = nn.Conv2d(stride16, num_classes, 1) if stride <= 16 else None
        self.score8 = nn.Conv2d(stride8, num_classes, 1) if stride <= 8 else None
        self.upsample32 = BilinearUpsampling(num_classes, 2) if stride <= 16 else None
        self.upsample16 = BilinearUpsampling(num_classes, 2) if stride <= 8 else None
        self.stride = stride

    def all_strides(self, features: list[Tensor]) -> dict[int, Tensor]:
        """The predictions on the way, from coarse to fine, each at its own stride: ``{32: ..., 16: ..., 8: ...}``.

        There are three of an FCN-8s, two of an FCN-16s, one of an FCN-32s.
        """
        stride8, stride16, stride32 = features[-3:]
        logits = self.score32(self.head(stride32))
        predictions = {32: logits}
        if self.score16 is not None and self.upsample32 is not None:
            logits = crop_like(self.upsample32(logits), stride16) + self.score16(stride16)
            predictions[16] = logits
        if self.score8 is not None and self.upsample16 is not None:
            logits = crop_like(self.upsample16(logits), stride8) + self.score8(stride8)
            predictions[8] = logits
        return predictions

    def forward(self, features: list[Tensor]) -> Tensor:
        return self.all_strides(features)[self.stride]


class FCN(SegmentationNetwork):
    """A network with an FCN decoder: all its predictions are trained."""

    decoder: FCNDecoder

    def side_logits(self, features: list[Tensor]) -> list[Tensor]:
        """The predictions from coarse to fine."""
        return list(self.decoder.all_strides(features).values())


def convolutional_head(in_channels: int, out_channels: int) -> nn.Sequential:
    """EfficientNet's last layer before its classifier as a 1x1 convolution: (N, in, H, W) -> (N, out, H, W)."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.ReLU6(inplace=True), nn.Dropout(0.2))


def fcn_lite0(num_classes: int = len(VOC_CLASSES)) -> FCN:
    """FCN on EfficientNet-Lite0: (N, 3, H, W) -> (N, num_classes, H, W)."""
    backbone = EfficientNetLite0(output_stride=32)
    head = convolutional_head(backbone.out_channels[-1], 1280)
    return FCN(backbone, FCNDecoder(backbone.out_channels[-3:], head, 1280, num_classes))


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


def _fcn_vgg16(num_classes: int, stride: int) -> FCN:
    backbone = VGG16()
    return FCN(backbone, FCNDecoder(backbone.out_channels[-3:], vgg16_head(), FC_WIDTH, num_classes, stride))


def fcn32s_vgg16(num_classes: int = len(VOC_CLASSES)) -> FCN:
    """The paper's FCN-32s on VGG16, no skips (section 4.2): (N, 3, H, W) -> (N, num_classes, H, W)."""
    return _fcn_vgg16(num_classes, 32)


def fcn16s_vgg16(num_classes: int = len(VOC_CLASSES)) -> FCN:
    """The paper's FCN-16s on VGG16, with the scores of pool4 (section 4.2)."""
    return _fcn_vgg16(num_classes, 16)


def fcn8s_vgg16(num_classes: int = len(VOC_CLASSES)) -> FCN:
    """The paper's FCN-8s on VGG16, with the scores of pool4 and pool3 (section 4.2)."""
    return _fcn_vgg16(num_classes, 8)
