"""Entropy and margin against cases known by hand, and what the page makes of them."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import segmodels
from demo.components.heat_map import map_image
from demo.components.model_picker import adapt, checked_settings
from demo.lab import certainty as page
from segmodels.inference.certainty import entropy, margin, probabilities

from ..conftest import EXAMPLES
from ..helpers import shown

CAT = {"path": str(EXAMPLES / "cat.jpg")}


def column(*values: float) -> torch.Tensor:
    """One pixel's probabilities, (C, 1, 1)."""
    return torch.tensor(values)[:, None, None]


@pytest.mark.parametrize("classes", [2, 21])
def test_entropy_is_greatest_if_all_classes_are_equal_and_zero_if_one_has_it_all(classes: int) -> None:
    assert entropy(torch.full((classes, 2, 3), 1 / classes)).numpy() == pytest.approx(
        np.full((2, 3), math.log2(classes))
    )
    one_hot = torch.zeros(classes, 1, 1)
    one_hot[0] = 1
    assert entropy(one_hot).item() == 0


def test_entropy_of_cases_known_by_hand() -> None:
    assert entropy(column(0.5, 0.5, 0, 0)).item() == pytest.approx(1)
    assert entropy(column(0.5, 0.25, 0.125, 0.125)).item() == pytest.approx(1.75)


def test_margin_of_cases_known_by_hand() -> None:
    assert margin(column(0.1, 0.7, 0.2)).item() == pytest.approx(0.5)
    assert margin(column(0.4, 0.4, 0.2)).item() == 0
    assert margin(column(0, 1, 0)).item() == 1


def test_probabilities_are_those_of_interpolated_logits() -> None:
    """Half-way between two cells the logits are their mean: log 3 and 0 make log 3 / 2."""
    logits = torch.tensor([[[0.0, math.log(3)]], [[0.0, 0.0]]])
    found = probabilities(logits, (1, 3))
    root = math.sqrt(3)
    assert found[0, 0].tolist() == pytest.approx([0.5, root / (1 + root), 0.75])
    assert found.sum(0).numpy() == pytest.approx(np.ones((1, 3)))


def test_a_segmenter_s_logits_are_what_its_label_map_is_made_of(cat: Image.Image) -> None:
    segmenter = segmodels.load("deeplabv3_mobilenetv2")
    features = segmenter.encode(cat)
    result = segmenter.decode(features, 3)
    likely = probabilities(segmenter.logits(features, 3), (300, 451), features.aligned_size)
    assert (likely.argmax(0).numpy() == result.labels).mean() > 0.999


def test_colours_run_from_the_least_to_the_most_and_stay_there_beyond() -> None:
    image = map_image(np.array([[0.0, 1.0, 2.0, 7.0, -1.0]], dtype=np.float32), 2, "inferno").convert("RGB")
    colours = np.asarray(image)[0].astype(int).sum(axis=1)
    assert colours[0] < colours[1] < colours[2]
    assert colours[3] == colours[2]
    assert colours[4] == colours[0]


def test_the_page_says_the_means_and_describes_the_pictures() -> None:
    figures, table = shown(page.show, CAT, "deeplabv3plus_mobilenetv2", 6, 16).values()
    found = page.certainty(
        CAT["path"], checked_settings("deeplabv3plus_mobilenetv2", 6, 16, ["deeplabv3plus_mobilenetv2"])
    )
    assert f"Mean confidence {found.confidence.mean():.1%}" in figures
    assert all(alt or position == 0 for position, alt in enumerate(re.findall(r'alt="([^"]*)"', figures)))
    assert ">cat<" in table or "cat</th>" in table
    assert 0 < found.entropy.mean() < math.log2(21)
    assert (found.confidence >= found.margin).all()


def test_the_mask_is_the_segment_tab_s() -> None:
    found = page.certainty(CAT["path"], checked_settings("fcn_mobilenetv2", None, None, ["fcn_mobilenetv2"]))
    height, width = found.labels.shape
    expected = segmodels.load("fcn_mobilenetv2")(segmodels.read_photo(CAT["path"]).image).labels
    resized = np.asarray(Image.fromarray(expected).resize((width, height), Image.Resampling.NEAREST))
    assert (resized == found.labels).mean() > 0.98


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("none", 6, 16), "There is no model"),
        (("unet", 6, 16), "The network unet cannot be looked at here"),
        (("deeplabv3_mobilenetv2", 0, 16), "The atrous rate must be"),
        (("deeplabv3_mobilenetv2", "6", 16), "The atrous rate must be"),
        (("deeplabv3_mobilenetv2", 6, 7), "The output stride must be"),
        (("deeplabv3_mobilenetv2", 6, "16"), "The output stride must be"),
        (([], 6, 16), "There is no model"),
    ],
)
def test_wrong_settings_are_answered_with_a_sentence(settings: tuple[Any, Any, Any], sentence: str) -> None:
    assert sentence in shown(page.show, CAT, *settings)["problem"]


def test_without_a_photo_or_with_a_broken_one_there_is_a_sentence(tmp_path: Any) -> None:
    assert "Drop in a photo" in shown(page.show, None, "fcn_mobilenetv2", None, None)[""]
    (tmp_path / "broken.jpg").write_text("not a photo")
    assert (
        "not a photo"
        in shown(page.show, {"path": str(tmp_path / "broken.jpg")}, "fcn_mobilenetv2", None, None)["problem"]
    )


def test_another_network_brings_its_trained_settings_or_idle_ones() -> None:
    rate, stride, name = adapt("deeplabv3_mobilenetv2")
    assert (rate["value"], stride["value"], name) == (6, 16, "deeplabv3_mobilenetv2")
    assert rate["interactive"]
    rate, stride, name = adapt("unet_mobilenetv2")
    assert not rate["interactive"]
    assert not stride["interactive"]
    assert adapt(["none"])[2] == "['none']"
