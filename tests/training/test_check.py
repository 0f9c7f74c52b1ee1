"""Label maps that were believed and should not be: black and white, reordered palettes, photos on their heads."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from segmodels.cli import main
from segmodels.training.check import check
from segmodels.training.convert import convert
from segmodels.training.data import SegmentationFolder

from ..test_label_files import grey_png


def shapes() -> list[np.ndarray]:
    """Three label maps of the classes 0 to 2, of which each photo shows the edges."""
    maps = []
    for index in range(3):
        labels = np.zeros((48, 64), dtype=np.uint8)
        labels[4 : 20 + 4 * index, 6:30] = 1
        labels[30:44, 40 : 50 + 4 * index] = 2
        maps.append(labels)
    return maps


def folder(root: Path, classes: str | None, save: Callable[[np.ndarray, Path], object], maps: list[np.ndarray]) -> Path:
    """A data folder whose label maps are saved by ``save``."""
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True)
    grey = np.array([60, 200, 120], dtype=np.uint8)
    for index, labels in enumerate(maps):
        Image.fromarray(grey[np.minimum(labels, 2)]).convert("RGB").save(root / "images" / f"{index}.png")
        save(labels, root / "labels" / f"{index}.png")
    (root / "train.txt").write_text("".join(f"{index}\n" for index in range(len(maps))))
    if classes is not None:
        (root / "classes.txt").write_text(classes)
    return root


def as_colours(table: Mapping[int, tuple[int, int, int]]) -> Callable[[np.ndarray, Path], object]:
    colours = np.zeros((256, 3), dtype=np.uint8)
    for value, colour in table.items():
        colours[value] = colour
    return lambda labels, path: Image.fromarray(colours[labels]).save(path)


def as_palette(labels: np.ndarray, path: Path, colours: list[tuple[int, int, int]]) -> None:
    image = Image.fromarray(labels)
    image.putpalette([level for colour in colours for level in colour])
    image.save(path)


def problems(root: Path) -> str:
    return " ".join(check(root).problems)


def binary() -> list[np.ndarray]:
    return [np.minimum(labels, 1) for labels in shapes()]


BLACK_WHITE = {0: (0, 0, 0), 1: (255, 255, 255)}


@pytest.mark.parametrize("classes", ["background\nthing\n", "background 0 0 0\nthing\n"])
def test_black_and_white_masks_never_become_void(tmp_path: Path, classes: str) -> None:
    root = folder(tmp_path / "data", classes, as_colours(BLACK_WHITE), binary())
    before = {path: path.read_bytes() for path in (root / "labels").iterdir()}
    findings = check(root)
    assert len(findings.coloured) == 3
    with pytest.raises(ValueError, match="nothing was converted"):
        convert(root, findings.coloured, findings.classes)
    assert {path: path.read_bytes() for path in (root / "labels").iterdir()} == before
    assert sorted(path.name for path in root.iterdir()) == ["classes.txt", "images", "labels", "train.txt"]


def test_black_and_white_with_their_colours_become_classes_and_the_old_ones_stay(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", "background #000000\nthing #ffffff\n", as_colours(BLACK_WHITE), binary())
    before = {path.name: path.read_bytes() for path in (root / "labels").iterdir()}
    findings = check(root)
    kept = convert(root, findings.coloured, findings.classes)
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    assert not check(root).problems
    for index, labels in enumerate(binary()):
        assert (SegmentationFolder(root, "train").labels(index) == labels).all()


def test_masks_of_one_bit_are_classes(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", "background\nthing\n", lambda m, path: path.write_bytes(grey_png(m, 1)), binary())
    assert not check(root).problems
    assert (SegmentationFolder(root, "train").labels(0) == binary()[0]).all()


def test_masks_of_0_and_255_are_a_problem_with_its_cause(tmp_path: Path) -> None:
    root = folder(
        tmp_path / "data", "background\nthing\n", lambda m, path: Image.fromarray(m * 255).save(path), binary()
    )
    assert "hold 0 and 255 alone, and 255 is void" in problems(root)


def test_a_class_of_one_s_own_list_without_a_pixel_is_a_problem(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", "a\nb\nc\nd\n", lambda m, path: Image.fromarray(m).save(path), shapes())
    assert "without a pixel in train, which no network can learn: d" in problems(root)


@pytest.mark.parametrize(
    ("colours", "trusted"),
    [
        ([(0, 0, 0), (128, 0, 0), (0, 128, 0)], True),  # Pascal VOC's
        ([(0, 0, 0), (1, 1, 1), (2, 2, 2)], True),
        ([(0, 0, 0), (250, 50, 83), (10, 20, 30)], False),
    ],
)
def test_without_names_other_palettes_than_pascal_voc_s_are_a_problem(
    tmp_path: Path, colours: list[tuple[int, int, int]], trusted: bool
) -> None:
    root = folder(tmp_path / "data", None, lambda m, path: as_palette(m, path, colours), shapes())
    said = "There is no classes.txt"
    assert (said in problems(root)) is not trusted
    assert any(said in remark for remark in check(root).remarks) is trusted


def test_an_archive_in_place_of_a_folder_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    archive = Path(shutil.make_archive(str(tmp_path / "export"), "zip", tmp_path / "data"))
    with pytest.raises(FileNotFoundError, match="is an archive: unpack it"):
        check(archive)


def test_a_val_list_of_one_class_scores_nothing(tmp_path: Path) -> None:
    root = folder(
        tmp_path / "data", "a\nb\nc\n", lambda m, path: Image.fromarray(m).save(path), [*shapes(), 0 * shapes()[0]]
    )
    (root / "train.txt").write_text("0\n1\n2\n")
    (root / "val.txt").write_text("3\n")
    assert "val: every pixel is a" in problems(root)


def test_16_bit_maps_of_classes_are_read_and_numbers_of_objects_named(tmp_path: Path) -> None:
    root = folder(
        tmp_path / "data", "a\nb\nc\n", lambda m, path: Image.fromarray(m.astype(np.uint16)).save(path), shapes()
    )
    assert not check(root).problems
    Image.fromarray(shapes()[0].astype(np.uint16) + 500).save(root / "labels" / "0.png")
    assert "single objects" in problems(root)
    assert not check(root).coloured


VOC_COLOURS = {0: (0, 0, 0), 15: (192, 128, 128), 255: (224, 224, 192)}


@pytest.mark.parametrize("classes", [None, "background\n" + "".join(f"class {n}\n" for n in range(1, 21))])
@pytest.mark.parametrize("order", [(0, 255, 15), (15, 0, 255)])
def test_a_palette_that_an_optimiser_reordered_is_not_believed(
    tmp_path: Path, classes: str | None, order: tuple[int, ...]
) -> None:
    """oxipng and others pack 0, 15 and 255 to 0, 1 and 2 and give the palette another order, file by file."""

    def save(labels: np.ndarray, path: Path) -> None:
        meant = np.array([0, 15, 255], dtype=np.uint8)[labels]
        own = order if path.stem == "1" else (0, 255, 15)
        place = {value: index for index, value in enumerate(own)}
        packed = np.vectorize(place.__getitem__)(meant).astype(np.uint8)
        as_palette(packed, path, [VOC_COLOURS[value] for value in own])

    root = folder(tmp_path / "data", classes, save, shapes())
    found = check(root)
    assert any("palette" in problem or "hold colours" in problem for problem in found.problems)
    if classes is None:  # Pascal VOC's colours say what was meant
        convert(root, found.coloured, found.classes)
        read = SegmentationFolder(root, "train").labels(1)
        assert (read == np.array([0, 15, 255])[shapes()[1]]).all()


def test_one_value_with_two_colours_is_a_contradiction(tmp_path: Path) -> None:
    """No colour is known: quantize() orders colours by how often they occur, so files differ."""
    colours = [(10, 10, 90), (200, 30, 30), (30, 200, 30)]

    def save(labels: np.ndarray, path: Path) -> None:
        order = [0, 1, 2] if path.stem != "2" else [0, 2, 1]
        as_palette(np.array(order, dtype=np.uint8)[labels], path, [colours[value] for value in order])

    root = folder(tmp_path / "data", "a\nb\nc\n", save, shapes())
    assert "contradict each other: 1 is (200, 30, 30) in 0.png and (30, 200, 30) in 2.png" in problems(root)


def test_one_colour_at_a_fringe_does_not_make_colours_classes(tmp_path: Path) -> None:
    given = "background 0 0 0\ncat 200 30 30\ndog 30 200 30\n"
    colours = [(30, 200, 30), (0, 0, 0), (200, 30, 30), (1, 2, 3)]
    order = np.array([1, 2, 0], dtype=np.uint8)

    def save(labels: np.ndarray, path: Path) -> None:
        packed = order[labels]
        packed[0, 0] = 3
        as_palette(packed, path, colours)

    root = folder(tmp_path / "data", given, save, shapes())
    found = check(root)
    assert len(found.coloured) == 3
    with pytest.raises(ValueError, match=r"\(1, 2, 3\) at \(0, 0\)"):
        convert(root, found.coloured, found.classes)


def test_grey_that_was_packed_into_a_palette_is_unpacked(tmp_path: Path) -> None:
    levels = np.array([0, 2, 1, 255], dtype=np.uint8)  # of the palette's 0, 1, 2 and 3

    def save(labels: np.ndarray, path: Path) -> None:
        as_palette(np.array([0, 2, 1], dtype=np.uint8)[labels], path, [(v, v, v) for v in levels.tolist()])

    root = folder(tmp_path / "data", "a\nb\nc\n", save, shapes())
    found = check(root)
    assert len(found.coloured) == 3
    convert(root, found.coloured, found.classes)
    assert (SegmentationFolder(root, "train").labels(0) == shapes()[0]).all()


def test_a_sound_palette_is_believed(tmp_path: Path) -> None:
    colours = [(0, 0, 0), (255, 255, 255), (9, 9, 9)]
    root = folder(tmp_path / "data", "a\nb\nc\n", lambda m, path: as_palette(m, path, colours), shapes())
    assert not check(root).problems


def test_labels_that_begin_at_1_are_asked_about(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", "a\nb\nc\n", lambda m, path: Image.fromarray(m + 1).save(path), shapes())
    assert "beyond the 3 classes, which end at 2: if 0 is void here" in problems(root)


def test_what_was_said_of_turned_photos_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder(tmp_path / "data", "a\nb\nc\n", lambda m, path: Image.fromarray(m).save(path), shapes())
    exif = Image.Exif()
    exif[0x0112] = 3
    for path in (root / "images").iterdir():
        Image.open(path).save(path, exif=exif)
    main(["check", str(root), "--frame", "upright"])
    assert "as orientation.txt says, although the photos' edges say otherwise" in capsys.readouterr().out
    assert SegmentationFolder(root, "train").labels_frame == "upright"
    (root / "orientation.txt").write_text("sideways")
    with pytest.raises(ValueError, match="must say stored or upright, not 'sideways'"):
        check(root)


# --- Photos that EXIF turns ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("frame", ["stored", "upright"])
def test_label_maps_drawn_either_way_lie_on_their_photos(tmp_path: Path, orientation: int, frame: str) -> None:
    """Squares, so that no size tells a turn by a quarter either."""
    maps = [np.pad(labels, ((0, 16), (0, 0))) for labels in shapes()]
    root = folder(tmp_path / "data", "a\nb\nc\n", lambda m, path: Image.fromarray(m).save(path), maps)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for index, labels in enumerate(maps):
        photo = root / "images" / f"{index}.png"
        Image.open(photo).save(photo, exif=exif)
        if frame == "upright":
            turned = Image.fromarray(labels)
            turned.getexif()[0x0112] = orientation
            Image.fromarray(np.array(ImageOps.exif_transpose(turned))).save(root / "labels" / f"{index}.png")
    remark = " ".join(check(root).remarks)
    assert ("as they are shown, and are taken so" in remark) == (frame == "upright")
    photo_, labels_ = SegmentationFolder(root, "train")[0]
    grey = np.asarray(photo_.convert("L"))
    assert (labels_ == np.select([grey == 60, grey == 200], [0, 1], 2)).all()
    other = "stored" if frame == "upright" else "upright"
    (root / "orientation.txt").write_text(other)
    assert "although the photos' edges say otherwise" in " ".join(check(root).remarks)
    assert not (SegmentationFolder(root, "train")[0][1] == labels_).all()
