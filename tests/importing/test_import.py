"""What tools export, as small as it gets, imported and trained on: what lies in the label maps is known beforehand."""

import base64
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from segmodels.cli import main
from segmodels.label_files import read_class_list
from segmodels.training.data import SegmentationFolder

from .test_shapes import brush_code

SIZE = (60, 40)
SQUARE = [10, 8, 30, 8, 30, 28, 10, 28]
"""A polygon of 20 x 20 pixels."""


def photo(path: Path, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize(size).convert("RGB").save(path)
    return path


def truth(*values: int) -> np.ndarray:
    """(40, 60): the first value, and the others in squares beside each other."""
    labels = np.full(SIZE[::-1], values[0], dtype=np.uint8)
    for place, value in enumerate(values[1:]):
        labels[5:20, 5 + 15 * place : 15 + 15 * place] = value
    return labels


def save(path: Path, labels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)
    return path


def imported(source: Path, *options: str) -> SegmentationFolder:
    data = source.parent / "data"
    main(["import", str(source), str(data), *options])
    return SegmentationFolder(data, "train")


def refused(capsys: pytest.CaptureFixture[str], source: Path, *options: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["import", str(source), str(source.parent / "data"), *options])
    assert caught.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


# --- Masks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_black_and_white_masks_ask_what_white_is(source: Path, depth: type, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(5):
        photo(source / "images" / f"{index}.JPG")
        save(source / "masks" / f"{index}.png", truth(0, 255).astype(depth))
    assert "what do the values 0 (93.8%), 255 (6.2%) of the label maps mean?" in refused(capsys, source)
    assert not (source.parent / "data").exists()
    folder = imported(source, "--map", "255=cat")
    assert folder.class_list.names == ("background", "cat")
    assert (folder[0][1] == truth(0, 1)).all()
    assert len(folder) == 4
    assert len(SegmentationFolder(folder.root, "val")) == 1
    assert "0 was not named and is taken for background" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("photos", "labels"),
    [
        ("a{}.jpg", "a{}_mask.png"),
        ("JPEGImages/a{}.jpg", "SegmentationClass/a{}.png"),
        ("images/train/a{}.jpg", "annotations/train/a{}.png"),
        ("train/a{}.png", "trainannot/a{}.png"),
        ("leftImg8bit/train/x/a{}_leftImg8bit.png", "gtFine/train/x/a{}_gtFine_labelIds.png"),
        ("a{}_RGB.tif", "a{}_label.tif"),
        ("imgs/a{}.JPG", "gt/a{}_L.PNG"),
    ],
)
def test_folders_and_endings_are_found(source: Path, photos: str, labels: str) -> None:
    for index in range(2):
        photo(source / photos.format(index))
        save(source / labels.format(index), truth(0, 1, 2))
    photo(source / ".hidden" / "b.jpg")
    folder = imported(source, "--format", "masks", "--map", "0=sky,1=road,2=car")
    assert folder.class_list.names == ("sky", "road", "car")
    assert sorted(folder.stems) == ["a0", "a1"]
    assert (folder[1][1] == truth(0, 1, 2)).all()


