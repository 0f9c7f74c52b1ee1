"""One's own classes, as a new user goes about it: check, train, evaluate, segment; and what is in the way."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

import segmodels
from demo.components import markup
from demo.lab import ablation as lab
from segmodels.cli import main
from segmodels.inference.loading import card_from_file
from segmodels.labels import VOC, ClassList
from segmodels.models import registry
from segmodels.models.ablation import parts
from segmodels.models.pretrained import start_from
from segmodels.training.check import check
from segmodels.training.data import SegmentationFolder
from segmodels.training.metrics import Scores, confusion_matrix
from segmodels.training.results import results_folder
from tools.repository import toy_data
from tools.stress.running import ROOT

from ..conftest import EXAMPLES
from ..helpers import shown

MODEL = registry.compact_models()[0]
RECIPE = ["--epochs", "5", "--set", "batch=2", "--set", "crop=96", "--set", "warmup=0", "--workers", "0"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "toy"
    toy_data.write(folder)
    return folder


@pytest.fixture(scope="module")
def mine(data: Path) -> Path:
    """Weights that were trained on it from the zoo's, in seconds."""
    out = data.parent / "mine.safetensors"
    main(["train", str(data), "--model", MODEL, "--out", str(out), *RECIPE])
    return out


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must exit with status 2 and one line on stderr; returns the line."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    line = capsys.readouterr().err.strip()
    assert "\n" not in line
    return line


# --- check ----------------------------------------------------------------------------------------------------------


def test_a_sound_folder_passes_and_its_shares_are_shown(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", str(data)])
    shown = capsys.readouterr().out
    maps = np.concatenate([np.asarray(Image.open(path)).ravel() for path in (data / "labels").glob("train*.png")])
    assert f"{(maps == 2).mean():.2%}" in shown
    assert "24 train, 8 val" in shown
    assert "Ready" in shown


def _paint(folder: Path) -> None:
    """Label maps in colours, as many tools write them."""
    colours = np.array([[0, 0, 0], [230, 60, 60], [60, 110, 230]], dtype=np.uint8)
    for path in (folder / "labels").iterdir():
        Image.fromarray(colours[np.asarray(Image.open(path))]).save(path)


def _repaint(folder: Path) -> None:
    """Palette images whose values are in the order in which some tool met the colours."""
    image = Image.fromarray(2 - np.asarray(Image.open(folder / "labels" / "train00.png")))
    image.putpalette([60, 110, 230, 230, 60, 60, 0, 0, 0])
    image.save(folder / "labels" / "train00.png")


def _void(folder: Path) -> None:
    for path in (folder / "labels").glob("val*"):
        Image.new("L", Image.open(path).size, 255).save(path)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no photo": (
        lambda folder: (folder / "images" / "train03.jpg").unlink(),
        "photos are missing from images/: train03",
    ),
    "no label map": (lambda folder: (folder / "labels" / "val01.png").unlink(), "val: label maps are missing.*val01"),
    "another size": (lambda folder: Image.new("L", (9, 9)).save(folder / "labels" / "train00.png"), "160 x 120.*9 x 9"),
    "a list too short": (lambda folder: (folder / "classes.txt").write_text("a\nb\n"), "beyond the 2 classes.*\\(2\\)"),
    "no picture": (lambda folder: (folder / "labels" / "train00.png").write_text("x"), "cannot be read: train00.png"),
    "no photo at all": (lambda folder: (folder / "images" / "train00.jpg").write_text("x"), "photos cannot be read"),
    "colours": (_paint, "hold colours.*and 19 more"),
    "another palette": (_repaint, "hold colours.*train00.png"),
    "in both": (lambda folder: (folder / "val.txt").write_text("train00\n"), "in both train and val"),
    "twice": (lambda folder: (folder / "val.txt").write_text("val00\nval00\n"), "more than once: val00"),
    "empty": (lambda folder: (folder / "val.txt").write_text("\n"), "the list is empty"),
    "void": (_void, "val: every pixel is void"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path, fault: str) -> None:
    toy_data.write(tmp_path)
    FAULTS[fault][0](tmp_path)
    problems = check(tmp_path).problems
    assert len(problems) in (1, 2)  # the same may concern both lists
    assert all(problem.endswith(".") for problem in problems)
    assert any(re.search(FAULTS[fault][1], problem) for problem in problems)


def test_classes_without_a_pixel_and_files_in_no_list_are_remarked(tmp_path: Path) -> None:
    toy_data.write(tmp_path)
    (tmp_path / "classes.txt").write_text(toy_data.CLASSES + "unicorn\n")
    (tmp_path / "val.txt").unlink()
    found = check(tmp_path)
    remarks = " ".join(found.remarks)
    assert "which no network can learn: unicorn" in " ".join(found.problems)
    assert "Label maps that are in no list: 8, such as val00" in remarks
    assert "no val.txt" in remarks


