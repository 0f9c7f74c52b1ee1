"""Where a network looked: boxes, taps and gradients against the bare networks, and what the page makes of them."""

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
import torch

import segmodels
from demo.components.model_picker import NetworkSettings, checked_settings
from demo.lab import pixel as page
from demo.lab.pixel import facts as pixel_facts
from demo.lab.pixel import picture as pixel_picture
from demo.lab.pixel import receptive_field as looking
from demo.server import cache
from segmodels import read_photo
from segmodels.checkpoints.files import read_state
from segmodels.insight.anatomy import anatomy
from segmodels.insight.pixel import field_size, share_that_matters
from segmodels.models import registry
from segmodels.models.base import SegmentationNetwork

from ..conftest import EXAMPLES
from ..helpers import asked, shown

CAT = str(EXAMPLES / "cat.jpg")
BUNDLED = registry.bundled_models()


def settings(model: str, rate: int = 6, stride: int = 16) -> NetworkSettings:
    return checked_settings(model, rate, stride, BUNDLED)


def bare(model: str, rate: int = 6, stride: int = 16) -> SegmentationNetwork:
    """The network as it was trained, nothing folded, in float32."""
    card = registry.card(model)
    network = registry.build(model).eval()
    network.load_state_dict({name: tensor.float() for name, tensor in read_state(card.weights_file()).items()})
    if card.atrous_rate is not None:
        network.backbone.set_output_stride(stride)
        network.decoder.aspp.set_atrous_rates((rate, 2 * rate, 3 * rate))  # type: ignore[operator, union-attr]
    return network


def pixels(model: str) -> torch.Tensor:
    """The cat as the network sees it."""
    return segmodels.load(model, device="cpu", precision="float32").pixels(read_photo(CAT).image)


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    """The difference as a part of the whole: rounding flips a ReLU here and there, so single pixels may differ."""
    return float(np.abs(found - expected).sum() / expected.sum())


@pytest.mark.parametrize("model", ["unet_mobilenetv2", "deeplabv3plus_mobilenetv2"])
def test_probabilities_and_gradient_are_the_bare_network_s(model: str) -> None:
    chosen = settings(model)
    looked = looking.look(CAT, chosen, 0.3, 0.4)
    assert looked.size == (513, 337)  # 16 k + 1, nearest to 513 and 513 * 300 / 451 = 341.2
    assert (looked.column, looked.row) == (153, 134)
    seen = pixels(model).requires_grad_()
    scores = bare(model)(seen)[0, :, looked.row, looked.column]
    expected = scores.softmax(0).detach().numpy()
    # The page's are in bfloat16 where the machine is quicker with it.
    assert looked.probabilities == pytest.approx(expected, abs=0.03)
    assert looked.followed == expected.argmax() == registry.card(model).classes.index("cat")
    scores[looked.followed].backward()
    assert seen.grad is not None
    gradient = seen.grad[0].abs().sum(0).numpy()
    found = looking.effective(CAT, chosen, looked)
    assert apart(found, gradient) < 1e-3


def test_the_gradient_is_of_the_rate_and_stride_chosen_and_of_the_class_followed() -> None:
    chosen = settings("deeplabv3_mobilenetv2", 2, 32)
    person = registry.card("deeplabv3_mobilenetv2").classes.index("person")
    looked = looking.look(CAT, chosen, 0.9, 0.2, person)
    seen = pixels("deeplabv3_mobilenetv2").requires_grad_()
    bare("deeplabv3_mobilenetv2", 2, 32)(seen)[0, person, looked.row, looked.column].backward()
    assert seen.grad is not None
    gradient = seen.grad[0].abs().sum(0).numpy()
    assert apart(looking.effective(CAT, chosen, looked), gradient) < 1e-3


def test_looking_leaves_the_network_that_segments_alone() -> None:
    segmenter = cache.segmenter("deeplabv3_mobilenetv2")
    photo = read_photo(CAT).image
    before = segmenter(photo).labels
    chosen = settings("deeplabv3_mobilenetv2", 1, 8)
    looking.effective(CAT, chosen, looking.look(CAT, chosen, 0.1, 0.1))
    assert (segmenter(photo).labels == before).all()


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (1.0, 1.0), (0.02, 0.6)])
def test_the_effective_field_is_zero_outside_the_theoretical_one(x: float, y: float) -> None:
    model = "unet_width24"  # has no image pooling, which sees everything
    looked = looking.look(CAT, settings(model), x, y)
    box, heat = looked.box, looking.effective(CAT, settings(model), looked)
    outside = heat.copy()
    outside[box.top : box.bottom + 1, box.left : box.right + 1] = 0
    assert box.right - box.left + 1 < looked.size[0]
    assert not outside.any()
    assert heat[looked.row, looked.column] > 0


