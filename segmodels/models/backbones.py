"""Feature extractors with a choice of output stride.

A backbone returns feature maps from fine to coarse, lists their ``out_channels``, and can change its ``output_stride``
after it was built: strides become dilations, and the weights stay (DeepLab v3, section 3.2).
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from torch import Tensor, nn

from .layers import ConvBNReLU, DepthwiseSeparableConv


class Backbone(Protocol):
    """What a decoder may ask of a feature extractor.

    Attributes:
        out_channels: the channels of the feature maps, from fine to coarse.
        output_stride: the stride of the last map, in pixels.
        align_corners: where the cells of the maps lie, see ``segmodels.models.layers``.
    """

    out_channels: tuple[int, ...]
    output_stride: int
    align_corners: bool
    """Where the cells of its maps lie."""

    def set_output_stride(self, output_stride: int) -> None: ...

    def __call__(self, x: Tensor) -> list[Tensor]: ...


Step = tuple[int, Sequence[nn.Conv2d]]
"""The stride a step was designed with, and the convolutions that take it side by side."""


def strides_to_dilations(steps: Iterable[Step], reached: int, output_stride: int) -> None:
    """Replace strides beyond ``output_stride`` by dilations (DeepLab v3, section 3.2). The weights stay the same.

    A convolution that loses its stride keeps the dilation of the layers before it; the layers after it see the map as
    if it had been sampled. This is the rule of torchvision's ResNets. The cells that the stride would have kept get the
    values they had.

    Args:
        steps: all later convolutions, in order.
        reached: the stride before them.
        output_stride: 8, 16 or 32.

    Raises:
        ValueError: if ``output_stride`` is not 8, 16 or 32.
    """
    check_output_stride(output_stride)
    dilation = 1
    for nominal_stride, convs in steps:
        fits = reached * nominal_stride <= output_stride
        for conv in convs:
            conv.stride = (nominal_stride, nominal_stride) if fits else (1, 1)
            # A 1x1 has no taps to move, and torch takes ten times as long for one that says it is dilated.
            rate = dilation if conv.kernel_size[0] > 1 else 1
            conv.dilation = (rate, rate)
            padding = rate * (conv.kernel_size[0] // 2)
            conv.padding = (padding, padding)
        if fits:
            reached *= nominal_stride
        else:
            dilation *= nominal_stride


class InvertedResidual(nn.Module):
    """MobileNet v2's block: widen with a 1x1, filter each channel with a k x k, narrow with a 1x1, add the input.

    The batch norms are folded into the convolutions, which is why these have biases.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: width of the depthwise kernel.
        stride: stride of the depthwise convolution.
        expansion: how many times wider the hidden layer is than the input.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand = (
            nn.Sequential(nn.Conv2d(in_channels, hidden, 1), nn.ReLU6(inplace=True)) if expansion > 1 else None
        )
        self.depthwise = nn.Conv2d(hidden, hidden, kernel, stride, padding=kernel // 2, groups=hidden)
        self.activation = nn.ReLU6(inplace=True)
        self.project = nn.Conv2d(hidden, out_channels, 1)
        self.nominal_stride = stride
        self.adds_input = stride == 1 and in_channels == out_channels

    def steps(self) -> list[Step]:
        """Return the strides and convolutions for ``strides_to_dilations``."""
        return [(self.nominal_stride, [self.depthwise])]

    def forward(self, x: Tensor) -> Tensor:
        hidden = x if self.expand is None else self.expand(x)
        out: Tensor = self.project(self.activation(self.depthwise(hidden)))
        return out + x if self.adds_input else out


class MobileNetV2(nn.Module):
    """MobileNet v2 without its classifier (Sandler et al. 2018: arXiv 1801.04381, table 2).

    (N, 3, H, W) -> features at strides 2, 4, 8, 16, 32 with 16, 24, 32, 96, 320 channels; a map at stride s is
    ``ceil(H / s)`` high. With ``output_stride`` 16 or 8 the last stages keep that stride and are dilated instead.

    Batch norms are folded into the convolutions: they would stay frozen in training, so nothing is lost.
    """

    # (expansion, kernel, stride, out_channels, blocks)
    STAGES = (
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 3, 2, 32, 3),
        (6, 3, 2, 64, 4),
        (6, 3, 1, 96, 3),
        (6, 3, 2, 160, 3),
        (6, 3, 1, 320, 1),
    )
    STEM_CHANNELS = 32
    LEVELS = (0, 1, 2, 4, 6)  # the stages after which a feature map is handed out

    out_channels: tuple[int, ...] = (16, 24, 32, 96, 320)
    align_corners: bool = True

    def __init__(self, output_stride: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, self.STEM_CHANNELS, 3, 2, padding=1), nn.ReLU6(inplace=True))
        stages: list[nn.Module] = []
        channels = self.STEM_CHANNELS
        for expansion, kernel, stride, out_channels, blocks in self.STAGES:
            stage = nn.Sequential()
            for index in range(blocks):
                stage.append(InvertedResidual(channels, out_channels, kernel, stride if index == 0 else 1, expansion))
                channels = out_channels
            stages.append(stage)
        self.stages = nn.ModuleList(stages)
        self.set_output_stride(output_stride)

    def set_output_stride(self, output_stride: int) -> None:
        """Turn strides beyond ``output_stride`` into dilations; the weights are untouched.

        Raises:
            ValueError: if ``output_stride`` is none of 8, 16, 32.
        """
        blocks = [module for module in self.modules() if isinstance(module, InvertedResidual)]
        strides_to_dilations((step for block in blocks for step in block.steps()), 2, output_stride)
        self.output_stride = output_stride

    def freeze_fine_stages(self) -> None:
        """Freeze the weights up to stride 4.

        It saves a third of a training step. Edges and textures are learned well enough by the pretraining.
        """
        for module in (self.stem, *self.stages[: self.LEVELS[1] + 1]):
            module.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        x = self.stem(x)
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.LEVELS:
                features.append(x)
        return features


