"""Costs against torch's own counter, torchvision's published figures and sums by hand."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import ResNet18_Weights, VGG16_Weights, WeightsEnum, resnet18, vgg16
from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights, deeplabv3_resnet50

from segmodels.insight.cost import convolution_multiplications, count, separable_multiplications
from segmodels.insight.facts import network_cost
from segmodels.models import registry
from segmodels.models.deeplab import deeplabv3_mobilenetv2, deeplabv3plus_mobilenetv2
from segmodels.models.unet import unet

from ..helpers import parameters, parameters_used

COMPACT = registry.compact_models()
NETWORKS = [*COMPACT, *(pytest.param(name, marks=pytest.mark.slow) for name in registry.CARDS if name not in COMPACT)]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(97, 130), pytest.param((375, 500), marks=pytest.mark.slow)])
def test_macs_agree_with_torchs_flop_counter(name: str, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = registry.build(name).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, *size))
    cost = count(network, *size)
    assert 2 * cost.macs == pytest.approx(counter.get_total_flops(), rel=0.01)


@pytest.mark.parametrize(
    ("name", "size"),
    [*((name, (385, 513)) for name in registry.compact_models()), ("unet", (384, 512)), ("fcn_resnet50", (520, 693))],
)
def test_what_is_listed_is_counted_at_the_size_at_which_a_4_to_3_photo_is_seen(
    name: str, size: tuple[int, int]
) -> None:
    with torch.device("meta"):
        network = registry.build(name).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, *size))
    assert 2 * network_cost(name).macs == pytest.approx(counter.get_total_flops(), rel=0.001)


def test_what_was_trained_at_another_stride_is_counted_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = replace(registry.card("deeplabv3_mobilenetv2"), name="trained_at_8", atrous_rate=12, output_stride=8)
    monkeypatch.setattr(registry, "CARDS", {**registry.CARDS, fine.name: fine})
    with torch.device("meta"):
        network = deeplabv3_mobilenetv2().eval()
        network.backbone.set_output_stride(8)
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, 385, 513))
    assert 2 * network_cost(fine.name).macs == pytest.approx(counter.get_total_flops(), rel=0.001)


@pytest.mark.parametrize("name", registry.CARDS)
def test_parameters_are_those_of_the_layers(name: str) -> None:
    with torch.device("meta"):
        network = registry.build(name)
    cost = count(network, 64, 64)
    assert cost.parameters == parameters(network)
    assert sum(layer.parameters for layer in cost.layers) == parameters_used(network)
    assert sum(layer.macs for layer in cost.layers) == cost.macs


def torchvisions_deeplab() -> nn.Module:
    network: nn.Module = deeplabv3_resnet50(weights_backbone=None, aux_loss=True)
    return network


@pytest.mark.parametrize(
    ("builder", "published", "side"),
    [
        (resnet18, ResNet18_Weights.IMAGENET1K_V1, 224),
        (vgg16, VGG16_Weights.IMAGENET1K_V1, 224),
        (torchvisions_deeplab, DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1, 520),
    ],
)
def test_torchvisions_published_figures_come_out(
    builder: Callable[[], nn.Module], published: WeightsEnum, side: int
) -> None:
    with torch.device("meta"):
        network = builder()
    cost = count(network, side, side)
    assert cost.parameters == published.meta["num_params"]
    assert cost.macs / 1e9 == pytest.approx(published.meta["_ops"], rel=0.01)


def test_the_articles_example_of_separable_convolution() -> None:
    """12x12x3 -> 8x8x256 with 5x5 kernels."""
    plain = count(nn.Conv2d(3, 256, 5), 12, 12)
    separable = count(nn.Sequential(nn.Conv2d(3, 3, 5, groups=3), nn.Conv2d(3, 256, 1)), 12, 12)
    assert plain.layers[-1].shape == separable.layers[-1].shape == (256, 8, 8)
    assert plain.macs == convolution_multiplications(8, 8, 3, 256, 5) == 1_228_800
    assert separable.macs == separable_multiplications(8, 8, 3, 256, 5) == 53_952


@pytest.mark.parametrize("kernel", [1, 3])
def test_closed_forms_agree_with_the_counter_at_any_shape(kernel: int) -> None:
    depthwise = nn.Conv2d(8, 8, kernel, padding=kernel // 2, groups=8)
    assert count(nn.Conv2d(8, 20, kernel, padding=kernel // 2), 9, 14, 8).macs == convolution_multiplications(
        9, 14, 8, 20, kernel
    )
    assert count(nn.Sequential(depthwise, nn.Conv2d(8, 20, 1)), 9, 14, 8).macs == separable_multiplications(
        9, 14, 8, 20, kernel
    )


def test_layers_tell_what_they_are() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=6, dilation=6, groups=8),
        nn.Identity(),
        nn.ConvTranspose2d(8, 5, 4, stride=2, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 7),
    )
    rows = [
        ("0", "3x3 convolution, stride 2", (8, 16, 20), 3 * 8 * 9 + 8, 16 * 20 * 3 * 8 * 9),
        ("1", "batch norm", (8, 16, 20), 16, 0),
        ("2", "ReLU", (8, 16, 20), 0, 0),
        ("3", "2x2 max pooling, stride 2", (8, 8, 10), 0, 0),
        ("4", "3x3 depthwise convolution, rate 6", (8, 8, 10), 8 * 9 + 8, 8 * 10 * 8 * 9),
        ("6", "4x4 transposed convolution, stride 2", (5, 16, 20), 8 * 5 * 16 + 5, 8 * 10 * 8 * 5 * 16),
        ("7", "image pooling", (5, 1, 1), 0, 0),
        ("8", "Flatten", (5,), 0, 0),
        ("9", "fully connected", (7,), 5 * 7 + 7, 5 * 7),
    ]
    layers = count(network, 32, 40).layers
    assert [(x.name, x.kind, x.shape, x.parameters, x.macs) for x in layers] == rows


def test_a_chosen_output_stride_and_atrous_rate_are_counted() -> None:
    with torch.device("meta"):
        network = deeplabv3plus_mobilenetv2(21)
    sparse = count(network, 128, 128)
    network.backbone.set_output_stride(8)
    dense = count(network, 128, 128)
    assert dense.macs > sparse.macs
    assert dense.parameters == sparse.parameters
    kinds = [layer.kind for layer in dense.layers if layer.name.startswith("decoder.aspp")]
    assert [kind for kind in kinds if "rate" in kind] == [f"3x3 convolution, rate {r}" for r in (6, 12, 18)]


def test_counting_leaves_the_network_alone() -> None:
    torch.manual_seed(0)
    network = unet(3, width=4)
    network.decoder.eval()
    tensors = {name: (tensor, tensor.clone()) for name, tensor in network.state_dict(keep_vars=True).items()}
    modes = [module.training for module in network.modules()]
    count(network, 64, 48)
    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_hooks for module in network.modules())
    after = network.state_dict(keep_vars=True)
    assert after.keys() == tensors.keys()
    for name, (tensor, value) in tensors.items():
        assert after[name] is tensor
        assert torch.equal(tensor, value)


def test_a_network_in_half_precision_and_one_in_use_can_be_counted() -> None:
    network = deeplabv3_mobilenetv2(5)
    expected = count(network, 64, 64)
    network = network.bfloat16()
    with torch.inference_mode():
        assert count(network, 64, 64) == expected
    results = []
    thread = threading.Thread(target=lambda: results.append(count(network, 64, 64)))
    thread.start()
    thread.join()
    assert results == [expected]