@pytest.mark.parametrize("model", ["deeplabv3_mobilenetv2", "deeplabv3plus_mobilenetv2"])
@pytest.mark.parametrize(
    ("rate", "stride"),
    [(6, 16), (3, 32), pytest.param(1, 16, marks=pytest.mark.slow), pytest.param(12, 8, marks=pytest.mark.slow)],
)
def test_taps_are_the_cells_that_the_branch_s_convolution_reads(model: str, rate: int, stride: int) -> None:
    looked = looking.look(CAT, settings(model, rate, stride), 0.8, 0.3)
    columns, rows = looked.map_size
    assert (columns, rows) == (-(-513 // stride), -(-337 // stride))
    aspp: Any = bare(model, rate, stride).decoder.aspp
    for branch, module in zip(looked.branches[:4], aspp.convs, strict=False):
        seen = torch.ones(1, 320, rows, columns, requires_grad=True)
        convs = [each for each in module.modules() if isinstance(each, torch.nn.Conv2d)]
        for conv in convs:
            torch.nn.init.ones_(conv.weight)
        mapped = seen
        for conv in convs:
            mapped = conv(mapped)
        centre = branch.taps[len(branch.taps) // 2]
        # Cell i of a map at stride s lies on pixel s * i.
        assert centre[0] * stride == pytest.approx(looked.row, abs=stride / 2)
        assert centre[1] * stride == pytest.approx(looked.column, abs=stride / 2)
        mapped[0, :, centre[0], centre[1]].sum().backward()
        assert seen.grad is not None
        read = {(row, column) for row, column in seen.grad[0].abs().sum(0).nonzero().tolist()}
        assert {(row, column) for row, column, inside in branch.taps if inside} == read
        assert branch.inside == len(read)
    assert looked.branches[4].name == "image pooling"


def test_a_branch_s_box_grows_with_its_rate_and_the_widest_is_the_network_s() -> None:
    looked = looking.look(CAT, settings("deeplabv3_mobilenetv2", 1, 8), 0, 0)
    rights = [branch.box.right for branch in looked.branches]
    assert rights[0] < rights[1] < rights[2] < rights[3] == looked.box.right < rights[4] == 512


@pytest.mark.slow
def test_the_size_of_the_field_is_the_boxs_and_anatomys() -> None:
    """U-Net sees 256 pixels across, so that in the middle a field of 204 lies wholly on the photo."""
    model = "unet_width24"
    looks = [looking.look(CAT, settings(model), (column + 0.5) / 256, 0.5) for column in range(112, 144)]
    boxes = [look.box for look in looks]
    assert all(box.left > 0 and box.right < 255 for box in boxes)
    size = max(box.right - box.left + 1 for box in boxes)
    assert field_size(model, None, None) == anatomy(model, 96, 128).receptive_field == size
    assert f"up to {size} × {size} pixels around this one" in pixel_facts._theory(settings(model), looks[0])


def test_the_share_that_matters_of_a_case_counted_by_hand() -> None:
    heat = np.array([[4.0, 1.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0]], dtype=np.float32)
    assert share_that_matters(heat, 0.5) == 1 / 8
    assert share_that_matters(heat, 0.75) == 2 / 8
    assert share_that_matters(heat, 0.9) == 4 / 8


def test_means_over_squares_with_a_remainder() -> None:
    values = np.array([[1, 3, 5], [3, 1, 7], [2, 4, 9]], dtype=np.float32)
    assert pixel_picture.coarse(values, 2).tolist() == [[2, 6], [3, 9]]


def svg(html: str) -> ET.Element:
    return ET.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])


def test_the_picture_has_a_mark_for_every_tap_hollow_off_the_map() -> None:
    picture, facts = shown(page.show, {"path": CAT}, "deeplabv3plus_mobilenetv2", 6, 16, 90, 10, page.WINNER).values()
    looked = looking.look(CAT, settings("deeplabv3plus_mobilenetv2"), 0.9, 0.1)
    drawn = svg(picture)
    for branch in looked.branches[1:4]:
        (group,) = drawn.findall(f".//*[@data-branch='{branch.name}']")
        kinds = [mark.get("class") for mark in group]
        assert kinds.count("on") == branch.inside - 1  # the middle one is drawn once for all
        assert kinds.count("off") == 9 - branch.inside
        assert f"{branch.inside} of 9" in facts
    assert drawn.get("aria-label")
    assert "everything, because image pooling sees the whole photo" in facts
    assert re.search(r"rate 18: above left, above, above right, .*right", facts)


@pytest.mark.parametrize("model", ["fcn_mobilenetv2", "unet_mobilenetv2", "deeplabv3_mobilenetv2_google"])
def test_a_head_without_atrous_branches_has_one_tap_and_image_pooling(model: str) -> None:
    rate, stride = (None, 16) if registry.card(model).chooses_stride else (None, None)
    picture, facts = shown(page.show, {"path": CAT}, model, rate, stride, 90, 10, page.WINNER).values()
    assert "everything, because image pooling sees the whole photo" in facts
    assert "All taps lie on the map" in facts
    (group,) = svg(picture).findall(".//*[@data-branch='1x1']")
    assert [mark.get("class") for mark in group] == ["on"]


def test_the_bars_are_the_best_classes_in_order() -> None:
    _, facts = shown(page.show, {"path": CAT}, "fcn_mobilenetv2", None, None, 50, 50, page.WINNER).values()
    shares = [float(share) for share in re.findall(r"</span>([\d.]+)%", facts)]
    assert 1 <= len(shares) <= pixel_facts.BARS
    assert min(shares) > 0
    assert shares == sorted(shares, reverse=True)
    assert re.findall(r"</span>(\w+)</th>", facts)[0] == "cat"


def test_the_heat_map_comes_after_all_else_and_is_remembered() -> None:
    where = ({"path": CAT}, "fcn_mobilenetv2", None, None, 12.5, 77, "dog")
    answers = asked(page.show, *where)
    first, second = (list(answer["html"].values()) for answer in answers)
    assert "Computing the effective field" in first[0]
    assert "Computing" not in second[0]
    assert "effective" not in [each.get("class") for each in svg(first[0])]
    assert "effective" in [each.get("class") for each in svg(second[0])]
    assert asked(page.show, *where) == answers[1:]


@pytest.mark.parametrize(
    ("model", "rate", "stride", "x", "y", "followed", "sentence"),
    [
        ("none", 6, 16, 50, 50, page.WINNER, "There is no model"),
        ("fcn_resnet50", 6, 16, 50, 50, page.WINNER, "cannot be looked at here"),
        ("deeplabv3_mobilenetv2", 1.5, 16, 50, 50, page.WINNER, "The atrous rate must be"),
        ("deeplabv3_mobilenetv2", 6, 5, 50, 50, page.WINNER, "The output stride must be"),
        ("fcn_mobilenetv2", 6, 16, -1, 50, page.WINNER, "How far across the pixel lies"),
        ("fcn_mobilenetv2", 6, 16, 50, 101, page.WINNER, "How far down the pixel lies"),
        ("fcn_mobilenetv2", 6, 16, float("nan"), 50, page.WINNER, "How far across the pixel lies"),
        ("fcn_mobilenetv2", 6, 16, "50", 50, page.WINNER, "How far across the pixel lies"),
        ("fcn_mobilenetv2", 6, 16, 50, None, page.WINNER, "How far down the pixel lies"),
        ("fcn_mobilenetv2", 6, 16, 50, 50, "unicorn", "There is no class called 'unicorn'"),
        ("fcn_mobilenetv2", 6, 16, 50, 50, ["cat"], "There is no class called"),
    ],
)
def test_what_cannot_be_is_answered_with_a_sentence(
    model: Any, rate: Any, stride: Any, x: Any, y: Any, followed: Any, sentence: str
) -> None:
    assert sentence in shown(page.show, {"path": CAT}, model, rate, stride, x, y, followed)["problem"]


def test_without_a_photo_there_is_an_invitation() -> None:
    assert "Drop in a photo" in shown(page.show, None, "fcn_mobilenetv2", None, None, 50, 50, page.WINNER)[""]
