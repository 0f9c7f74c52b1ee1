"""Rates x stride: the numbers in the cells against brute force, and the cells against the Segment tab."""

import base64
import io
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demo.lab import rates_by_stride as grid
from demo.server import cache
from demo.server.inference import segment_photo
from segmodels import Segmentation
from segmodels.inference.pictures import overlay
from segmodels.inference.segmenter import Segmenter
from segmodels.models import registry

from ..conftest import EXAMPLES
from ..helpers import asked, shown

MODEL = "deeplabv3_mobilenetv2"


@pytest.fixture
def photo() -> str:
    """The cat, of which the features are remembered from test to test."""
    return str(EXAMPLES / "cat.jpg")


@pytest.fixture
def new_photo(tmp_path: Path) -> str:
    """The cat as a file of its own, so that nothing is remembered of it."""
    return str(shutil.copy(EXAMPLES / "cat.jpg", tmp_path / "cat.jpg"))


def brute_force_taps(width: int, height: int, rate: int) -> float:
    """The share of taps inside, by letting a convolution of ones count them."""
    ones = torch.ones(1, 1, height, width)
    count = torch.nn.functional.conv2d(ones, torch.ones(1, 1, 3, 3), padding=rate, dilation=rate)
    return float(count.mean() / 9)


@pytest.mark.parametrize("size", [(32, 22), (16, 11), (64, 43), (5, 40)])
@pytest.mark.parametrize("rate", grid.RATES)
def test_taps_inside_are_those_of_each_branch(size: tuple[int, int], rate: int) -> None:
    expected = [brute_force_taps(*size, rate * branch) for branch in (1, 2, 3)]
    assert grid.taps_inside(size, rate) == pytest.approx(expected)


def test_the_trained_cell_is_the_segment_tabs_result(photo: str) -> None:
    card = registry.card(MODEL)
    size = cache.display(photo).photo.size
    column = grid.column(photo, MODEL, card.output_stride, size)
    trained = grid.trained_cell(card, {column.stride: column})
    assert trained is not None
    assert (trained.atrous_rate, trained.output_stride) == (6, 16)
    np.testing.assert_array_equal(trained.labels, segment_photo(photo, MODEL, 6, 16, size).labels)