def test_values_become_one_class_or_void(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(source / "images" / "a.png")
    save(source / "labels" / "a.png", truth(0, 7, 9, 11))
    folder = imported(source, "--map", "7=cat,9=cat,0=sky", "--void", "11")
    assert folder.class_list.names == ("sky", "cat")
    assert (folder[0][1] == truth(0, 1, 1, 255)).all()


def test_names_come_from_a_list_and_0_may_be_void(source: Path) -> None:
    photo(source / "images" / "a.png")
    save(source / "labels" / "a.png", truth(0, 1, 2, 3))
    (source / "classes.txt").write_text("cat\ndog\nhorse\n")
    folder = imported(source, "--void", "0")
    assert folder.class_list.names == ("cat", "dog", "horse")
    assert (folder[0][1] == truth(255, 0, 1, 2)).all()


@pytest.mark.parametrize("palette", [False, True])
def test_cvat_s_masks_go_by_the_colours_of_its_list(source: Path, palette: bool) -> None:
    """Black is a class, two colours are one, ``void`` is none. The order in a palette says nothing."""
    colours = {0: (0, 0, 0), 1: (250, 50, 83), 2: (10, 20, 30), 3: (200, 200, 10)}
    lines = "# label:color_rgb:parts:actions\nroad:0,0,0::\ncar:250,50,83::\nvoid:10,20,30::\ncar:200,200,10::\n"
    (source / "labelmap.txt").write_text(lines)
    table = np.array(list(colours.values()), dtype=np.uint8)
    for index in range(2):
        photo(source / "JPEGImages" / f"{index}.jpg")
        path = save(source / "SegmentationClass" / f"{index}.png", table[truth(0, 1, 2, 3)])
        save(source / "SegmentationObject" / f"{index}.png", truth(0, 1, 2, 3))
        if palette:
            image = Image.open(path).quantize(4, dither=Image.Dither.NONE)
            image.save(path)
    folder = imported(source)
    assert folder.class_list.names == ("road", "car")
    assert folder.class_list.colours[0] == (0, 0, 0)
    assert (folder[0][1] == truth(0, 1, 255, 1)).all()


def test_colours_without_a_name_are_asked_about_and_fringes_are_void(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], dtype=np.uint8)
    photo(source / "images" / "a.jpg")
    colours = table[truth(0, 1, 2)]
    colours[39, 59] = (127, 0, 0)
    save(source / "masks" / "a.png", colours)
    assert "what do the colours (0, 0, 0) (87.5%)" in refused(capsys, source)
    folder = imported(source, "--map", "#000000=sky,255 0 0=road,#00ff00=car")
    expected = truth(0, 1, 2)
    expected[39, 59] = 255
    assert (folder[0][1] == expected).all()
    assert "they are void (1, such as the label maps)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("preset", "given", "expected", "names"),
    [
        ("cityscapes", (7, 8, 26, 3), (0, 1, 2, 255), ("road", "sidewalk", "car")),
        ("ade20k", (0, 1, 150), (255, 0, 1), ("wall", "flag")),
        ("loveda", (0, 1, 2, 7), (255, 0, 1, 2), ("background", "building", "agriculture")),
        ("oxford-pets", (2, 1, 3), (0, 1, 255), ("background", "pet")),
        ("coco-stuff", (0, 181, 255), (0, 1, 255), ("person", "wood")),
        ("coco-stuff-10k", (0, 1, 182), (255, 0, 1), ("person", "wood")),
        ("voc", (0, 15, 255), (0, 1, 255), ("background", "person")),
    ],
)
def test_published_data_sets_say_what_their_values_mean(
    source: Path, preset: str, given: tuple[int, ...], expected: tuple[int, ...], names: tuple[str, ...]
) -> None:
    photo(source / "images" / "a.png")
    save(source / "labels" / f"a{'_gtFine_labelIds' if preset == 'cityscapes' else ''}.png", truth(*given))
    folder = imported(source, "--format", preset)
    assert folder.class_list.names == names
    assert (folder[0][1] == truth(*expected)).all()


def test_potsdam_is_read_by_its_colours(source: Path) -> None:
    table = np.array([[255, 255, 255], [0, 0, 255], [255, 0, 0]], dtype=np.uint8)
    photo(source / "top_1_RGB.tif")
    save(source / "top_1_label.tif", table[truth(0, 1, 2)])
    folder = imported(source, "--format", "potsdam")
    assert folder.class_list.names == ("impervious surfaces", "building", "clutter")
    assert (folder[0][1] == truth(0, 1, 2)).all()


