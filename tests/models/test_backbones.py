"""The feature extractors against torchvision, timm, their papers' tables and each other."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import mobilenet_v2, resnet18, vgg16

from segmodels.models import registry
from segmodels.models.backbones import VGG16, MobileNetV2, ResNet18, Xception65, XceptionBlock, convolutions
from segmodels.models.layers import ConvBNReLU
from segmodels.models.pretrained import load_mobilenet

from ..helpers import parameters, randomise_norms

DILATING = (MobileNetV2, ResNet18, Xception65)
BACKBONES = (*DILATING, VGG16)

Dilating = MobileNetV2 | ResNet18 | Xception65


def assert_same_features(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert [x.shape for x in ours] == [x.shape for x in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        # Equal up to rounding in units of the features' own size.
        torch.testing.assert_close(mine / other.std(), other / other.std(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("size", [(224, 224), (33, 65), (1, 1), (97, 50)])
def test_any_size_gives_maps_that_round_up(backbone: Callable[[], Any], size: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = backbone().eval()
        features = network(torch.empty(1, 3, *size))
    expected = [
        (1, channels, math.ceil(size[0] / stride), math.ceil(size[1] / stride))
        for channels, stride in zip(network.out_channels, (2, 4, 8, 16, 32), strict=True)
    ]
    assert [tuple(x.shape) for x in features] == expected
    assert network.output_stride == 32


@pytest.mark.parametrize("backbone", DILATING)
@pytest.mark.parametrize("output_stride", [16, 8])
def test_dilation_computes_the_same_cells_and_those_between(
    backbone: Callable[[], Dilating], output_stride: int
) -> None:
    """What the strides would have kept is there, to the bit but for rounding: the rule of section 3.2 by brute force."""
    torch.manual_seed(0)
    network = backbone().eval()
    x = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        sparse = network(x)
        network.set_output_stride(output_stride)
        dense = network(x)
    assert network.output_stride == output_stride
    for stride, kept, whole in zip((2, 4, 8, 16, 32), sparse, dense, strict=True):
        step = max(stride // output_stride, 1)
        assert whole.shape[-2:] == (math.ceil(65 / (stride / step)), math.ceil(97 / (stride / step)))
        sampled = whole[..., ::step, ::step]
        torch.testing.assert_close(sampled / kept.std(), kept / kept.std(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("backbone", [MobileNetV2, ResNet18])
def test_output_stride_can_be_changed_back_and_leaves_the_weights(backbone: Callable[[], Dilating]) -> None:
    torch.manual_seed(0)
    network = backbone().eval()
    x = torch.randn(1, 3, 40, 40)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = network(x)[-1]
    for output_stride in (8, 16, 32):
        network.set_output_stride(output_stride)
    assert torch.equal(network(x)[-1], first)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("backbone", DILATING)
@pytest.mark.parametrize("output_stride", [4, 12, 64, 0, -8])
def test_other_output_strides_are_refused(backbone: Callable[[int], Dilating], output_stride: int) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match="8, 16 or 32"):
        backbone(output_stride)


def test_vgg16_has_one_output_stride() -> None:
    with torch.device("meta"):
        network = VGG16()
    network.set_output_stride(32)
    with pytest.raises(ValueError, match="32"):
        network.set_output_stride(16)


def test_vgg16_is_torchvisions() -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        theirs = vgg16(init_weights=False).features
    ours = VGG16().eval()
    theirs.load_state_dict(ours.features.state_dict(), assign=True)
    x = torch.randn(1, 3, 64, 96)
    pools = (5, 10, 17, 24, 31)  # how many of torchvision's layers each of the five poolings closes
    with torch.inference_mode():
        assert_same_features(ours(x), [theirs[:end](x) for end in pools])


def test_vgg16_has_the_papers_thirteen_convolutions() -> None:
    with torch.device("meta"):
        network = VGG16()
    pairs = [
        (3, 64),
        (64, 64),
        (64, 128),
        (128, 128),
        (128, 256),
        (256, 256),
        (256, 256),
        (256, 512),
        *[(512, 512)] * 5,
    ]
    assert len(pairs) == 13
    assert parameters(network) == sum(9 * i * o + o for i, o in pairs)


def test_resnet18_is_torchvisions() -> None:
    torch.manual_seed(0)
    theirs = resnet18().eval()
    randomise_norms(theirs)
    ours = ResNet18().eval()
    ours.load_state_dict({name: tensor for name, tensor in theirs.state_dict().items() if not name.startswith("fc.")})
    x = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        stem = theirs.relu(theirs.bn1(theirs.conv1(x)))
        expected = [stem]
        y = theirs.maxpool(stem)
        for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            y = stage(y)
            expected.append(y)
        assert_same_features(ours(x), expected)


def test_xception65_has_the_parameters_of_figure_4() -> None:
    with torch.device("meta"):
        network = Xception65()

    def conv(kernel: int, above: int, below: int) -> int:
        return kernel**2 * above * below + 2 * below  # with its batch norm

    def separable(above: int, below: int) -> int:
        return 9 * above + 2 * above + conv(1, above, below)

    def block(above: int, *widths: int) -> int:
        shortcut = 0 if above == widths[-1] else conv(1, above, widths[-1])
        return shortcut + sum(separable(i, o) for i, o in zip((above, *widths), widths, strict=False))

    entry = conv(3, 3, 32) + conv(3, 32, 64)
    entry += block(64, 128, 128, 128) + block(128, 256, 256, 256) + block(256, 728, 728, 728)
    middle = 16 * block(728, 728, 728, 728)
    leaving = block(728, 728, 1024, 1024) + separable(1024, 1536) + separable(1536, 1536) + separable(1536, 2048)
    assert parameters(network) == entry + middle + leaving


def test_xception65_has_no_pooling_and_65_layers() -> None:
    with torch.device("meta"):
        network = Xception65()
    modules = list(network.modules())
    assert not any("Pool" in type(module).__name__ for module in modules)
    convs = [module for module in modules if isinstance(module, nn.Conv2d)]
    dense = [conv for conv in convs if conv.groups == 1 and conv.kernel_size == (3, 3)]
    depthwise = [conv for conv in convs if conv.groups > 1]
    assert len(dense) + len(depthwise) == 65
    assert all(conv.groups == conv.in_channels == conv.out_channels for conv in depthwise)


def convs_and_norms(*parts: nn.Module) -> list[nn.Module]:
    return [m for part in parts for m in part.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]


@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_xception65_is_timms(output_stride: int) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    theirs = timm.create_model("xception65", output_stride=output_stride).eval()
    randomise_norms(theirs)
    ours = Xception65(output_stride).eval()
    mine, others = convs_and_norms(ours.stem), convs_and_norms(theirs.stem)
    for block, other in zip(ours.blocks, theirs.blocks[:-1], strict=True):
        assert isinstance(block, XceptionBlock)
        mine += convs_and_norms(block.before_stride, block.strided, block.shortcut)
        others += convs_and_norms(other.stack, *([other.shortcut] if other.shortcut else []))
        # timm, like TensorFlow's code, leaves out the ReLU that the paper has behind a residual block's depthwise part.
        for layer in block.modules():
            if isinstance(layer, ConvBNReLU) and convolutions(layer)[0].groups > 1:
                layer[2] = nn.Identity()
    mine += convs_and_norms(ours.last)
    others += convs_and_norms(theirs.blocks[-1])
    for module, other in zip(mine, others, strict=True):
        module.load_state_dict(other.state_dict())
        if isinstance(module, nn.BatchNorm2d) and isinstance(other, nn.BatchNorm2d):
            module.eps = other.eps
    x = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        assert_same_features(ours(x), theirs.forward_intermediates(x, intermediates_only=True))


@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_mobilenet_v2_is_timms_with_its_norms_folded(output_stride: int) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    theirs = timm.create_model("mobilenetv2_100", features_only=True, output_stride=output_stride).eval()
    randomise_norms(theirs)
    ours = MobileNetV2(output_stride).eval()
    modules = convs_and_norms(theirs)
    pairs = zip(modules[::2], modules[1::2], strict=True)
    mine = [module for module in ours.modules() if isinstance(module, nn.Conv2d)]
    for conv, (other, norm) in zip(mine, pairs, strict=True):
        assert isinstance(other, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        conv.load_state_dict(fuse_conv_bn_eval(other, norm).state_dict())
    x = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        assert_same_features(ours(x), theirs(x))


def test_freezing_keeps_the_weights_up_to_stride_4() -> None:
    network = MobileNetV2()
    network.freeze_fine_stages()
    features = network(torch.randn(1, 3, 32, 32))
    assert [x.requires_grad for x in features] == [False, False, True, True, True]


def test_the_imagenet_start_is_torchvisions_for_pixels_normalised_our_way() -> None:
    torch.manual_seed(0)
    theirs = mobilenet_v2(weights=None).eval()
    randomise_norms(theirs)
    card = registry.card("fcn_mobilenetv2")
    ours = MobileNetV2(32).eval()
    load_mobilenet(ours, theirs.state_dict(), card.mean, card.std)
    pixels = torch.randint(0, 256, (1, 3, 97, 129)).float()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        found = ours((pixels - torch.tensor(card.mean).view(3, 1, 1)) / torch.tensor(card.std).view(3, 1, 1))[0]
        inner = theirs.features[:2]((pixels / 255 - mean) / std)[..., 3:-3, 3:-3]
    torch.testing.assert_close(found[..., 3:-3, 3:-3], inner, rtol=1e-3, atol=1e-3)  # but for what pads the photo
