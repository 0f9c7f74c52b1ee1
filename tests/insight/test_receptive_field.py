"""Receptive fields in closed form against gradients, taps against counting."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import segmodels
from segmodels.checkpoints.files import read_state
from segmodels.inference.loading import assemble
from segmodels.insight.cost import count
from segmodels.insight.receptive_field import (
    FieldTracer,
    ReceptiveField,
    effective_receptive_field,
    largest_field,
    map_size,
    reach,
    receptive_field,
    share_of_taps_inside,
    taps,
)
from segmodels.models import registry
from segmodels.models.ablation import disabled_parts, parts
from segmodels.models.backbones import VGG16, MobileNetV2, ResNet18, Xception65
from segmodels.models.base import SegmentationNetwork
from segmodels.models.deeplab import deeplabv3_mobilenetv2, deeplabv3plus_mobilenetv2
from segmodels.models.fcn import fcn_mobilenetv2, vgg16_head
from segmodels.models.layers import BilinearUpsampling
from segmodels.models.unet import ContractingPath, UpBlock, unet, unet_mobilenetv2, unet_resnet18


def linear(module: nn.Module) -> nn.Module:
    """Make every output a sum, with positive weights, of the inputs it can depend on: no gradient hides.

    Double precision, because the corners of a field have tiny shares.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU | nn.ReLU6 | nn.Dropout | nn.BatchNorm2d):
            setattr(module, name, nn.Identity())
        elif isinstance(child, nn.MaxPool2d):
            pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode)
            setattr(module, name, pool)
        else:
            linear(child)
    for parameter in module.parameters(recurse=False):
        nn.init.constant_(parameter, 1 / max(parameter[0].numel(), 1))
    return module.double().eval()


