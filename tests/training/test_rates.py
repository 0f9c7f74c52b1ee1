import hashlib
import re

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from demo.lab import rate_weights as section
from segmodels.models import registry
from segmodels.training import rates

from ..conftest import EXAMPLES
from ..helpers import shown

UPLOAD = {"path": str(EXAMPLES / "cat.jpg")}


@pytest.mark.parametrize(("rate", "stride"), rates.FITTED)
def test_a_fitted_decoder_is_what_its_card_says(rate: int, stride: int) -> None:
    file = rates.weights_file(rate, stride)
    facts = rates.measured()["files"][f"{rate}/{stride}"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == facts["sha256"]
    whole = load_file(registry.card(rates.NETWORK).weights_file())
    decoder = {name for name in whole if name.startswith("decoder.")}
    assert set(load_file(file)) == (set(whole) if (rate, stride) == rates.HOME else decoder)
    assert (facts["recipe"]["atrous_rate"], facts["recipe"]["output_stride"]) == (rate, stride)


def test_those_at_one_stride_were_trained_alike_from_the_networks_own() -> None:
    facts = [rates.measured()["files"][f"{rate}/16"] for rate in (1, 3, 12)]
    recipes = [{name: value for name, value in one["recipe"].items() if name != "atrous_rate"} for one in facts]
    assert all(recipe == recipes[0] for recipe in recipes)
    assert all(one["crops"] == facts[0]["crops"] for one in facts)


def test_a_fitted_segmenter_has_nothing_to_note_at_its_own_rate(cat: Image.Image) -> None:
    segmenter = rates.load_fitted(3, 16)
    result = segmenter(cat)
    assert (result.atrous_rate, result.output_stride, result.notes) == (3, 16, ())
    assert result.shares["cat"] > 0.2
    assert segmenter(cat, atrous_rate=6).notes


def test_at_home_the_moved_decoder_is_the_fitted_one() -> None:
    moved, fitted = section.both(UPLOAD["path"], *rates.HOME, (225, 150))
    assert (moved.labels == fitted.labels).all()


def test_elsewhere_one_was_trained_at_home_and_the_other_there(cat: Image.Image) -> None:
    found = section.both(UPLOAD["path"], 1, 16, (225, 150))
    for result, trained_at in zip(found, (rates.HOME, (1, 16)), strict=True):
        segmenter = rates.load_fitted(*trained_at)
        expected = segmenter.decode(segmenter.encode(cat), 1, (225, 150))
        assert (result.labels == expected.labels).mean() > 0.99
    moved, fitted = found
    assert (moved.labels != fitted.labels).mean() > 0.01


def test_a_rate_that_nothing_was_trained_at_is_refused() -> None:
    with pytest.raises(ValueError, match="only at 1 at stride 16"):
        rates.weights_file(5, 16)
    assert "There are decoders for" in shown(section.show, UPLOAD, "5/16", "both")["problem"]
    assert "There are decoders for" in shown(section.show, UPLOAD, "6/16", "all")["problem"]


def test_every_setting_is_in_the_plot_and_the_table() -> None:
    measured = rates.measured()
    drawn = section.plot(measured, (12, 16))
    rows = [*measured["moved"], *measured["fitted"]]
    assert drawn.count("<circle") == len(rows)
    assert drawn.count("chosen") == sum((row["rate"], row["stride"]) == (12, 16) for row in rows)
    table = section.table(measured)
    assert all(f"{row['miou7']:.3f}" in table for row in rows)


def test_higher_scores_are_drawn_higher() -> None:
    heights = {}
    for name, y in re.findall(
        r'cy="([\d.]+)" r="[\d.]+"><title>[^:]*: mIoU-7 ([\d.]+)', section.plot(rates.measured(), (6, 16))
    ):
        heights[float(y)] = float(name)
    scores = sorted(heights)
    assert np.all(np.diff([heights[score] for score in scores]) <= 0)


@pytest.mark.parametrize("kind", ["both", "moved", "fitted"])
def test_the_page_shows_what_was_chosen(kind: str) -> None:
    page = shown(section.show, UPLOAD, "1/16", kind)[""]
    assert ("run here" in page, "Weights trained here" in page) == (kind != "fitted", kind != "moved")
    assert ("Where they differ" in page) == (kind == "both")


def test_the_card_for_people_has_the_measured_scores() -> None:
    text = rates.FACTS.with_suffix(".md").read_text(encoding="utf-8")
    assert all(f"{row['miou7']:.3f}" in text for kind in ("moved", "fitted") for row in rates.measured()[kind])
