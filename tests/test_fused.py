import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import segmodels
from segmodels.fused import DIRECT_RATES, FusedBottleneck, FusedConv2d, fuse_activations
from segmodels.precision import fold_batch_norms, round_kernels

from .helpers import randomise_norms

WIDE, FAR = DIRECT_RATES[-1][0], DIRECT_RATES[-1][1] + 1
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
