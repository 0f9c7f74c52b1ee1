import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import segmodels
from segmodels.speed.fused import WIDE, FusedBottleneck, FusedConv2d, fuse_activations
from segmodels.speed.precision import fold_batch_norms, round_kernels

from .helpers import randomise_norms

FAR = 11
ACTIVATIONS: list[nn.Module | None] = [None, nn.ReLU(), nn.ReLU6(), nn.Hardswish()]


def channels_last(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).to(memory_format=torch.channels_last)


def error(answer: Tensor, expected: Tensor) -> float:
    return float((answer - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda activation: type(activation).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "shape",
    [
        {"in_channels": 8, "out_channels": 12, "kernel_size": 1},
        {"in_channels": 8, "out_channels": 12, "kernel_size": 1, "stride": 2},
        {"in_channels": 8, "out_channels": 12, "kernel_size": 1, "bias": False},
        {"in_channels": 1024, "out_channels": 456, "kernel_size": 3, "padding": 1},
        {"in_channels": 8, "out_channels": 8, "kernel_size": 5, "padding": 8, "dilation": 4, "groups": 8},
        {"in_channels": 16, "out_channels": 16, "kernel_size": 3, "padding": 9, "dilation": 9, "groups": 16},
        {"in_channels": 8, "out_channels": 12, "kernel_size": 3, "stride": 2, "padding": 1},
        {"in_channels": 8, "out_channels": 8, "kernel_size": 5, "padding": 4, "dilation": 2, "groups": 8},
        {
            "in_channels": WIDE,
            "out_channels": 6,
            "kernel_size": 3,
            "padding": FAR,
            "dilation": FAR,
        },
        {
            "in_channels": WIDE,
            "out_channels": 6,
            "kernel_size": 3,
            "padding": 40,
            "dilation": 40,
        },  # outer taps off the map
        {"in_channels": WIDE, "out_channels": 6, "kernel_size": 3, "padding": 6, "dilation": FAR},  # the map shrinks
    ],
)
def test_a_fused_convolution_is_a_convolution_and_its_activation(
    shape: dict[str, Any], dtype: torch.dtype, activation: nn.Module | None
) -> None:
    """The truth is torch's own convolution in float64, of the weights and the input as they were rounded."""
    torch.manual_seed(0)
    conv = nn.Conv2d(**shape).requires_grad_(False)
    conv.weight.copy_(conv.weight.to(dtype))
    x = channels_last(torch.randn(2, shape["in_channels"], 17, 13), dtype)
    expected = copy.deepcopy(conv).double()(x.double())
    if activation is not None:
        expected = activation(expected)
    with torch.inference_mode():
        answer = FusedConv2d(conv, activation).to(dtype)(x)
    assert answer.dtype == dtype
    assert error(answer, expected) < (1e-5 if dtype == torch.float32 else 1e-2)


def test_global_pooling_is_the_mean_of_each_map() -> None:
    torch.manual_seed(0)
    x = channels_last(torch.rand(2, 24, 65, 87), torch.bfloat16)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Identity())
    fuse_activations(network)
    assert not isinstance(network[0], nn.AdaptiveAvgPool2d)
    assert error(network(x), x.double().mean((2, 3), keepdim=True)) < 4e-3  # half a step of bfloat16


def test_a_bottleneck_writes_over_nothing_that_is_a_feature() -> None:
    torch.manual_seed(0)
    network = segmodels.build("fcn_resnet50").eval().requires_grad_(False)
    fold_batch_norms(network)
    x = torch.randn(1, 3, 64, 64).to(memory_format=torch.channels_last)
    expected = network.encode(x)
    fuse_activations(network)
    with torch.inference_mode():
        for answer, feature in zip(network.encode(x), expected, strict=True):
            assert error(answer, feature) < 1e-4


def test_a_wide_atrous_convolution_is_right_at_every_rate_on_maps_that_come_and_go() -> None:
    """What it remembers of one map must never answer for another, nor at another rate than the one asked."""
    torch.manual_seed(0)
    fused = FusedConv2d(nn.Conv2d(WIDE, 6, 3, bias=False).requires_grad_(False)).bfloat16()
    maps = [channels_last(torch.randn(1, WIDE, 17, 13), torch.bfloat16) for _ in range(2)]
    for index, rate in ((0, 2), (0, 5), (1, 5), (0, 5), (0, 20), (1, 2), (0, 2)):
        fused.dilation = fused.padding = (rate, rate)
        expected = nn.functional.conv2d(maps[index].double(), fused.weight.double(), padding=rate, dilation=rate)
        with torch.inference_mode():
            assert error(fused(maps[index]), expected) < 1e-2


def test_a_fused_convolution_can_be_differentiated() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 4, 3, padding=1)
    x = torch.randn(1, 4, 9, 9, requires_grad=True)
    (expected,) = torch.autograd.grad(conv(x).relu().square().sum(), x)
    (answer,) = torch.autograd.grad(FusedConv2d(conv, nn.ReLU())(x).square().sum(), x)
    torch.testing.assert_close(answer, expected)


@pytest.mark.parametrize("name", ["deeplabv3plus_lite0", "deeplabv3_mobilenet_v3_large", "fcn_resnet50"])
def test_fusing_leaves_no_activation_behind_a_convolution_and_the_same_answer(name: str) -> None:
    torch.manual_seed(0)
    network = segmodels.build(name).eval().requires_grad_(False)
    randomise_norms(network)
    fold_batch_norms(network)
    fused = copy.deepcopy(network)
    fuse_activations(fused)
    assert any(isinstance(module, FusedConv2d | FusedBottleneck) for module in fused.modules())
    assert not any(type(module) is nn.Conv2d for module in fused.modules())
    x = torch.randn(1, 3, 64, 96).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected, answer = network(x), fused(x)
    assert error(answer, expected) < 1e-4
    fused.backbone.set_output_stride(32)
    network.backbone.set_output_stride(32)
    with torch.inference_mode():
        assert error(fused(x), network(x)) < 1e-4


def test_rounded_kernels_are_bfloat16_and_sum_to_what_they_did() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 40, 5).requires_grad_(False)
    before = conv.weight.clone()
    round_kernels(conv)
    assert torch.equal(conv.weight, conv.weight.bfloat16().float())
    assert (conv.weight - before).abs().max() < before.abs().max() / 64  # no tap is moved by more than a few steps
    left = (conv.weight - before).sum((2, 3)).abs()
    assert left.mean() < (before.bfloat16().float() - before).sum((2, 3)).abs().mean() / 10
