"""Results for other programs: grey label maps that all libraries read alike, and COCO's JSON that its API reads."""

import json
from pathlib import Path

import cv2
import imageio.v3 as imageio
import numpy as np
import pytest
import skimage.io
from PIL import Image
from pycocotools.coco import COCO

from segmodels.batch.local_engine import photos_in
from segmodels.cli import main
from segmodels.labels import VOC_CLASSES
from segmodels.models import registry

from ..cli.test_cli import fails
from ..conftest import EXAMPLES

MODEL = registry.compact_models()[0]
CAT = str(EXAMPLES / "cat.jpg")


def test_grey_label_maps_and_coco_s_json_say_the_same_as_the_palette(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = tmp_path / "out", tmp_path / "found.json"
    options = ["segment", CAT, "--model", MODEL, "--out", str(out), "--pictures", "labels"]
    main(options)
    labels = np.asarray(Image.open(out / "cat_labels.png"))
    assert len(np.unique(labels)) > 1
    main([*options, "--grey", "--coco", str(file)])
    written = str(out / "cat_labels.png")
    assert Image.open(written).mode == "L"
    for read in (
        lambda: cv2.imread(written, cv2.IMREAD_UNCHANGED),
        lambda: skimage.io.imread(written),
        lambda: imageio.imread(written),
    ):
        assert (np.asarray(read()) == labels).all()
    capsys.readouterr()
    found = COCO(str(file))
    (image,) = found.loadImgs(found.getImgIds())
    assert (image["file_name"], image["width"], image["height"]) == ("cat.jpg", *labels.shape[::-1])
    names = {category["id"]: category["name"] for category in found.loadCats(found.getCatIds())}
    assert set(names.values()) == set(VOC_CLASSES) - {"background"}
    shapes = found.loadAnns(found.getAnnIds())
    assert len(shapes) == len(np.unique(labels)) - 1
    for shape in shapes:
        mask = found.annToMask(shape)
        assert (mask == (labels == VOC_CLASSES.index(names[shape["category_id"]]))).all()
        assert shape["area"] == mask.sum()
        left, top, width, height = shape["bbox"]
        assert mask[top : top + height, left : left + width].sum() == mask.sum()
    again = json.loads(file.read_text())
    main([*options, "--grey", "--coco", str(file)])  # what is done is not done again, and is in the file all the same
    assert json.loads(file.read_text()) == again
    capsys.readouterr()
    options[-1] = "overlay"
    assert "leave labels among the --pictures" in fails(capsys, *options, "--coco", str(file))


def test_photos_of_a_folder_end_in_anything_and_are_not_hidden(tmp_path: Path) -> None:
    for name in ("a.JPG", "b.jfif", "c.hif", "d.TIF", "._a.JPG", ".e.png", "f.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in photos_in([tmp_path])] == ["a.JPG", "b.jfif", "c.hif", "d.TIF"]
