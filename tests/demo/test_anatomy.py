"""The Anatomy tab's numbers against the networks themselves, its drawing as XML, its answers to wrong settings."""

import csv
import io
import itertools
import math
import re
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

from demo.anatomy.diagram import description, draw
from demo.anatomy.layout import stride
from demo.anatomy.tab import UNTRAINED, _choices, _short, adapt_settings, layers_csv, layers_table, show
from segmodels.insight.anatomy import Anatomy, Part, _parts, anatomy
from segmodels.insight.cost import count
from segmodels.models import registry
from segmodels.models.backbones import ResNet18
from segmodels.models.base import SegmentationNetwork

from ..helpers import parameters_used, shown

SIZES = [
    (97, 130),
    pytest.param((32, 32), marks=pytest.mark.slow),
    pytest.param((384, 512), marks=pytest.mark.slow),
]
COMPACT = registry.compact_models()
NETWORKS = [*COMPACT, *(pytest.param(name, marks=pytest.mark.slow) for name in registry.CARDS if name not in COMPACT)]
DEEPLABS = [name for name, card in registry.CARDS.items() if card.atrous_rate is not None]
SMALL = ["fcn_mobilenetv2", "unet_mobilenetv2", "deeplabv3_mobilenetv2", "deeplabv3plus_mobilenetv2", "unet_resnet18"]


def kinds(found: Anatomy, kind: str) -> list[Part]:
    return [part for part in found.parts if part.kind == kind]