def seen(network: Callable[[Tensor], Tensor], x: Tensor, row: int) -> tuple[int, int]:
    """The first and last input row that the output at ``row`` depends on, by gradient."""
    x = x.clone().requires_grad_()
    out = network(x)
    (gradient,) = torch.autograd.grad(out[0, :, row, out.shape[-1] // 2].sum(), x)
    rows = gradient[0].abs().sum(dim=(0, 2)).nonzero().ravel()
    return int(rows[0]), int(rows[-1])


def strip(height: int, channels: int = 3, width: int = 32) -> Tensor:
    """A tall photo: only the vertical extent is measured."""
    return torch.ones(1, channels, height, width, dtype=torch.double)


CHAINS: list[list[nn.Module]] = [
    [nn.Conv2d(1, 1, 3)],
    [nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.Conv2d(1, 1, 3, padding=1)],
    [nn.Conv2d(1, 2, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1), nn.Conv2d(2, 2, 3, padding=4, dilation=4)],
    [nn.Sequential(nn.Conv2d(1, 1, 5, 3), nn.ReLU()), nn.AvgPool2d(2), nn.Sequential(nn.Conv2d(1, 1, 1))],
    [nn.Conv2d(1, 1, 3, padding=6, dilation=6), nn.Conv2d(1, 1, 3, padding=12, dilation=12)],
    [nn.MaxPool2d(2), nn.MaxPool2d(2), nn.Conv2d(1, 1, 4, padding=1)],
]


@pytest.mark.parametrize("layers", CHAINS)
def test_the_closed_form_of_a_chain_is_what_gradients_show(layers: list[nn.Module]) -> None:
    field = receptive_field(layers)
    network = linear(nn.Sequential(*layers))
    x = strip(120, channels=1)
    rows = network(x).shape[-2]
    for row in (rows // 2, rows // 2 + 1):
        first, last = seen(network, x, row)
        assert (first, last) == (field.first + row * field.jump, field.last + row * field.jump)
        assert field.size == last - first + 1
        assert field.centre + row * field.jump == (first + last) / 2


def test_vgg16_sees_what_the_fcn_paper_says() -> None:
    # The paper's table 1: a receptive field of 404 pixels at stride 32 for FCN-VGG16, whose fc6 is 7x7.
    with torch.device("meta"):
        field = receptive_field([VGG16().features, vgg16_head()])
    assert (field.size, field.jump) == (404, 32)


def test_vgg16_sees_what_gradients_show() -> None:
    features = VGG16().features
    field = receptive_field(features)
    first, last = seen(linear(features), strip(384), row=6)
    assert (first, last) == (field.first + 6 * 32, field.last + 6 * 32)


def test_a_block_with_two_paths_is_no_chain() -> None:
    with pytest.raises(TypeError, match="BasicBlock"):
        receptive_field(ResNet18().layer1)


def traced(network: Callable[[Tensor], Any], x: Tensor) -> ReceptiveField:
    tracer = FieldTracer(x)
    with torch.no_grad(), tracer:
        field = tracer.of(network(x))
    assert field is not None
    return field


def dilated_mobilenet() -> MobileNetV2:
    return MobileNetV2(8)


def dilated_resnet() -> ResNet18:
    return ResNet18(8)


def classic_path() -> nn.Module:
    return ContractingPath(width=2)


@pytest.mark.parametrize(
    ("backbone", "level", "height"),
    [
        (MobileNetV2, 4, 800),
        (dilated_mobilenet, 4, 800),
        (ResNet18, 4, 704),
        (dilated_resnet, 4, 704),
        (Xception65, 2, 256),
        (classic_path, 4, 400),
    ],
)
def test_backbones_see_what_gradients_show(backbone: Callable[[], nn.Module], level: int, height: int) -> None:
    with torch.device("meta"):
        network = backbone()
    network = network.to_empty(device="cpu")
    network = linear(network)
    x = strip(height, width=8)
    field = traced(lambda pixels: network(pixels)[level], x)
    row = network(x)[level].shape[-2] // 2
    assert seen(lambda pixels: network(pixels)[level], x, row) == (
        field.first + row * field.jump,
        field.last + row * field.jump,
    )


@pytest.mark.parametrize(
    ("network", "channels"),
    [
        (nn.ConvTranspose2d(1, 1, 2, stride=2), 1),
        (BilinearUpsampling(1, 2), 1),
        (BilinearUpsampling(1, 8), 1),
        (nn.UpsamplingBilinear2d(scale_factor=4), 1),
        (nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), BilinearUpsampling(1, 4), nn.Conv2d(1, 1, 3, padding=1)), 1),
    ],
)
def test_behind_upsampling_the_field_is_the_mean_over_the_positions(network: nn.Module, channels: int) -> None:
    for module in network.modules():
        if isinstance(module, nn.UpsamplingBilinear2d):
            module.align_corners = False
            module.mode = "bilinear"
    network = linear(network)
    x = strip(48, channels, width=8)
    field = traced(network, x)
    rows = range(32, 32 + 8)  # whole periods, away from the border
    spans = [seen(network, x, row) for row in rows]
    sizes = [last - first + 1 for first, last in spans]
    centres = [(first + last) / 2 - row * field.jump for row, (first, last) in zip(rows, spans, strict=True)]
    assert field.size == sum(sizes) / len(sizes)
    assert field.centre == pytest.approx(sum(centres) / len(centres))


def test_a_skip_and_what_comes_from_below_are_seen_together() -> None:
    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.MaxPool2d(2)
            self.up = UpBlock(1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.up(self.down(x), x)
            return out

    network = linear(Step())
    x = strip(40, channels=1, width=8)
    field = traced(network, x)
    sizes = [last - first + 1 for first, last in (seen(network, x, row) for row in (20, 21))]
    assert field.jump == 1
    # Two 3x3 convolutions see five rows, which touch three pairs of rows: six pixels, from either parity.
    assert sizes == [6, 6]
    assert field.size == 6


def test_cost_lists_the_field_of_every_layer() -> None:
    # By hand: 7x7 at stride 2 sees 7; 3x3 pooling at stride 2 adds 2 * 2; each 3x3 adds twice its jump.
    with torch.device("meta"):
        layers = {layer.name: layer.receptive_field for layer in count(ResNet18(), 65, 97).layers}
    stage1 = 7 + 2 * 2 + 4 * 2 * 4
    stage2 = stage1 + 2 * 4 + 3 * 2 * 8
    stage3 = stage2 + 2 * 8 + 3 * 2 * 16
    stage4 = stage3 + 2 * 16 + 3 * 2 * 32
    assert layers["conv1"] == 7
    assert layers["maxpool"] == 11
    assert [layers[f"layer{n}.1.relu"] for n in (1, 2, 3, 4)] == [stage1, stage2, stage3, stage4]


def test_fields_are_traced_in_inference_mode_too() -> None:
    with torch.device("meta"):
        network = ResNet18().eval()
    outside = traced(lambda pixels: network(pixels)[-1], torch.empty(1, 3, 64, 64, device="meta"))
    with torch.inference_mode():
        inside = traced(lambda pixels: network(pixels)[-1], torch.empty(1, 3, 64, 64, device="meta"))
    assert outside == inside
    assert inside.size == 435


def test_a_fully_connected_layer_sees_all() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 5))
    assert [layer.receptive_field for layer in count(network, 8, 8).layers] == [3, 3, torch.inf]


