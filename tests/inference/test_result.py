"""What a result can do: masks, overlays, files, probabilities; and several photos at once."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segmodels
from segmodels import Segmentation, Segmenter
from segmodels.labels import PALETTE
from segmodels.models import registry

from ..conftest import EXAMPLES


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return segmodels.load(registry.DEFAULT_MODEL)


@pytest.fixture(scope="module")
def result(segmenter: Segmenter, cat: Image.Image) -> Segmentation:
    return segmenter(cat)


def test_a_list_of_photos_gives_a_list_of_results(
    segmenter: Segmenter, cat: Image.Image, astronaut: Image.Image, result: Segmentation
) -> None:
    photos: list[Image.Image | np.ndarray] = [cat, np.asarray(astronaut)]
    for several in (photos, tuple(photos)):
        first, second = segmenter(several, atrous_rate=6)
        assert (first.labels == result.labels).all()
        assert (second.labels == segmenter(astronaut).labels).all()
    assert segmenter([]) == []


def test_a_photo_that_is_none_is_refused_before_any_is_segmented(
    segmenter: Segmenter, cat: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmenter, "encode", lambda *arguments: pytest.fail("a photo was looked at"))
    with pytest.raises(ValueError, match="uint8"):
        segmenter([cat, np.zeros((5, 5))])  # type: ignore[list-item]


def test_a_mask_is_where_the_class_was_found(result: Segmentation) -> None:
    assert result.mask("cat").mean() == pytest.approx(result.shares["cat"])
    assert (result.mask("cat") == (result.labels == 8)).all()
    assert not result.mask("sheep").any()
    with pytest.raises(ValueError, match="no class called 'Cat'; there are background, aeroplane"):
        result.mask("Cat")


def test_an_overlay_has_the_colours_over_the_photo(result: Segmentation, cat: Image.Image) -> None:
    full = np.asarray(result.overlay(cat, 1))
    assert (full[result.mask("cat")] == PALETTE[8]).all()
    background = result.mask("background")
    assert (full[background] == np.asarray(cat)[background]).all()
    assert (np.asarray(result.overlay(np.asarray(cat))) == np.asarray(result.overlay(cat))).all()
    with pytest.raises(ValueError, match="451 x 300 pixels, and the photo has 64 x 48"):
        result.overlay(cat.resize((64, 48)))


def test_a_result_is_saved(result: Segmentation, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    files = result.save(folder)
    assert sorted(file.name for file in folder.iterdir()) == ["photo_labels.png", "photo_report.json"]
    assert (np.asarray(Image.open(files["labels"])) == result.labels).all()
    report = json.loads(files["report"].read_text())
    assert report["model"] == registry.DEFAULT_MODEL
    assert report["outputs"] == {kind: str(file) for kind, file in files.items()}


def test_a_result_is_saved_with_its_photo_under_the_photos_name(result: Segmentation, tmp_path: Path) -> None:
    photo = Image.open(EXAMPLES / "cat.jpg")
    files = result.save(tmp_path, photo)
    assert {file.name for file in files.values()} == {
        f"cat_{end}" for end in ("labels.png", "report.json", "overlay.png", "figure.png")
    }
    assert (np.asarray(Image.open(files["overlay"])) == np.asarray(result.overlay(photo))).all()
    assert Image.open(files["figure"]).width > 400
    assert result.save(tmp_path, photo, "mine")["labels"] == tmp_path / "mine_labels.png"
    with pytest.raises(ValueError, match="pixels, and the photo has"):
        result.save(tmp_path / "none", photo.resize((64, 48)))
    assert not (tmp_path / "none").exists()


def test_probabilities_are_there_if_asked_for(segmenter: Segmenter, cat: Image.Image, result: Segmentation) -> None:
    assert result.probabilities is None
    asked = segmenter(cat, probabilities=True)
    likely = asked.probabilities
    assert likely is not None
    assert likely.shape == (21, *asked.working_size[::-1])
    assert likely.dtype == np.float32
    assert np.allclose(likely.sum(0), 1, atol=1e-5)
    seen = segmenter.decode(segmenter.encode(cat), size=asked.working_size).labels
    assert (likely.argmax(0) == seen).mean() > 0.99
