"""Compare: counts of different answers against numpy, and answers to settings that cannot be."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from demo.lab import compare
from demo.server import cache
from demo.server.inference import segment_photo
from segmodels.inference.pictures import overlay
from segmodels.labels import VOC

from ..conftest import EXAMPLES
from ..helpers import shown

CAT = {"path": str(EXAMPLES / "cat.jpg")}
FCN = ("fcn_mobilenetv2", 6, 16)
DEEPLAB = ("deeplabv3_mobilenetv2", 6, 16)
NONE = ("", 6, 16)


def last(*slots: tuple[Any, ...]) -> str:
    return "".join(shown(compare.show, CAT, *(value for slot in slots for value in slot)).values())


@pytest.mark.parametrize("number", [2, 3, 4])
def test_answers_are_the_different_labels_of_each_pixel(number: int) -> None:
    maps = [np.random.default_rng(seed).integers(0, 4, (17, 23), dtype=np.uint8) for seed in range(number)]
    expected = [[len({int(labels[row, column]) for labels in maps}) for column in range(23)] for row in range(17)]
    np.testing.assert_array_equal(compare.answers(maps), expected)


def test_agreement_is_the_share_of_equal_pixels() -> None:
    answer = last(FCN, DEEPLAB, NONE, NONE)
    size = cache.display(CAT["path"]).photo.size
    fcn, deeplab = (segment_photo(CAT["path"], *slot, size).labels for slot in (FCN, DEEPLAB))
    agreement = np.count_nonzero(fcn == deeplab) / fcn.size
    assert 0.5 < agreement < 1
    assert f"All 2 agree on {agreement:.1%} of the pixels" in answer
    assert f"<td>{agreement:.1%}</td>" in answer
    assert f"2 different answers <small>{1 - agreement:.1%}</small>" in answer


def test_the_same_setting_twice_agrees_everywhere() -> None:
    assert "All 2 agree on 100.0% of the pixels" in last(DEEPLAB, DEEPLAB, NONE, NONE)


def test_slots_keep_their_letters_and_settings() -> None:
    answer = last(DEEPLAB, ("deeplabv3_mobilenetv2", 1, 32), NONE, FCN)
    assert "B: DeepLab v3 <small>rate 1, stride 32</small>" in answer
    assert "D: FCN" in answer
    assert "C: " not in answer


def test_a_network_of_other_classes_is_left_out_and_the_rest_compared() -> None:
    answer = last(FCN, DEEPLAB, NONE, ("deeplabv3plus_mobilenetv2_streets", 6, 16))
    assert "D knows other classes than the rest, so it is left out." in answer
    assert "All 2 agree on" in answer
    assert "D: " not in answer


def test_the_numbers_are_agreement_and_iou_of_each_two_networks(tmp_path: Path) -> None:
    path, file = str(EXAMPLES / "cat.jpg"), tmp_path / "compared.csv"
    compare.write_numbers(path, file, *FCN, *DEEPLAB, *NONE, "unet_mobilenetv2", 6, 16)
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    pairs = [(row["network"][0], row["other network"][0]) for row in rows]
    assert pairs == [("A", "B"), ("A", "D"), ("B", "D")]
    size = cache.display(path).photo.size
    fcn, deeplab = (segment_photo(path, *slot, size).labels for slot in (FCN, DEEPLAB))
    cat = VOC.names.index("cat")
    iou = ((fcn == cat) & (deeplab == cat)).sum() / ((fcn == cat) | (deeplab == cat)).sum()
    assert float(rows[0]["IoU cat"]) == pytest.approx(iou, abs=1e-4)
    assert float(rows[0]["agreement"]) == pytest.approx((fcn == deeplab).mean(), abs=1e-4)
    assert not rows[0]["IoU train"]


def test_one_network_alone_is_not_compared() -> None:
    assert "at least two" in last(DEEPLAB, NONE, NONE, NONE)


def test_no_photo_is_no_error() -> None:
    assert "Drop in a photo" in shown(compare.show, None, *DEEPLAB, *FCN)[""]


@pytest.mark.parametrize(
    ("slot", "sentence"),
    [
        (("no_such", 6, 16), "There is no model called"),
        ((None, 6, 16), "There is no model called"),
        (("unet", 6, 16), "not at hand"),
        (("deeplabv3_mobilenetv2", 0, 16), "The atrous rate must be a whole number from 1 to 24"),
        (("deeplabv3_mobilenetv2", 6, [8]), "The output stride must be 8, 16 or 32"),
        (("deeplabv3_mobilenetv2", 6, 9), "The output stride must be 8, 16 or 32"),
        (("deeplabv3_mobilenetv2", "<b>", 16), "'<b>'"),
    ],
)
def test_wrong_settings_are_answered_with_a_sentence(slot: tuple[Any, ...], sentence: str) -> None:
    assert sentence in shown(compare.show, CAT, *DEEPLAB, *slot)["problem"]


def test_a_bad_photo_is_answered_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no photo")
    assert "problem" in shown(compare.show, {"path": str(tmp_path / "bad.jpg")}, *DEEPLAB, *FCN)


def test_another_setting_of_one_network_runs_that_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    last(FCN, DEEPLAB)
    ran: list[tuple[Any, ...]] = []

    def counted(path: str, *settings: Any) -> Any:
        ran.append(settings[:3])
        return segment_photo(path, *settings)

    monkeypatch.setattr(compare, "segment_photo", counted)
    last(FCN, ("deeplabv3_mobilenetv2", 5, 16))
    assert ran == [("deeplabv3_mobilenetv2", 5, 16)]


def test_the_sheet_has_every_network_side_by_side(tmp_path: Path) -> None:
    path, file = str(EXAMPLES / "cat.jpg"), tmp_path / "compared.png"
    slots: list[Any] = ["fcn_mobilenetv2", 6, 16, "deeplabv3_mobilenetv2", 6, 16, "", 6, 16]
    compare.write_sheet(path, file, *slots)
    two = Image.open(file).convert("RGB")
    compare.write_sheet(path, file, *slots, "unet_mobilenetv2", 6, 16)
    three = Image.open(file)
    assert three.height == two.height
    assert three.width > 1.4 * two.width > two.height
    fcn = overlay(cache.display(path).photo, segment_photo(path, "fcn_mobilenetv2", None, None, (451, 300)).labels)
    colours = np.asarray(two)
    top = next(row for row in range(200) if (colours[row, 16 : 16 + 451] == np.asarray(fcn)[0]).all())
    assert (colours[top : top + 300, 16 : 16 + 451] == np.asarray(fcn)).all()
    assert (colours[-30:] == VOC.colours[VOC.names.index("cat")]).all(-1).any(), "the legend names the cat's colour"