class VGG16(nn.Module):
    """VGG16 without its classifier (Simonyan, Zisserman 2014: arXiv 1409.1556, table 1, column D).

    (N, 3, H, W) -> what its five poolings give, at strides 2, 4, 8, 16, 32 with 64, 128, 256, 512, 512 channels; a map
    at stride s is ``ceil(H / s)`` high. Module names are torchvision's, so that its weights load here; the poolings
    round up instead of down, which makes no difference at multiples of 32.
    """

    STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))

    out_channels: tuple[int, ...] = (64, 128, 256, 512, 512)
    output_stride = 32
    align_corners: bool = False

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for widths in self.STAGES:
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.features = nn.Sequential(*layers)

    def set_output_stride(self, output_stride: int) -> None:
        """Raise ValueError for any stride but 32."""
        check_fixed_stride(output_stride, self.output_stride)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                features.append(x)
        return features


class BasicBlock(nn.Module):
    """ResNet's block of two 3x3 convolutions around which the input is added (section 3.3, figure 3)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = projection(in_channels, out_channels, stride)
        self.nominal_stride = stride

    def steps(self) -> list[Step]:
        """Return the strides and convolutions for ``strides_to_dilations``."""
        return [(self.nominal_stride, [self.conv1, *convolutions(self.downsample)]), (1, [self.conv2])]

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        summed: Tensor = self.relu(out + self.downsample(x))
        return summed


class ResNet18(nn.Module):
    """ResNet-18 without its classifier (He et al. 2015: arXiv 1512.03385, table 1).

    (N, 3, H, W) -> the stem before its pooling and the four stages: strides 2, 4, 8, 16, 32 with 64, 64, 128, 256, 512
    channels; a map at stride s is ``ceil(H / s)`` high. Module names are torchvision's, so that its weights load here.
    """

    out_channels: tuple[int, ...] = (64, 64, 128, 256, 512)
    align_corners: bool = True

    def __init__(self, output_stride: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        self.set_output_stride(output_stride)

    def set_output_stride(self, output_stride: int) -> None:
        """Turn strides beyond ``output_stride`` into dilations; the weights are untouched.

        Raises:
            ValueError: if ``output_stride`` is none of 8, 16, 32.
        """
        blocks = [module for module in self.modules() if isinstance(module, BasicBlock)]
        strides_to_dilations((step for block in blocks for step in block.steps()), 4, output_stride)
        self.output_stride = output_stride

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [self.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(features[0])
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return features


class XceptionBlock(nn.Module):
    """Three separable 3x3 convolutions around which the input is added (DeepLab v3+, section 3.2, figure 4).

    The last one has the stride, in place of Xception's max pooling. As in Xception the sum is of what comes before
    the ReLUs: a ReLU opens the block and none closes it.

    Returns the block's output, and the map before the stride, which is what the v3+ decoder takes (section 4.1).
    """

    def __init__(self, in_channels: int, widths: tuple[int, int, int], stride: int = 1) -> None:
        super().__init__()
        first, second, last = widths
        self.activation = nn.ReLU()  # not in place: the sum needs the input as it came
        self.before_stride = nn.Sequential(
            DepthwiseSeparableConv(in_channels, first), DepthwiseSeparableConv(first, second)
        )
        self.strided = nn.Sequential(
            ConvBNReLU(second, second, 3, stride, groups=second),
            nn.Conv2d(second, last, 1, bias=False),
            nn.BatchNorm2d(last),
        )
        self.shortcut = projection(in_channels, last, stride)
        self.nominal_stride = stride

    def steps(self) -> list[Step]:
        """Return the strides and convolutions for ``strides_to_dilations``."""
        strided, _ = convolutions(self.strided)
        same = [(1, [conv]) for conv in convolutions(self.before_stride)]
        return [*same, (self.nominal_stride, [strided, *convolutions(self.shortcut)])]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.before_stride(self.activation(x))
        return self.strided(fine) + self.shortcut(x), fine


class Xception65(nn.Module):
    """DeepLab v3+'s modified aligned Xception without its classifier (section 3.2, figure 4): 65 convolutions deep.

    (N, 3, H, W) -> the maps before each stride and the last one: strides 2, 4, 8, 16, 32 with 128, 256, 728, 1024, 2048
    channels; a map at stride s is ``ceil(H / s)`` high. With ``output_stride`` 16 or 8 the last blocks keep that stride
    and are dilated instead. Batch norm and ReLU follow every 3x3 depthwise convolution.
    """

    ENTRY = ((128, 128, 128), (256, 256, 256), (728, 728, 728))
    MIDDLE = ((728, 728, 728),) * 16
    EXIT = (728, 1024, 1024)
    LAST = (1536, 1536, 2048)

    out_channels: tuple[int, ...] = (128, 256, 728, 1024, 2048)
    align_corners: bool = True

    def __init__(self, output_stride: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvBNReLU(3, 32, 3, 2), ConvBNReLU(32, 64, 3))
        self.blocks = nn.ModuleList()
        channels = 64
        for widths, stride in (
            *((widths, 2) for widths in self.ENTRY),
            *((widths, 1) for widths in self.MIDDLE),
            (self.EXIT, 2),
        ):
            self.blocks.append(XceptionBlock(channels, widths, stride))
            channels = widths[-1]
        self.last = nn.Sequential()
        for width in self.LAST:
            self.last.append(DepthwiseSeparableConv(channels, width))
            channels = width
        self.set_output_stride(output_stride)

    def set_output_stride(self, output_stride: int) -> None:
        """Turn strides beyond ``output_stride`` into dilations; the weights are untouched.

        Raises:
            ValueError: if ``output_stride`` is none of 8, 16, 32.
        """
        blocks = [module for module in self.modules() if isinstance(module, XceptionBlock)]
        steps = [step for block in blocks for step in block.steps()]
        steps += [(1, [conv]) for conv in convolutions(self.last)]
        strides_to_dilations(steps, 2, output_stride)
        self.output_stride = output_stride

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        x = self.stem(x)
        for block in self.blocks:
            x, fine = block(x)
            if block.nominal_stride != 1:
                features.append(fine)
        return [*features, self.last(x)]


def projection(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return the shortcut of a residual block: the input itself, or a strided 1x1 convolution where the shape changes.

    Args:
        in_channels: channels of the block's input.
        out_channels: channels of the block's output.
        stride: the block's stride.
    """
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    """Return the convolutions inside ``module``, in order."""
    return [conv for conv in module.modules() if isinstance(conv, nn.Conv2d)]


OUTPUT_STRIDES = (8, 16, 32)


def check_output_stride(output_stride: int) -> None:
    """Raise ValueError unless ``output_stride`` is 8, 16 or 32."""
    if output_stride not in OUTPUT_STRIDES:
        raise ValueError(f"output_stride must be 8, 16 or 32, got {output_stride!r}")


def check_fixed_stride(output_stride: int, own: int) -> None:
    """Raise ValueError unless ``output_stride`` is ``own``, for backbones that pool and cannot be dilated."""
    if output_stride != own:
        raise ValueError(f"this backbone pools its way down to output stride {own} and has no other: {output_stride!r}")