def test_a_photo_that_is_there_twice_and_names_that_differ_in_case_are_remarked(tmp_path: Path) -> None:
    toy_data.write(tmp_path)
    (tmp_path / "images" / "val03.jpg").write_bytes((tmp_path / "images" / "train05.jpg").read_bytes())
    (tmp_path / "classes.txt").write_text("\n".join(("background", "Pot", "pot")))
    remarks = " ".join(check(tmp_path).remarks)
    assert "byte for byte: val03 (val) is train05 (train)." in remarks
    assert "Pot and pot are two classes" in remarks


def test_photos_to_score_on_alone_are_not_called_ready_to_train_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_data.write(tmp_path)
    (tmp_path / "train.txt").unlink()
    main(["check", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "Ready to train" not in shown
    assert "Ready to score on" in shown


def test_colours_become_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy_data.write(tmp_path)
    before = {path.name: np.asarray(Image.open(path)) for path in (tmp_path / "labels").iterdir()}
    _paint(tmp_path)
    assert "is not ready" in fails(capsys, "check", str(tmp_path))
    main(["check", str(tmp_path), "--convert"])
    assert "Label maps converted: 32" in capsys.readouterr().out
    for path in (tmp_path / "labels").iterdir():
        after = np.asarray(Image.open(path))
        assert ((after == before[path.name]) | (before[path.name] == 0) & (after == 0)).all()


def test_a_colour_of_no_class_converts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy_data.write(tmp_path)
    _paint(tmp_path)
    last = sorted((tmp_path / "labels").iterdir())[-1]
    image = Image.open(last).convert("RGB")
    image.putpixel((5, 7), (1, 2, 3))
    image.save(last)
    assert "(1, 2, 3) at (5, 7)" in fails(capsys, "check", str(tmp_path), "--convert")
    assert all(Image.open(path).mode == "RGB" for path in (tmp_path / "labels").iterdir())


def test_what_is_no_data_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "images" in fails(capsys, "check", str(tmp_path))
    toy_data.write(tmp_path)
    (tmp_path / "classes.txt").write_text("cat\ncat\n")
    assert "two classes are called cat" in fails(capsys, "check", str(tmp_path))


# --- train, evaluate, segment ---------------------------------------------------------------------------------------


def test_training_leaves_a_folder_of_results(mine: Path) -> None:
    folder = results_folder(mine)
    assert {path.name for path in folder.iterdir()} == {"curve.png", "log.json", "predictions.png", "scores.md"}
    log = json.loads((folder / "log.json").read_text())
    assert log["history"][-1]["miou"] > 0.4  # background alone scores 0.26
    assert "but for its last layer" in log["start"]
    table = (folder / "scores.md").read_text()
    assert all(f"| {name} |" in table for name in ("background", "disc", "box"))
    assert f"{log['history'][-1]['miou']:.3f}" in table
    assert Image.open(folder / "predictions.png").height > 1000


def test_what_lies_ahead_is_said_first(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = ["--epochs", "1", "--set", "batch=12", "--set", "crop=32", "--start", "scratch", "--workers", "0"]
    main(["train", str(data), "--model", MODEL, "--out", str(tmp_path / "a.safetensors"), *recipe])
    said = capsys.readouterr().err
    assert "3 classes, 24 photos, start: random" in said
    assert "1 epoch of 2 steps of 12 crops of 32 x 32" in said
    assert "here" in said.partition("about")[2]


def test_crops_are_no_larger_than_the_photos(data: Path, tmp_path: Path) -> None:
    recipe = ["--epochs", "1", "--set", "batch=8", "--start", "scratch", "--workers", "0"]
    out = tmp_path / "small.safetensors"
    (tmp_path / "few").mkdir()
    for part in ("images", "labels", "classes.txt"):
        (tmp_path / "few" / part).symlink_to(data / part)
    (tmp_path / "few" / "train.txt").write_text("\n".join((data / "train.txt").read_text().split()[:8]))
    main(["train", str(tmp_path / "few"), "--model", MODEL, "--out", str(out), *recipe])
    assert json.loads((results_folder(out) / "log.json").read_text())["recipe"]["crop"] == 160
    card = registry.card(MODEL)
    assert segmodels.load(out).card.working_size == pytest.approx(card.working_size * 160 / 384, abs=1)


def test_evaluate_says_what_an_independent_count_says(
    data: Path, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    main(["evaluate", str(data), "--model", str(mine), "--json", "--precision", "float32"])
    report = json.loads(capsys.readouterr().out)
    segmenter = segmodels.load(mine, precision="float32")
    truth, said = [], []
    for stem in (data / "val.txt").read_text().split():
        truth.append(np.asarray(Image.open(data / "labels" / f"{stem}.png")).ravel())
        said.append(segmenter(Image.open(data / "images" / f"{stem}.jpg")).labels.ravel())
    there, given = np.concatenate(truth), np.concatenate(said)
    for index, name in enumerate(("background", "disc", "box")):
        expected = ((there == index) & (given == index)).sum() / ((there == index) | (given == index)).sum()
        assert report["iou"][name] == pytest.approx(expected)
    assert report["miou7"] is None
    assert Scores(confusion_matrix(there, given, 3)).pixel_accuracy == pytest.approx((there == given).mean())


def test_segment_writes_the_classes_own_colours(
    data: Path, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    photo = data / "images" / "val00.jpg"
    main(["segment", str(photo), "--model", str(mine), "--out", str(tmp_path), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert set(report["classes"]) <= {"background", "disc", "box"}
    labels = Image.open(tmp_path / "val00_labels.png")
    values, colours = np.asarray(labels), np.asarray(labels.convert("RGB"))
    assert (colours[values == 2] == (60, 110, 230)).all()
    assert (values == 2).any()


def test_weights_and_data_of_other_classes_do_not_mix(
    data: Path, mine: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "3 classes (background, disc, box)" in fails(capsys, "evaluate", str(data_folder), "--model", str(mine))
    assert "21 classes" in fails(capsys, "evaluate", str(data), "--model", MODEL)
    out = str(mine.parent / "both.safetensors")
    both = fails(capsys, "train", str(data), str(data_folder), "--model", MODEL, "--out", out, *RECIPE)
    assert "do not have the same classes" in both


def test_a_label_map_that_is_wrong_stops_a_run_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_data.write(tmp_path / "toy")
    (tmp_path / "toy" / "classes.txt").write_text("a\nb\n")
    out = tmp_path / "a.safetensors"
    said = fails(capsys, "train", str(tmp_path / "toy"), "--model", MODEL, "--out", str(out), "--start", "scratch")
    assert "has the value 2, but the 2 classes go from 0 to 1" in said


def test_the_zoos_weights_are_kept_but_for_the_last_layer(data: Path) -> None:
    card = replace(registry.card(MODEL), class_list=SegmentationFolder(data, "val").class_list)
    network = card.builder(3)
    random = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    start_from(network, card, "zoo")
    trained = load_file(registry.card(MODEL).weights_file())
    for name, tensor in network.state_dict().items():
        if tensor.shape == trained[name].shape:
            assert (tensor == trained[name].float()).all()
        elif "upsample" in name:  # bilinear, as it is built
            assert (tensor == random[name]).all()
        else:
            assert 3 in tensor.shape[:2]
            assert not tensor.any()


# --- The page -------------------------------------------------------------------------------------------------------


def test_the_page_can_offer_it_beside_the_bundled_ones(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "CARDS", dict(registry.CARDS))
    registry.register(card_from_file(mine))
    assert "mine" in registry.bundled_models()
    assert "mine" in segmodels.trained_models()
    assert "mine" not in registry.compact_models()
    assert segmodels.load("mine").card.classes == ("background", "disc", "box")
    with pytest.raises(ValueError, match="already"):
        registry.register(card_from_file(mine))


def test_the_lab_takes_label_maps_of_its_own_classes_alone(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "CARDS", dict(registry.CARDS))
    registry.register(card_from_file(mine))
    photo = EXAMPLES / "cat.jpg"
    truth = Image.new("L", Image.open(photo).size, 7)
    truth.save(tmp_path / "truth.png")
    names = list(parts(registry.build_meta("mine")))
    said = shown(lab.show, {"path": str(photo)}, "mine", names, {"path": str(tmp_path / "truth.png")})[""]
    assert "classes go from 0 to 2" in said


def test_the_page_names_the_classes_that_were_not_found() -> None:
    own = ClassList(("background", "disc", "box"))
    assert "it was taught disc, box, and took all of this photo for background" in markup.nothing(own)
    many = markup.nothing(ClassList(("other", *(f"thing {number}" for number in range(20))), background=0))
    assert "thing 7 and more" in many
    assert "thing 8" not in many
    assert "for other" in many
    assert "twenty things" in markup.nothing(VOC)
    assert markup.nothing(ClassList(("disc", "box"))) == ""


def test_app_refuses_what_is_no_weights_file_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("hello")
    command = [sys.executable, "app.py", "--weights", str(tmp_path / "text.safetensors")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 2
    assert "holds no weights" in ended.stderr
    assert "Traceback" not in ended.stderr
