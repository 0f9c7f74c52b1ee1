import copy
import gc
import os
import pickle
import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import segmodels
from segmodels import Segmenter
from segmodels.kernels.fused import (
    WIDE,
    FusedBottleneck,
    FusedConv2d,
    ProductCache,
    caching_products,
    can_fuse,
    fuse_activations,
)
from segmodels.kernels.precision import fold_batch_norms, round_kernels
from segmodels.models import registry

from ..helpers import randomise_norms

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
    if not can_fuse(dtype):
        pytest.skip(f"this processor has no convolutions with an activation inside in {dtype}: torch's own are used")
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


def wide() -> FusedConv2d:
    """One that goes tap by tap in bfloat16."""
    torch.manual_seed(0)
    conv = nn.Conv2d(WIDE, 6, 3, padding=FAR, dilation=FAR).requires_grad_(False)
    return FusedConv2d(conv, nn.ReLU()).bfloat16()


def some_map(seed: int) -> Tensor:
    numbers = torch.Generator().manual_seed(seed)
    return channels_last(torch.randn(1, WIDE, 17, 13, generator=numbers), torch.bfloat16)


def of_torch(fused: FusedConv2d, x: Tensor) -> Tensor:
    """The truth in float64, from the weights as they are in the state dict."""
    state = {name: tensor.double() for name, tensor in fused.state_dict().items()}
    rate = fused.dilation[0]
    return nn.functional.conv2d(x.double(), state["weight"], state["bias"], padding=rate, dilation=rate).relu()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_changed_bias_changes_the_answer(dtype: torch.dtype) -> None:
    fused, x = wide().to(dtype), some_map(0).to(dtype)
    assert set(fused.state_dict()) == {"weight", "bias"}
    with torch.inference_mode():
        before = fused(x)
    fused.bias.data.add_(300)  # type: ignore[union-attr]
    with torch.inference_mode():
        assert error(fused(x), of_torch(fused, x)) < 1e-2
        assert error(fused(x), before.double() + 300) < 0.5
    other = FusedConv2d(nn.Conv2d(WIDE, 6, 3, padding=FAR, dilation=FAR), nn.ReLU()).to(dtype)
    other.load_state_dict(fused.state_dict())
    with torch.inference_mode():
        assert torch.equal(other(x), fused(x))


def test_the_bias_keeps_its_numbers_in_bfloat16() -> None:
    conv = nn.Conv2d(8, 8, 3)
    exact = conv.bias.detach().clone()  # type: ignore[union-attr]
    fused = FusedConv2d(conv).bfloat16()
    assert torch.equal(fused.bias, exact)  # type: ignore[arg-type]
    assert fused.weight.dtype == torch.bfloat16


def test_a_used_layer_can_be_copied_and_saved(tmp_path: Path) -> None:
    fused, x = wide(), some_map(0)
    products = ProductCache()
    with torch.inference_mode(), caching_products(products):
        expected = fused(x)
        torch.save(fused, tmp_path / "layer.pt")
        for other in (copy.deepcopy(fused), torch.load(tmp_path / "layer.pt", weights_only=False)):
            assert torch.equal(other(x), expected)
    assert products.nbytes > 0
    assert copy.deepcopy(products).nbytes == 0
    assert pickle.loads(pickle.dumps(products)).nbytes == 0


def test_threads_with_maps_of_their_own_do_not_mix_what_is_remembered() -> None:
    """Without taking turns: each has the products of its own photo."""
    fused = wide()
    maps = [some_map(seed) for seed in range(4)]
    expected = [of_torch(fused, x) for x in maps]

    def visit(visitor: int) -> float:
        products = ProductCache()
        with torch.inference_mode(), caching_products(products):
            return max(error(fused(maps[visitor]), expected[visitor]) for _ in range(30))

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(visit, range(4))) < 1e-2


def test_what_is_remembered_of_a_map_answers_for_no_other_and_goes_with_the_layer() -> None:
    fused, products = wide(), ProductCache()
    with torch.inference_mode(), caching_products(products):
        for seed in (0, 1, 0):
            x = some_map(seed)
            assert error(fused(x), of_torch(fused, x)) < 1e-2
    assert products.nbytes == 9 * 17 * 13 * 6 * 2
    del fused
    gc.collect()
    assert products.nbytes == 0


@pytest.fixture
def probed_anew() -> Iterator[None]:
    can_fuse.cache_clear()
    yield
    can_fuse.cache_clear()


def renamed(*arguments: Any) -> Tensor:
    raise AttributeError("no such operator")


def of_other_meaning(x: Tensor, *arguments: Any) -> Tensor:
    return nn.functional.conv2d(x, arguments[0], padding=1)  # neither bias nor activation


@pytest.mark.usefixtures("probed_anew")
@pytest.mark.parametrize("operator", ["_convolution_pointwise", "_convolution_pointwise_"])
@pytest.mark.parametrize("instead", [renamed, of_other_meaning])
def test_where_an_operator_was_changed_torchs_own_is_used(
    operator: str, instead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, operator, instead)
    assert not can_fuse(torch.float32)
    card = registry.card(registry.DEFAULT_MODEL)
    segmenter = Segmenter(registry.build(card.name), card, "cpu", "float32")
    assert segmenter(np.zeros((64, 64, 3), dtype=np.uint8)).shares


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="AVX is x86's")
def test_a_processor_without_avx512_segments_in_either_precision() -> None:
    """oneDNN is told so by an environment variable that it reads once: in a process of its own."""
    script = """
import numpy as np, torch, segmodels
from segmodels.models import registry
photo = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
assert segmodels.load(registry.DEFAULT_MODEL, device="cpu").precision == "float32"
labels = [segmodels.load(registry.DEFAULT_MODEL, device="cpu", precision=precision)(photo, rate).labels
          for precision in ("float32", "bfloat16") for rate in (6, 2)]
print((labels[0] == labels[2]).mean(), (labels[1] == labels[3]).mean())
"""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert min(map(float, done.stdout.split())) > 0.9


def test_a_fused_convolution_can_be_differentiated() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 4, 3, padding=1)
    x = torch.randn(1, 4, 9, 9, requires_grad=True)
    (expected,) = torch.autograd.grad(conv(x).relu().square().sum(), x)
    (answer,) = torch.autograd.grad(FusedConv2d(conv, nn.ReLU())(x).square().sum(), x)
    torch.testing.assert_close(answer, expected)


@pytest.mark.parametrize("name", ["deeplabv3plus_mobilenetv2", "deeplabv3_mobilenet_v3_large", "fcn_resnet50"])
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