def test_roboflow_s_masks_come_with_their_table(source: Path) -> None:
    photo(source / "train" / "a.jpg")
    save(source / "train" / "a_mask.png", truth(0, 1))
    (source / "train" / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, cat\n2, dog\n")
    folder = imported(source)
    assert folder.class_list.names == ("background", "cat")


def test_nothing_is_written_into_the_source_or_over_anything(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(source / "images" / "a.png")
    save(source / "labels" / "a.png", truth(0, 1))
    with pytest.raises(SystemExit):
        main(["import", str(source), str(source / "data"), "--map", "0=a,1=b"])
    assert "lies in what is imported" in capsys.readouterr().err
    (source.parent / "data").mkdir()
    (source.parent / "data" / "mine").touch()
    assert "is there already" in refused(capsys, source, "--map", "0=a,1=b")
    assert sorted(path.name for path in source.rglob("*")) == ["a.png", "a.png", "images", "labels"]


def _archive(source: Path) -> Path:
    save(source / "SegmentationClass" / "a.png", truth(0, 1))
    return Path(shutil.make_archive(str(source.parent / "export"), "zip", source))


def _labels_alone(source: Path) -> Path:
    save(source / "SegmentationClass" / "a.png", truth(0, 1))
    return source


def _black_and_white(source: Path) -> Path:
    photo(source / "images" / "a.png")
    save(source / "masks" / "a.png", truth(0, 255))
    return source


def _more_than_listed(source: Path) -> Path:
    photo(source / "images" / "a.png")
    save(source / "masks" / "a.png", truth(0, 1, 2))
    (source / "classes.txt").write_text("sky\nroad\n")
    return source


def _photos_beside(source: Path) -> Path:
    photo(source / "photos" / "a.png")
    (source / "json").mkdir()
    labelme_json(source / "json" / "a.json", [shape("pot", "rectangle", [[1, 1], [9, 9]])], "../photos/a.png")
    return source / "json"


@pytest.mark.parametrize(
    ("prepare", "options", "said"),
    [
        (_archive, "", "is an archive: unpack it"),
        (lambda source: source, "", "is empty"),
        (lambda source: photo(source / "a.jpg"), "", "is a photo: name the folder"),
        (lambda source: photo(source / "a.jpg").parent, "", "holds photos (1) and no label map"),
        (lambda source: photo(source / "JPEGImages" / "a.jpg").parent, "", "seems to be the folder above"),
        (lambda source: _labels_alone(source) / "SegmentationClass", "", "seems to be the folder above"),
        (_labels_alone, "", "label maps (1) and no photo: in CVAT tick *Save images*"),
        (_black_and_white, "--map 254=plant", "no label map has the value 254; they hold 0, 255"),
        (_more_than_listed, "", "names 0 sky, 1 road, but the label maps also hold 2 (6.2%)"),
        (
            _photos_beside,
            "",
            "whose photo lies outside SOURCE: import the folder above (1, such as a.json: ../photos/a.png)",
        ),
    ],
)
def test_what_cannot_be_imported_is_explained(
    source: Path, capsys: pytest.CaptureFixture[str], prepare: Callable[[Path], Path], options: str, said: str
) -> None:
    assert said in refused(capsys, prepare(source), *options.split())
    assert not (source.parent / "data").exists()


def test_after_photos_that_were_missing_the_same_command_works(source: Path) -> None:
    annotations = [{"category_id": 90, "segmentation": [[0, 0, 9, 0, 9, 9, 0, 9]], "area": 81}]
    coco_json(source / "annotations" / "instances_default.json", annotations)
    command = ["import", str(source), str(source.parent / "data"), "--rest", "background"]
    with pytest.raises(SystemExit):
        main(command)
    photo(source / "images" / "a.png")
    main(command)
    assert (source.parent / "data" / "labels" / "a.png").is_file()


def test_a_result_that_cannot_be_trained_on_is_no_success(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(5):
        photo(source / "images" / f"{index}.png")
        save(source / "labels" / f"{index}.png", truth(0, 1) if index < 4 else truth(0))
    assert "2 to 255 classes, not 1" in refused(capsys, source, "--map", "0=a", "--void", "1")
    assert "is not ready" in refused(capsys, source, "--map", "0=a,1=b")  # the one to validate on shows one class


# --- What is left out is said ----------------------------------------------------------------------------------------


def write_masks(source: Path, count: int, folder: str = "") -> None:
    """CVAT's export of some photos: two classes, ``leaf`` and ``pot``, beside the background."""
    colours = np.array([(0, 0, 0), (250, 50, 83), (10, 20, 30)], dtype=np.uint8)
    root = source / folder
    for index in range(count):
        Image.new("RGB", SIZE, (index, 90, 40)).save(photo(root / "JPEGImages" / f"{index}.png"))
        save(root / "SegmentationClass" / f"{index}.png", colours[truth(0, 1, 2)])
    (root / "labelmap.txt").write_text("background:0,0,0::\nleaf:250,50,83::\npot:10,20,30::\n")


def write_lists(source: Path, **lists: str) -> None:
    """CVAT's lists of photos: a character a photo."""
    folder = source / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    for name, photos in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(photos))


@pytest.mark.parametrize(
    ("lists", "train", "val", "said"),
    [
        ({"Train": "0123", "Validation": "45"}, "0123", "45", ""),
        ({"Train": "0123", "Val": "45"}, "0123", "45", ""),
        ({"train": "0123", "Validation": "45"}, "0123", "45", ""),
        ({"train": "012", "val": "45"}, "012", "45", "photos in no list called train, val or test (1, such as 3.png)"),
        ({"train": "0123", "val": "45", "trainval": "012345"}, "0123", "45", ""),
        ({"default": "012345"}, "01235", "4", "default.txt is called neither train, val nor test"),
        ({"Train": "0123", "Held": "45"}, "0123", "", "Held.txt is called neither train, val nor test"),
        ({}, "01235", "4", "Every fifth photo is for validation"),
    ],
)
def test_lists_of_a_split_are_known_by_any_usual_name(
    source: Path, capsys: pytest.CaptureFixture[str], lists: dict[str, str], train: str, val: str, said: str
) -> None:
    write_masks(source, 6)
    write_lists(source, **lists)
    folder = imported(source)
    assert "".join(folder.stems) == train
    there = folder.root / "val.txt"
    assert (there.read_text().split() if there.is_file() else []) == list(val)
    report = capsys.readouterr().out
    assert said in report
    assert ("neither train" in report) == ("neither" in said)
    assert "Imported from CVAT masks (labelmap.txt)" in report


def test_coco_s_files_are_known_as_splits_by_any_usual_name(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes: list[dict[str, object]] = [{"category_id": 90, "segmentation": [SQUARE]}]
    for index, split in enumerate(("Train", "Validation", "Held")):
        photo(source / "images" / split / f"{index}.png")
        images = [{"id": 5, "file_name": f"{index}.png", "width": SIZE[0], "height": SIZE[1]}]
        coco_json(source / "annotations" / f"instances_{split}.json", shapes, images=images)
    folder = imported(source, "--rest", "background")
    assert sorted(folder.stems) == ["0", "2"]
    assert SegmentationFolder(folder.root, "val").stems == ["1"]
    assert "does not say the split are for training (1)" in capsys.readouterr().out


def test_names_and_options_that_nothing_has_are_said(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_masks(source, 6)
    imported(source, "--map", "leaves=leaf", "--void", "pots,9", "--rest", "void")
    said = capsys.readouterr().out
    assert "No label is called 'leaves' or 'pots'; there are background, leaf, pot." in said
    assert "No label map has the value 9." in said
    assert "--rest does not apply to masks" in said


def test_labelme_s_names_and_options_that_nothing_has_are_said(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(source / "a.png")
    shapes = [shape("pot", "rectangle", [[10, 10], [20, 20]]), shape("flower", "rectangle", [[30, 10], [40, 20]])]
    labelme_json(source / "a.json", shapes)
    (source.parent / "list.txt").write_text("pot 1 2 3")
    imported(source, "--map", "pots=pot", "--void", "flower,flowers", "--colours", str(source.parent / "list.txt"))
    said = capsys.readouterr().out
    assert "No label is called 'pots' or 'flowers'; there are flower, pot." in said
    assert "--colours does not apply to labelme" in said


def test_what_is_not_of_the_tool_is_named(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """labelme's files, a photo that has none, an export of CVAT's and one of COCO's, all below one folder."""
    for name in ("a", "b"):
        photo(source / f"{name}.png")
    labelme_json(source / "a.json", [shape("pot", "rectangle", [[10, 10], [20, 20]])])
    write_masks(source, 3, "cvat")
    coco_json(source / "instances.json", [])
    imported(source)
    said = capsys.readouterr().out
    assert "pictures that no JSON of labelme names (1, such as b.png)" in said
    assert "pictures in cvat/ that no JSON of labelme names (6, such as 0.png)" in said
    assert "JSON of coco was left alone (files: 1)" in said


# --- COCO -----------------------------------------------------------------------------------------------------------


def coco_json(file: Path, annotations: list[dict[str, object]], **more: object) -> Path:
    content = {
        "images": [{"id": 5, "file_name": "a.png", "width": SIZE[0], "height": SIZE[1]}],
        "categories": [{"id": 90, "name": "dog"}, {"id": 0, "name": "cat"}, {"id": 7, "name": "unused"}],
        "annotations": [{"id": index, "image_id": 5, **one} for index, one in enumerate(annotations)],
        **more,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def test_coco_s_shapes_are_what_its_api_decodes(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(source / "images" / "a.png")
    crowd = np.zeros(SIZE[::-1], dtype=np.uint8)
    crowd[30:36, 40:55] = 1
    code = coco.encode(np.asfortranarray(crowd))
    small, large = [14.0, 12, 20, 12, 20, 18, 14, 18], [float(value) for value in SQUARE]
    annotations: list[dict[str, object]] = [
        {"category_id": 0, "segmentation": [small], "iscrowd": 0},
        {"category_id": 90, "segmentation": [large], "iscrowd": 0},
        {"category_id": 0, "segmentation": {"size": [40, 60], "counts": code["counts"].decode()}, "iscrowd": 1},
        {"category_id": 90, "segmentation": [], "bbox": [0, 0, 3, 3], "iscrowd": 0},
    ]
    coco_json(source / "annotations" / "instances.json", annotations)
    assert "say what pixels are that no shape covers" in refused(capsys, source)
    folder = imported(source, "--rest", "background")
    said = capsys.readouterr().out
    assert "categories without a shape (1, such as unused)" in said
    assert "there is a box and no outline" in said
    assert folder.class_list.names == ("background", "dog", "cat")
    expected = np.zeros(SIZE[::-1], dtype=np.uint8)
    for value, polygon in ((1, large), (2, small)):  # the small one lies on the large one
        expected[coco.decode(coco.frPyObjects([polygon], 40, 60))[..., 0] == 1] = value
    expected[crowd == 1] = 2
    assert (folder[0][1] == expected).all()
    assert (folder[0][1] == 1).sum() == 400 - 36


def test_what_no_shape_covers_may_be_void(source: Path) -> None:
    photo(source / "a.png")
    shapes: list[dict[str, object]] = [
        {"category_id": 90, "segmentation": [SQUARE]},
        {"category_id": 0, "segmentation": [[40, 5, 50, 5, 50, 20, 40, 20]]},
    ]
    folder = imported(coco_json(source / "x.json", shapes), "--rest", "void")
    assert folder.class_list.names == ("dog", "cat")
    assert set(np.unique(folder[0][1])) == {0, 1, 255}


def test_coco_s_panoptic_numbers_are_three_bytes(source: Path) -> None:
    photo(source / "val" / "a.png")
    numbers = np.array([0, 70000, 300], dtype=np.int64)[truth(0, 1, 2)]
    colours = np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16], axis=-1).astype(np.uint8)
    save(source / "panoptic_val" / "a.png", colours)
    segments = [{"id": 70000, "category_id": 90}, {"id": 300, "category_id": 0}]
    coco_json(source / "panoptic_val.json", [{"file_name": "a.png", "segments_info": segments}])
    folder = imported(source)
    assert folder.class_list.names == ("dog", "cat")
    assert (folder[0][1] == truth(255, 0, 1)).all()


# --- Other tools ----------------------------------------------------------------------------------------------------


def labelme_json(path: Path, shapes: list[dict[str, object]], image: str | None = None, **more: object) -> None:
    content: dict[str, object] = {
        "version": "6.3.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": image or f"{path.stem}.png",
        "imageData": None,
    }
    path.write_text(json.dumps(content | {"imageHeight": SIZE[1], "imageWidth": SIZE[0]} | more))


def shape(label: str, kind: str, points: list[list[float]], **more: object) -> dict[str, object]:
    return {"label": label, "shape_type": kind, "points": points, "group_id": None, "flags": {}, **more}


def test_labelme_s_shapes(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(source / "a.png")
    buffer = io.BytesIO()
    Image.fromarray(np.eye(5, dtype=bool)).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    shapes = [
        shape("zebra", "rectangle", [[10, 10], [20, 20]]),
        shape("cat", "mask", [[30, 5], [34, 9]], mask=text),
        shape("cat", "circle", [[50, 30], [50, 34]]),
        shape("__ignore__", "polygon", [[12, 12], [15, 12], [15, 15], [12, 15]]),
        shape("zebra", "line", [[0, 36], [59, 36]]),
    ]
    labelme_json(source / "a.json", shapes)
    photo(source / "b.png")
    labelme_json(source / "b.json", [shape("ape", "polygon", [[1, 1], [9, 1], [9, 9], [1, 9]])])
    assert "lines and points (1) cover no pixels by themselves" in refused(capsys, source)
    folder = imported(source, "--width", "3")
    assert folder.class_list.names == ("background", "ape", "cat", "zebra")
    labels = folder[folder.stems.index("a")][1]
    assert (labels[5:10, 30:35] == 2 * np.eye(5)).all()
    assert (labels[10:21, 10:21] == 3).sum() == 11 * 11 - 16
    assert (labels[12:16, 12:16] == 255).all()
    assert (labels[35:38] == 3).all()
    assert (labels[26:35, 46:55] == 2).sum() == pytest.approx(np.pi * 4.5**2, abs=8)


def test_labelme_s_shapes_lie_on_the_photo_as_it_is_shown(source: Path) -> None:
    """On its head, so that no size tells; the photo itself is in the file alone."""
    exif = Image.Exif()
    exif[0x0112] = 3
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(SIZE).convert("RGB").save(buffer, "JPEG", exif=exif)
    shapes = [shape("cat", "rectangle", [[10, 8], [29, 27]])]
    labelme_json(source / "a.json", shapes, "gone\\a.jpg", imageData=base64.b64encode(buffer.getvalue()).decode())
    folder = imported(source)
    labels = folder[0][1]
    assert (labels[8:28, 10:30] == 1).all()
    assert labels.sum() == 400


def label_studio_task(number: int, name: str, *annotations: tuple[str, list[dict[str, object]]]) -> dict[str, object]:
    return {
        "id": number,
        "data": {"image": f"/data/upload/1/0a1b2c3d-{name}"},
        "annotations": [{"completed_by": {"id": 1, "email": who}, "result": result} for who, result in annotations],
    }


def result(kind: str, label: str, turned: int = 0, **value: object) -> dict[str, object]:
    return {
        "type": kind,
        "original_width": SIZE[0],
        "original_height": SIZE[1],
        "image_rotation": turned,
        "value": {kind: [label], **value},
    }


def test_label_studio_s_results(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(source / "a.png")
    photo(source / "b.png")
    polygon = [[100 * x / 60, 100 * y / 40] for x, y in np.reshape(SQUARE, (-1, 2)).tolist()]
    pixels = np.zeros((40, 60, 4), dtype=np.uint8)
    pixels[30:35, 40:50] = 255
    drawn: list[dict[str, object]] = [
        result("polygonlabels", "dog", points=polygon),
        result("brushlabels", "cat", format="rle", rle=brush_code(pixels)),
        result("rectanglelabels", "cat", x=0, y=0, width=10, height=10, rotation=0),
        {"type": "choices", "value": {"choices": ["good"]}},
    ]
    turned = [result("rectanglelabels", "cat", 90, x=0, y=0, width=25, height=10, rotation=0)]
    tasks = [
        label_studio_task(1, "a.png", ("me@x", drawn), ("you@x", turned)),
        label_studio_task(2, "b.png", ("me@x", turned)),
    ]
    (source / "export.json").write_text(json.dumps(tasks))
    assert "2 annotations, by me@x, you@x: say whose" in refused(capsys, source)
    folder = imported(source, "--annotator", "me@x")
    assert "results of the kind choices, which cover no pixels (1," in capsys.readouterr().out
    assert folder.class_list.names == ("background", "cat", "dog")
    labels = folder[folder.stems.index("a")][1]
    assert (labels[8:28, 10:30] == 2).all()
    assert (labels[30:35, 40:50] == 1).all()
    assert (labels[:4, :6] == 1).all()
    assert np.bincount(labels.ravel()).tolist() == [2400 - 400 - 50 - 24, 74, 400]
    other = folder[folder.stems.index("b")][
        1
    ]  # drawn in the top left corner of the photo turned clockwise by 90 degrees
    assert (other[-10:, :6] == 1).all()
    assert other.sum() == 60


def test_yolo_s_polygons_and_its_background(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(source / "images" / "train" / "a.png")
    polygon = " ".join(f"{value / side}" for value, side in zip(SQUARE, SIZE * 4, strict=True))
    small = " ".join(f"{value / side}" for value, side in zip([14, 12, 20, 12, 20, 18, 14, 18], SIZE * 4, strict=True))
    (source / "labels" / "train").mkdir(parents=True)
    (source / "labels" / "train" / "a.txt").write_text(f"1 {small}\n0 {polygon}\n0 0.5 0.5 0.1 0.1\n")
    (source / "data.yaml").write_text("path: ../datasets/x\ntrain: images/train\nnames: [dog, cat]\n")
    folder = imported(source)
    assert "boxes, which are no outlines (1," in capsys.readouterr().out
    assert folder.class_list.names == ("dog", "cat", "background")
    assert np.bincount(folder[0][1].ravel()).tolist() == [400 - 36, 36, 2000]


def test_ultralytics_label_maps_go_by_their_mapping(source: Path) -> None:
    photo(source / "images" / "train" / "a.png")
    save(source / "masks" / "train" / "a.png", truth(0, 7, 8, 255))
    (source / "x.yaml").write_text(
        "train: images/train\nmasks_dir: masks\nnames:\n  0: road\n  1: car\nlabel_mapping:\n  -1: ignore_label\n  0: ignore_label\n"
        "  7: 0\n  8: 1\n"
    )
    folder = imported(source)
    assert folder.class_list.names == ("road", "car")
    assert (folder[0][1] == truth(255, 0, 1, 255)).all()


def test_cityscapes_polygons_are_drawn_in_their_order(source: Path) -> None:
    photo(source / "leftImg8bit" / "train" / "x" / "x_0_leftImg8bit.png")
    objects = [
        {"label": "road", "polygon": [[0, 20], [59, 20], [59, 39], [0, 39]]},
        {"label": "car", "polygon": [[10, 10], [19, 10], [19, 29], [10, 29]]},
        {"label": "cargroup", "polygon": [[30, 30], [34, 30], [34, 34], [30, 34]]},
        {"label": "license plate", "polygon": [[12, 12], [13, 12], [13, 13], [12, 13]]},
    ]
    path = source / "gtFine" / "train" / "x" / "x_0_gtFine_polygons.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"imgHeight": 40, "imgWidth": 60, "objects": objects}))
    folder = imported(source)
    assert folder.class_list.names == ("road", "car")
    labels = folder[0][1]
    assert (labels[10:30, 10:20] == 1).all()  # the plate is not drawn
    assert (labels[30:35, 30:35] == 1).all()
    assert (labels[0] == 255).all()
    assert read_class_list(folder.root / "classes.txt").colours == ((128, 64, 128), (0, 0, 142))