@pytest.mark.parametrize(
    "builder", [lambda: unet(3, width=2), pytest.param(lambda: fcn_mobilenetv2(2), marks=pytest.mark.slow)]
)
def test_the_largest_field_is_what_gradients_show_at_the_worst_place(
    builder: Callable[[], SegmentationNetwork],
) -> None:
    network = builder().eval()
    disabled = [name for name in parts(network) if name == "image pooling"]
    largest = largest_field(network, disabled)
    linear(network)
    side = 32 * (int(largest) // 32 + 3) + (network.align_corners)
    spans = []
    with disabled_parts(network, disabled):
        for row in range(side // 2 - 16, side // 2 + 17):
            first, last = seen(network, strip(side, width=33), row)
            assert 0 < first < last < side - 1
            spans.append(last - first + 1)
    assert max(spans) == largest
    assert min(spans) < largest


def test_a_network_that_pools_the_whole_photo_has_no_largest_field() -> None:
    assert largest_field(registry.build_meta("deeplabv3_mobilenetv2")) == torch.inf


def test_image_pooling_sees_all() -> None:
    with torch.device("meta"):
        layers = {layer.name: layer.receptive_field for layer in count(deeplabv3_mobilenetv2(3), 65, 97).layers}
    backbone = layers["backbone.stages.6.0.project"]
    for branch, rate in ((1, 6), (2, 12), (3, 18)):
        assert layers[f"decoder.aspp.convs.{branch}.0"] == backbone + 2 * rate * 16
    assert layers["decoder.aspp.convs.4.0"] == layers["decoder.classifier"] == torch.inf


@pytest.mark.parametrize(
    ("size", "output_stride", "percent"),
    [
        ((520, 696), 8, (90, 80, 70, 62, 46)),
        ((520, 696), 16, (80, 62, 46, 33, 15)),
        ((513, 513), 16, (77, 57, 40, 27, 11)),
    ],
)
def test_shares_of_taps_on_the_map(size: tuple[int, int], output_stride: int, percent: Sequence[int]) -> None:
    height, width = (map_size(side, output_stride) for side in size)
    shares = [share_of_taps_inside(height, width, rate) for rate in (6, 12, 18, 24, 36)]
    assert [round(100 * share) for share in shares] == list(percent)


@pytest.mark.parametrize("rate", [1, 3, 6, 11])
def test_shares_and_taps_are_what_a_convolution_reads(rate: int) -> None:
    height, width = 7, 9
    # A convolution of ones over a map of ones counts the taps that land on it.
    ones = torch.ones(1, 1, 3, 3)
    landed = torch.nn.functional.conv2d(torch.ones(1, 1, height, width), ones, padding=rate, dilation=rate)[0, 0]
    assert share_of_taps_inside(height, width, rate) == pytest.approx(landed.mean().item() / 9)
    for row in range(height):
        for column in range(width):
            assert sum(inside for *_, inside in taps(row, column, rate, height, width)) == landed[row, column]


def test_taps_lie_where_a_convolution_reads() -> None:
    x = torch.zeros(1, 1, 9, 9, requires_grad=True)
    out = torch.nn.functional.conv2d(x, torch.ones(1, 1, 3, 3), padding=4, dilation=4)
    (gradient,) = torch.autograd.grad(out[0, 0, 2, 5], x)
    read = {(row, column) for row, column in gradient[0, 0].nonzero().tolist()}
    assert read == {(row, column) for row, column, inside in taps(2, 5, 4, 9, 9) if inside}


@pytest.mark.parametrize(("size", "cells"), [(520, 65), (513, 65), (512, 64), (1, 1)])
def test_map_sizes_round_up(size: int, cells: int) -> None:
    assert map_size(size, 8) == cells


def small_network() -> SegmentationNetwork:
    torch.manual_seed(0)
    return unet(3, width=4).double().eval()


def test_the_effective_field_is_how_much_a_score_moves() -> None:
    network = small_network()
    pixels = torch.randn(1, 3, 20, 24, dtype=torch.double)
    field = effective_receptive_field(network, pixels, row=10, column=12, class_index=1)
    assert field.shape == (20, 24)
    step = 1e-6
    for row, column in ((10, 12), (8, 15)):
        slopes = []
        for channel in range(3):
            scores = []
            for sign in (1, -1):
                moved = pixels.clone()
                moved[0, channel, row, column] += sign * step
                scores.append(network(moved)[0, 1, 10, 12].item())
            slopes.append(abs(scores[0] - scores[1]) / (2 * step))
        assert field[row, column].item() == pytest.approx(sum(slopes), rel=1e-3)


def test_the_effective_field_lies_in_the_theoretical_one() -> None:
    network = small_network()
    row, height = 144, 288
    pixels = torch.randn(1, 3, height, 16, dtype=torch.double)
    theory = traced(network, pixels)
    rows = effective_receptive_field(network, pixels, row, 8, 0).sum(dim=1).nonzero().ravel()
    # The theory is a mean over positions; one position's field lies up to half of the deepest stride to a side.
    assert row + theory.first - 8 <= rows[0] <= row <= rows[-1] <= row + theory.last + 8
    assert theory.size + 16 < height


def test_the_effective_field_leaves_the_network_alone_and_works_in_inference_mode() -> None:
    network = small_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.inference_mode():
        pixels = torch.randn(1, 3, 32, 32, dtype=torch.double)
        field = effective_receptive_field(network, pixels, 3, 3, 0)
    assert not pixels.requires_grad
    assert field.max() > 0
    assert all(parameter.grad is None for parameter in network.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(
    ("build", "disabled", "height"),
    [
        (fcn_mobilenetv2, ["image pooling"], 1203),
        pytest.param(unet_mobilenetv2, ["image pooling"], 1603, marks=pytest.mark.slow),
        pytest.param(unet_mobilenetv2, ["image pooling", "skip 8"], 1603, marks=pytest.mark.slow),
        pytest.param(unet_resnet18, [], 1203, marks=pytest.mark.slow),
        pytest.param(deeplabv3_mobilenetv2, ["image pooling", "rate 2r", "rate 3r"], 1500, marks=pytest.mark.slow),
        pytest.param(
            deeplabv3plus_mobilenetv2, ["image pooling", "rate r", "rate 2r", "rate 3r"], 1003, marks=pytest.mark.slow
        ),
    ],
)
def test_the_reach_of_every_pixel_is_exactly_what_gradients_show(
    build: Callable[[], SegmentationNetwork], disabled: list[str], height: int
) -> None:
    network = linear(build().double().eval())
    assert isinstance(network, SegmentationNetwork)
    for axis, shape in ((-2, (height, 33)), (-1, (33, height))):
        pixels = torch.randn(1, 3, *shape, dtype=torch.double)
        with torch.device("meta"):
            (found,) = reach(build().eval(), *shape, disabled)
        span = found.rows if axis == -2 else found.columns
        assert 0 < span[height // 2, 0] < span[height // 2, 1] < height - 1
        for position in (17, height // 2 + 1, height - 1):
            row, column = (position, 16) if axis == -2 else (16, position)
            with disabled_parts(network, disabled):
                field = effective_receptive_field(network, pixels, row, column, 0)
            hit = field.sum(dim=-1 if axis == -2 else -2).nonzero().ravel()
            assert [hit[0].item(), hit[-1].item()] == span[position].tolist()


def test_the_effective_field_of_trained_weights_lies_in_their_reach() -> None:
    card = segmodels.card("fcn_mobilenetv2")
    network = assemble(card, read_state(card.weights_file())).eval()
    pixels = torch.randn(1, 3, 64, 1200)
    disabled = ["image pooling"]
    box = reach(network, 64, 1200, disabled)[0].columns[600]
    with disabled_parts(network, disabled):
        columns = effective_receptive_field(network, pixels, 32, 600, 8).sum(dim=0)
    assert box[0] > 0
    assert box[1] < 1199
    assert not columns[: box[0]].any()
    assert not columns[box[1] + 1 :].any()
    assert columns[box[0] : box[1] + 1].any()


def test_image_pooling_reaches_everything_and_a_network_without_branches_nothing() -> None:
    with torch.device("meta"):
        network = deeplabv3_mobilenetv2().eval()
    branches = ["1x1", "rate r", "rate 2r", "rate 3r", "image pooling"]
    everything, nothing = reach(network, 320, 2048, (), branches)
    assert (everything.columns == [0, 2047]).all()
    assert (everything.rows == [0, 319]).all()
    assert (nothing.columns[:, 0] > nothing.columns[:, 1]).all()
