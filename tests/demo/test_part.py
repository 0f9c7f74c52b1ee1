"""The part of a photo that is in view, and the files of several photos."""

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import segmodels
from demo.components import markup
from demo.segment import part as part_of_photo
from demo.segment.part import part
from demo.segment.result_files import own_stems, write_all
from demo.segment.tab import answer
from segmodels.labels import VOC_CLASSES

from ..conftest import EXAMPLES

MODEL = "fcn_mobilenetv2"
SIZE = (1503, 1000)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cat, larger than the page shows photos."""
    file = tmp_path_factory.mktemp("photos") / "large.png"
    Image.open(EXAMPLES / "cat.jpg").resize(SIZE).save(file)
    return file


def picture(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")


def question(file: Path, box: Any) -> dict[str, Any]:
    return {"photo": {"path": str(file)}, "model": MODEL, "rate": 6, "stride": 16, "part": box}


def labels_of(file: Path) -> NDArray[np.uint8]:
    return segmodels.load(MODEL)(Image.open(file)).labels


def test_a_part_has_the_photos_and_the_label_maps_own_pixels(large: Path) -> None:
    left, top, right, bottom = box = (700, 120, 1300, 520)
    found = answer(question(large, list(box)))
    assert found is not None
    assert found["box"] == [left / SIZE[0], top / SIZE[1], right / SIZE[0], bottom / SIZE[1]]
    labels = np.asarray(picture(found["labels"]))[..., 0]
    expected = labels_of(large)[top:bottom, left:right]
    assert len(np.unique(expected)) > 1
    assert (labels == expected).mean() > 0.999
    photo = np.asarray(picture(found["photo"]), dtype=float)
    own = np.asarray(Image.open(large).crop(box), dtype=float)
    assert np.abs(photo - own).mean() < 3


def test_a_part_that_is_larger_than_what_is_sent_is_made_smaller(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_of_photo, "SIDE", 100)
    found = part(question(large, [0, 0, *SIZE]))
    assert found is not None
    labels = picture(found["labels"])
    assert labels.size == picture(found["photo"]).size == (100, 67)
    assert set(np.unique(np.asarray(labels))) <= set(np.unique(labels_of(large)))


@pytest.mark.parametrize(
    "box",
    [None, [], [0, 0, 10], [10, 0, 10, 10], [-1, 0, 10, 10], [0, 0, SIZE[0] + 1, 10], ["a", 0, 1, 1], [1e400] * 4],
)
def test_what_is_no_part_of_the_photo_is_refused(large: Path, box: Any) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        answer(question(large, box))


def test_an_archive_has_the_results_of_all_photos_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    photos = [EXAMPLES / "cat.jpg", EXAMPLES / "coffee.jpg", tmp_path / "other" / "cat.jpg"]
    Image.open(EXAMPLES / "dogs.jpg").save(photos[2])
    write_all([str(photo) for photo in photos], tmp_path / "all.zip", MODEL, 6, 16, None, False)
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        for stem, photo in zip(("cat", "coffee", "cat-2"), photos, strict=True):
            labels = np.asarray(Image.open(archive.open(f"{stem}_labels.png")))
            assert (labels == labels_of(photo)).mean() > 0.999
        assert len(archive.namelist()) == 9


def test_no_two_files_in_an_archive_have_one_name() -> None:
    paths = ["/a/cat.jpg", "/b/cat.png", "/c/cat-2.jpg", "/d/cat.jpg"]
    assert len(set(own_stems(paths))) == len(paths)


def test_too_many_photos_for_one_archive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="25 photos"):
        write_all(["cat.jpg"] * 25, tmp_path / "all.zip", MODEL, 6, 16, None, False)


def test_class_names_are_written_as_people_write_them() -> None:
    names = set(map(markup.readable, VOC_CLASSES))
    assert {"dining table", "potted plant", "TV monitor", "person"} <= names
    assert len(names) == len(VOC_CLASSES)