def texts(svg: str) -> list[str]:
    """All words in a drawing, its tooltips too. Raises if it is no well-formed XML."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter()]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETWORKS)
def test_parts_are_made_of_all_layers_in_order(name: str, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = registry.build(name)
    found = anatomy(name, *size)
    expected = count(network, *size)
    assert found.cost == expected
    assert [layer for part in found.parts for layer in part.layers] == list(expected.layers)
    assert sum(part.parameters for part in found.parts) == parameters_used(network)
    assert sum(part.macs for part in found.parts) == expected.macs
    assert found.parts[-1].shape == (len(registry.card(name).classes), *size)


@pytest.mark.parametrize("size", [(33, 47), pytest.param((96, 64), marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SMALL)
def test_shapes_are_those_of_a_real_run(name: str, size: tuple[int, int]) -> None:
    network = registry.build(name).eval()
    shapes: dict[str, list[tuple[int, ...]]] = {}

    def record(path: str) -> Any:
        return lambda module, inputs, output: shapes.setdefault(path, []).append(tuple(output.shape[1:]))

    for path, module in network.named_modules():
        if not any(module.children()):
            module.register_forward_hook(record(path))
    with torch.inference_mode():
        x = torch.zeros(1, 3, *size)
        features = network.encode(x)
        logits = network.decode(features)
    found = anatomy(name, *size)
    seen: dict[str, list[tuple[int, ...]]] = {}
    for layer in found.cost.layers:
        seen.setdefault(layer.name, []).append(layer.shape)
    identities = {path for path, module in network.named_modules() if isinstance(module, nn.Identity)}
    assert seen == {path: found for path, found in shapes.items() if path not in identities}
    assert [part.shape for part in kinds(found, "backbone")] == [tuple(feature.shape[1:]) for feature in features]
    last = [part for part in found.parts if part.kind in ("decoder", "join")][-1]
    assert last.shape == tuple(logits.shape[1:])
    assert found.cost.parameters == sum(tensor.numel() for tensor in network.parameters())


@pytest.mark.parametrize("name", ["unet_width24", "unet_resnet18"])
def test_the_outputs_receptive_field_holds_all_that_moves_it(name: str) -> None:
    torch.manual_seed(0)
    network = registry.build(name).eval()
    field = anatomy(name, 64, 1280).receptive_field
    x = torch.randn(1, 3, 64, 1280, requires_grad=True)
    network(x)[0, :, 32, 640].sum().backward()
    assert x.grad is not None
    touched = x.grad.abs().sum((0, 1, 2)).nonzero().flatten()
    span = int(touched.max() - touched.min()) + 1
    assert 0.5 * field < span <= field  # the most that any pixel sees


@pytest.mark.parametrize("name", NETWORKS)
def test_every_part_comes_from_earlier_ones_and_the_path_is_whole(name: str) -> None:
    parts = anatomy(name, 97, 130).parts
    assert parts[0].kind == "input"
    assert parts[-1].kind == "output"
    assert all(source < index for index, part in enumerate(parts) for source in part.sources)
    assert {source for part in parts for source in part.sources} == set(range(len(parts) - 1))
    assert all(len(part.sources) > 1 for part in parts if part.kind == "join")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_drawing_names_every_part_with_its_shape(name: str, size: tuple[int, int]) -> None:
    found = anatomy(name, *size)
    svg = draw(found)
    words = texts(svg)
    for part in found.parts:
        if part.kind in ("input", "backbone", "decoder", "output"):
            assert " × ".join(map(str, reversed(part.shape))) in words, part.name
            assert any(word.startswith(part.name + "\n") for word in words), part.name
        elif part.kind == "up":
            factor = re.search(r"stride (\d+)", part.layers[0].kind) if part.layers else re.search(r"×(\d+)", part.name)
            assert factor
            assert any(word.endswith(f"×{factor[1]}") for word in words), part.name
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert name in (root.get("aria-label") or "")
    assert description(found) in words


@pytest.mark.parametrize("name", DEEPLABS)
@pytest.mark.parametrize(
    ("output_stride", "rate"),
    [(8, 1), pytest.param(16, 5, marks=pytest.mark.slow), pytest.param(32, 24, marks=pytest.mark.slow)],
)
def test_rate_and_stride_are_in_drawing_and_layers(name: str, output_stride: int, rate: int) -> None:
    found = anatomy(name, 256, 320, output_stride, rate)
    words = texts(draw(found))
    assert {f"rate {rate}", f"rate {2 * rate}", f"rate {3 * rate}", "image pooling", "1×1"} <= set(words)
    deepest = kinds(found, "backbone")[-1]
    assert deepest.shape[1:] == (256 // output_stride, 320 // output_stride)
    assert f"stride {output_stride}" in words
    branches = [part for part in found.parts if ".aspp.convs." in part.name]
    assert len(branches) == 5
    assert all(part.sources == (found.parts.index(deepest),) for part in branches)
    fields = [part.receptive_field for part in branches[1:4]]
    if math.isfinite(fields[0]):
        assert [field - deepest.receptive_field for field in fields] == [
            2 * rate * factor * output_stride for factor in (1, 2, 3)
        ]


def test_skips_of_each_family() -> None:
    def skips(name: str) -> int:
        return draw(anatomy(name, 96, 128)).count('class="skip"')

    # FCN-8s: two maps, to their scores and from there; v3+: the low-level map, to its 1x1 and from there; the compact
    # U-Net: four maps, to their batch norms and from there.
    assert [skips(name) for name in ("fcn32s_vgg16", "fcn16s_vgg16", "fcn8s_vgg16")] == [0, 2, 4]
    assert [
        skips(name) for name in ("unet", "unet_mobilenetv2", "deeplabv3_mobilenetv2", "deeplabv3plus_mobilenetv2")
    ] == [4, 8, 0, 2]


@pytest.mark.parametrize("name", ["fcn_mobilenetv2", "unet_mobilenetv2", "deeplabv3_mobilenetv2_google"])
def test_a_pyramid_without_rates_is_drawn_as_its_two_branches(name: str) -> None:
    found = anatomy(name, 96, 128)
    assert {"1×1", "image pooling"} <= set(texts(draw(found)))
    assert draw(found).count('class="part aspp') == 2


@pytest.mark.parametrize("size", [(32, 32), (384, 512), (337, 513)])
def test_logits_at_stride_16_are_enlarged_by_16(size: tuple[int, int]) -> None:
    """Whether the last cell lies on the last pixel or before it."""
    assert [part.name for part in kinds(anatomy("deeplabv3_mobilenetv2", *size), "up")] == ["bilinear ×16"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETWORKS)
def test_boxes_do_not_cover_one_another(name: str, size: tuple[int, int]) -> None:
    groups = ElementTree.fromstring(draw(anatomy(name, *size))).iter("{http://www.w3.org/2000/svg}g")
    fronts = [
        [float(group.findall("{http://www.w3.org/2000/svg}rect")[-2].get(key) or 0) for key in ("x", "y")]
        for group in groups
        if (group.get("class") or "").startswith("part")
    ]
    assert len(fronts) > 5
    for (x, y), (other_x, other_y) in itertools.combinations(fronts, 2):
        assert abs(x - other_x) > 126 or abs(y - other_y) > 62


@pytest.mark.parametrize("side", [512, 33, 481])
def test_strides_are_right_at_sizes_that_are_no_multiples(side: int) -> None:
    found = anatomy("fcn_mobilenetv2", side, side)
    assert [stride(found, part) for part in kinds(found, "backbone")] == [2, 4, 8, 16, 32]


@pytest.mark.parametrize("name", ["unet", "deeplabv3plus_mobilenetv2", "deeplabv3plus_xception65"])
def test_the_tables_hold_every_layer(name: str) -> None:
    found = anatomy(name, 97, 130)
    table = layers_table(found)
    rows = re.findall(r'<tr(?: class="quiet")?><th scope="row"><code>(.*?)</code></th>(.*?)</tr>', table)
    assert [path for path, _ in rows] == [layer.name for layer in found.cost.layers]
    for (_, cells), layer in zip(rows, found.cost.layers, strict=True):
        field = "whole photo" if math.isinf(layer.receptive_field) else f"{layer.receptive_field:,.0f}"
        shape = " × ".join(map(str, reversed(layer.shape)))
        expected = [layer.kind, shape, f"{layer.parameters:,}", f"{layer.macs:,}", field]
        assert re.findall("<td>(.*?)</td>", cells) == expected
    parsed = list(csv.DictReader(io.StringIO(layers_csv(found))))
    assert [int(row["macs"]) for row in parsed] == [layer.macs for layer in found.cost.layers]
    assert sum(int(row["parameters"]) for row in parsed) == found.cost.parameters


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (999_499, "999 k"),
        (999_500, "1 M"),
        (3_284_000, "3.28 M"),
        (999_700_000, "1 G"),
        (999_600_000_000, "1,000 G"),
        (2_345_678_000_000, "2,346 G"),
    ],
)
def test_counts_are_written_in_three_digits(count: int, written: str) -> None:
    assert _short(count) == written


@pytest.mark.slow
def test_all_networks_are_beside_the_chosen_one() -> None:
    table = shown(show, "deeplabv3_mobilenetv2", 130, 97, 6, 8, on_photo=False)["anatomy-others"]
    rows = re.findall(r"<tr( class=chosen aria-current=true)?><th scope=\"row\"><code>(.*?)</code>", table)
    assert [name for _, name in rows] == list(registry.CARDS)
    assert [name for chosen, name in rows if chosen] == ["deeplabv3_mobilenetv2"]


def test_settings_are_left_out_where_there_are_none() -> None:
    drawn = show("unet", 128, 96, None, "no stride", step=0)["html"]
    assert drawn == show("unet", 128, 96, 6, 16, step=0)["html"]
    about, rate, output_stride = adapt_settings("unet_mobilenetv2")
    assert "no rate or stride to set" in about
    assert not rate["interactive"]
    assert not output_stride["interactive"]
    _, rate, output_stride = adapt_settings("deeplabv3_resnet50")
    assert (rate["value"], output_stride["value"]) == (12, 8)


def test_networks_without_weights_are_marked() -> None:
    for label, name in _choices():
        assert label.endswith("untrained") != registry.card(name).trained
        assert (UNTRAINED in adapt_settings(name)[0]) != registry.card(name).trained


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("nonesuch", 512, 384, 6, 16), "did you mean"),
        ((None, 512, 384, 6, 16), "did you mean"),
        ((["unet"], 512, 384, 6, 16), "did you mean"),
        (("unet", math.nan, 384, 6, 16), "width must be a whole number from 32 to 1024"),
        (("unet", math.inf, 384, 6, 16), "width must be a whole number"),
        (("unet", 512, 10**9, 6, 16), "height must be a whole number"),
        (("unet", 512, 31, 6, 16), "height must be a whole number"),
        (("unet", 512.5, 384, 6, 16), "width must be a whole number"),
        (("unet", True, 384, 6, 16), "width must be a whole number"),
        (("unet", "<b>512</b>", 384, 6, 16), "width must be a whole number"),
        (("unet", None, 384, 6, 16), "width must be a whole number"),
        (("deeplabv3_mobilenetv2", 512, 384, 0, 16), "atrous rate must be a whole number"),
        (("deeplabv3_mobilenetv2", 512, 384, [6], 16), "atrous rate must be a whole number"),
        (("deeplabv3_mobilenetv2", 512, 384, 6, 12), "8, 16 or 32"),
        (("deeplabv3_mobilenetv2", 512, 384, 6, "16"), "output stride must be 8, 16 or 32"),
    ],
)
def test_wrong_settings_are_answered_with_a_sentence(settings: tuple[Any, ...], sentence: str) -> None:
    assert sentence.lower() in shown(show, *settings, on_photo=False)["problem"].lower()


def test_a_network_may_be_of_lone_layers() -> None:
    """A lone batch norm or ReLU belongs to the convolution before it."""

    class Lone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.relu = nn.Conv2d(512, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
            self.last = nn.ModuleList([nn.Conv2d(4, 2, 1)])

        def forward(self, features: list[Tensor]) -> Tensor:
            logits: Tensor = self.last[0](self.relu(self.norm(self.conv(features[-1]))))
            return logits

    with torch.device("meta"):
        network = SegmentationNetwork(ResNet18(), Lone()).eval()
    parts = _parts(network, 64, 64, count(network, 64, 64).layers)
    decoder = [(part.name, len(part.layers)) for part in parts if part.kind == "decoder"]
    assert decoder == [("decoder.conv", 3), ("decoder.last.0", 1)]