def test_the_backbone_runs_once_a_stride_and_the_head_18_times(new_photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    settings = []
    encode, decode = Segmenter.encode, Segmenter.decode

    def counted_encode(self: Segmenter, *args: object) -> object:
        calls["encode"] += 1
        return encode(self, *args)  # type: ignore[arg-type]

    def counted_decode(self: Segmenter, *args: object) -> Segmentation:
        result = decode(self, *args)  # type: ignore[arg-type]
        settings.append((result.atrous_rate, result.output_stride))
        return result

    monkeypatch.setattr(Segmenter, "encode", counted_encode)
    monkeypatch.setattr(Segmenter, "decode", counted_decode)
    pages = [answer["html"][""] for answer in asked(grid.show, {"path": new_photo}, MODEL)]
    assert calls["encode"] == 3
    assert sorted(settings) == sorted((rate, stride) for rate in (1, 2, 3, 6, 12, 18) for stride in (8, 16, 32))
    assert [page.count("pending") for page in pages] == [12, 6, 0]
    assert [answer["html"][""] for answer in asked(grid.show, {"path": new_photo}, MODEL)] == pages[-1:]
    assert len(settings) == 18


@pytest.mark.parametrize("trained", [1, 4, 5, 9, 64])
def test_the_rate_that_weights_were_trained_at_is_in_the_grid(trained: int) -> None:
    rates = grid.rates(replace(registry.card(MODEL), atrous_rate=trained))
    assert trained in rates
    assert len(set(rates)) == len(grid.RATES)
    assert rates == tuple(sorted(rates))


def test_the_page_says_what_the_cells_are(photo: str) -> None:
    page = shown(grid.show, {"path": photo}, MODEL)[""]
    cells = re.findall(r'<label class="cell ([a-z-]*)".*?value="(\d+)-(\d+)"(.*?)</label>', page, re.DOTALL)
    assert len(cells) == 18
    trained = [(rate, stride) for kind, rate, stride, _ in cells if kind == "trained"]
    assert trained == [("6", "16")]
    same_field = {(int(rate), int(stride)) for kind, rate, stride, _ in cells if kind == "same-field"}
    assert same_field == {(3, 32), (12, 8)}
    size = cache.display(photo).photo.size
    features = cache.features(photo, MODEL, 8)
    here, there = (
        cache.segmenter(MODEL).decode(features if stride == 8 else cache.features(photo, MODEL, stride), rate, size)
        for rate, stride in ((18, 8), (6, 16))
    )
    text = next(text for _, rate, stride, text in cells if (rate, stride) == ("18", "8"))
    assert f"<b>{np.count_nonzero(here.labels != there.labels) / here.labels.size:.1%}</b> differ" in text


def result_of(labels: list[list[int]]) -> Segmentation:
    array = np.array(labels, dtype=np.uint8)
    return Segmentation(array, registry.card(MODEL).class_list, MODEL, 6, 16, (32, 32), "float32", {}, {})


def test_changes_are_counted_by_pair_largest_first() -> None:
    trained = result_of([[0, 0, 8, 8], [0, 0, 8, 15]])
    now = result_of([[0, 0, 0, 0], [0, 8, 8, 15]])
    assert grid.changes(trained, now) == {("cat", "background"): 2 / 8, ("background", "cat"): 1 / 8}
    assert grid.changes(trained, trained) == {}


@pytest.mark.parametrize("model", ["fcn_mobilenetv2", "unknown", "<b>", None, ["deeplabv3_mobilenetv2"]])
def test_a_network_without_an_aspp_is_answered_with_a_sentence(photo: str, model: str) -> None:
    assert "no network with an ASPP" in shown(grid.show, {"path": photo}, model)["problem"]


def test_a_bad_photo_is_answered_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no photo")
    assert "problem" in shown(grid.show, {"path": str(tmp_path / "bad.jpg")}, MODEL)


def test_a_large_photo_is_shown_small_and_is_no_part_of_the_answer(tmp_path: Path) -> None:
    Image.open(EXAMPLES / "cat.jpg").resize((3000, 2000)).save(tmp_path / "large.jpg")
    full = shown(grid.show, {"path": str(tmp_path / "large.jpg")}, MODEL)[""]
    file = re.search(r'data-photo="([^"]*)"', full)
    assert file is not None
    assert max(Image.open(file[1]).size) == cache.DISPLAY_SIDE
    maps = [
        Image.open(io.BytesIO(base64.b64decode(data)))
        for data in re.findall(r'data-labels="data:image/png;base64,([^"]*)"', full)
    ]
    assert len(maps) == 2 * len(grid.RATES) * len(grid.STRIDES)  # each label map, and where it differs
    assert all(max(image.size) == grid.SIDE for image in maps)
    assert "jpeg" not in full


def test_the_sheet_has_all_cells(photo: str, tmp_path: Path) -> None:
    grid.write_sheet(photo, tmp_path / "rates.png", MODEL)
    drawn = np.asarray(Image.open(tmp_path / "rates.png"))
    features = cache.features(photo, MODEL, 8)
    size = cache.display(photo).photo.size
    labels = cache.segmenter(MODEL).decode(features, 18, size).labels
    cell = np.asarray(overlay(cache.display(photo).photo, labels))
    height, width = cell.shape[:2]
    corner = drawn[-height - 120 :, -width - 60 :]
    found = np.lib.stride_tricks.sliding_window_view(corner[:, :, 0], (height, width))
    rows, columns = np.nonzero((found[:, :, 0, 0] == cell[0, 0, 0]) & (found[:, :, -1, -1] == cell[-1, -1, 0]))
    places = zip(rows, columns, strict=True)
    assert any(np.array_equal(corner[row : row + height, left : left + width], cell) for row, left in places)
