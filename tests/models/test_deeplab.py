"""DeepLab against torchvision's head and the papers' layer counts."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from segmodels.models.base import SegmentationNetwork
from segmodels.models.deeplab import (
    DeepLabV3Decoder,
    DeepLabV3PlusDecoder,
    deeplabv3_mobilenetv2,
    deeplabv3plus_mobilenetv2,
    deeplabv3plus_xception65,
)
from segmodels.models.heads import ASPP

from ..helpers import parameters, randomise_norms


def aspp_of(network: SegmentationNetwork) -> ASPP:
    aspp = network.decoder.aspp
    assert isinstance(aspp, ASPP)
    return aspp


@pytest.mark.parametrize("rates", [(6, 12, 18), (12, 24, 36), (1, 2, 3)])
def test_the_v3_decoder_is_torchvisions_head(rates: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    theirs = DeepLabHead(40, 21, rates).eval()
    randomise_norms(theirs)
    ours = DeepLabV3Decoder(40, 21, rates, refine=True).eval()
    names = {"0": "aspp", "1": "refine.0", "2": "refine.1", "4": "classifier"}
    state = {}
    for name, tensor in theirs.state_dict().items():
        number, _, rest = name.partition(".")
        state[f"{names[number]}.{rest}"] = tensor
    ours.load_state_dict(state)
    x = torch.randn(1, 40, 17, 23)
    with torch.inference_mode():
        torch.testing.assert_close(ours([x]), theirs(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("builder", [deeplabv3_mobilenetv2, deeplabv3plus_mobilenetv2, deeplabv3plus_xception65])
@pytest.mark.parametrize("size", [(33, 65), (1, 1), (100, 224)])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_any_size_comes_back_at_any_output_stride(
    builder: Callable[[int], SegmentationNetwork], size: tuple[int, int], output_stride: int
) -> None:
    with torch.device("meta"):
        network = builder(5).eval()
        network.backbone.set_output_stride(output_stride)
        assert network(torch.empty(2, 3, *size)).shape == (2, 5, *size)


def test_v3_logits_come_at_the_output_stride_and_v3plus_at_4() -> None:
    with torch.device("meta"):
        x = torch.empty(1, 3, 129, 65)
        for network, shape in (
            (deeplabv3_mobilenetv2(5).eval(), (9, 5)),
            (deeplabv3plus_mobilenetv2(5).eval(), (33, 17)),
            (deeplabv3plus_xception65(5).eval(), (33, 17)),
        ):
            assert network.decode(network.encode(x)).shape[-2:] == shape


@pytest.mark.parametrize("builder", [deeplabv3_mobilenetv2, deeplabv3plus_mobilenetv2])
def test_a_rate_changes_the_scores_and_not_the_weights(builder: Callable[[int], SegmentationNetwork]) -> None:
    torch.manual_seed(0)
    network = builder(5).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.inference_mode():
        features = network.encode(torch.randn(1, 3, 97, 129))
        trained = network.decode(features)
        aspp_of(network).set_atrous_rates((1, 2, 3))
        changed = network.decode(features)
        aspp_of(network).set_atrous_rates((6, 12, 18))
        assert torch.equal(network.decode(features), trained)
    assert trained.shape == changed.shape
    assert not torch.allclose(trained, changed, rtol=1e-3)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(("output_stride", "rates", "cells"), [(16, (6, 12, 18), (9, 5)), (8, (12, 24, 36), (17, 9))])
def test_xceptions_rates_cover_the_same_field_at_either_stride(
    output_stride: int, rates: tuple[int, ...], cells: tuple[int, int]
) -> None:
    with torch.device("meta"):
        network = deeplabv3plus_xception65(5, output_stride).eval()
        features = network.encode(torch.empty(1, 3, 129, 65))
    assert aspp_of(network).atrous_rates == rates
    assert features[-1].shape[-2:] == cells


def test_xceptions_only_dense_3x3_convolutions_are_the_stems() -> None:
    with torch.device("meta"):
        network = deeplabv3plus_xception65()
    dense = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1) and module.groups == 1
    ]
    assert len(dense) == 2
    assert all(name.startswith("backbone.stem") for name in dense)


def conv(above: int, below: int) -> int:
    """A 1x1 convolution with its batch norm."""
    return above * below + 2 * below


def separable(above: int, below: int) -> int:
    return 9 * above + 2 * above + conv(above, below)


@pytest.mark.parametrize(("low_level", "deepest", "width"), [(256, 2048, 256), (24, 320, 128)])
def test_the_v3plus_decoder_has_the_parameters_of_figure_2(low_level: int, deepest: int, width: int) -> None:
    with torch.device("meta"):
        decoder = DeepLabV3PlusDecoder(low_level, deepest, 21, (6, 12, 18), width)
    aspp = 2 * conv(deepest, width) + 3 * separable(deepest, width) + conv(5 * width, width)
    refine = separable(width + 48, width) + separable(width, width)
    assert parameters(decoder) == aspp + conv(low_level, 48) + refine + width * 21 + 21


def test_the_low_level_features_have_stride_4() -> None:
    """Moving the photo by four pixels moves the low-level features by one cell (v3+, figure 2)."""
    torch.manual_seed(0)
    network = deeplabv3plus_mobilenetv2(3).eval()
    assert isinstance(network.decoder, DeepLabV3PlusDecoder)
    photo = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        index = network.decoder.LOW_LEVEL_INDEX
        here, there = network.encode(photo)[index], network.encode(photo.roll((4, 8), (2, 3)))[index]
    torch.testing.assert_close(there[..., 9:-8, 10:-8], here[..., 8:-9, 8:-10], atol=1e-5, rtol=0)
