import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import segmodels
from segmodels.batch.sheet import CELL, LINE
from segmodels.cli import main
from segmodels.crf.parameters import CRF
from segmodels.models import registry
from segmodels.training.recipe import Recipe

from ..conftest import EXAMPLES

CAT = str(EXAMPLES / "cat.jpg")
MODEL = registry.compact_models()[0]


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must exit with status 2 and one line on stderr; returns the line."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    captured = capsys.readouterr()
    assert caught.value.code == 2
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


def test_the_commands_do_not_load_what_only_figures_need() -> None:
    """matplotlib takes half a second, and ``list`` or ``--version`` draw nothing."""
    script = (
        "import sys, segmodels.cli; segmodels.cli.parser(); print('matplotlib' in sys.modules, 'gradio' in sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == ["False", "False"]


def test_a_network_need_not_be_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    main(["segment", CAT, "--out", str(tmp_path), "--json", "--pictures", "labels"])
    assert json.loads(capsys.readouterr().out)["model"] == registry.DEFAULT_MODEL


def test_list_names_all_networks(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list"])
    shown = capsys.readouterr().out
    main(["list", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert {"fcn_mobilenetv2", "unet_mobilenetv2", "deeplabv3_mobilenetv2", "deeplabv3plus_mobilenetv2"} <= {
        row["name"] for row in rows
    }
    assert all(row["name"] in shown for row in rows)
    assert all(row["parameters"] > 0 and row["macs"] > 0 for row in rows)


def test_segment_writes_three_pictures_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(
        ["segment", CAT, "--model", "deeplabv3plus_mobilenetv2", "--atrous-rate", "6", "--out", str(tmp_path), "--json"]
    )
    report = json.loads(capsys.readouterr().out)
    labels = Image.open(tmp_path / "cat_labels.png")
    assert (labels.mode, labels.size) == ("P", (451, 300))
    assert Image.open(tmp_path / "cat_overlay.png").size == (451, 300)
    assert Image.open(tmp_path / "cat_figure.png").width > 900
    assert report["file"] == CAT
    assert report["model"] == "deeplabv3plus_mobilenetv2"
    assert report["size"] == [451, 300]
    assert report["classes"]["cat"] == pytest.approx((np.asarray(labels) == 8).mean(), abs=1e-5)
    assert report["outputs"]["labels"] == str(tmp_path / "cat_labels.png")
    assert report["milliseconds"]["total"] > 0
    assert (report["atrous_rate"], report["output_stride"]) == (6, 16)


def test_segment_says_that_an_upright_photo_was_turned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(CAT).save(tmp_path / "turned.jpg", exif=exif)
    main(
        [
            "segment",
            str(tmp_path / "turned.jpg"),
            "--model",
            "fcn_mobilenetv2",
            "--out",
            str(tmp_path / "out"),
            "--json",
        ]
    )
    report = json.loads(capsys.readouterr().out)
    assert report["size"] == [300, 451]
    assert report["atrous_rate"] is None


def test_segment_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("not a picture")
    to = ["--out", str(tmp_path)]
    assert "none.jpg" in fails(capsys, "segment", str(tmp_path / "none.jpg"), "--model", "fcn_mobilenetv2", *to)
    assert "text.jpg" in fails(capsys, "segment", str(text), "--model", "fcn_mobilenetv2", *to)
    assert "fcn_mobilenetv2" in fails(capsys, "segment", CAT, "--model", "fcn_lite", *to)
    assert "atrous" in fails(capsys, "segment", CAT, "--model", "unet_mobilenetv2", "--atrous-rate", "2", *to)
    assert "whole number" in fails(
        capsys, "segment", CAT, "--model", "deeplabv3_mobilenetv2", "--atrous-rate", "-2", *to
    )
    assert "8, 16 or 32" in fails(
        capsys, "segment", CAT, "--model", "deeplabv3_mobilenetv2", "--output-stride", "7", *to
    )
    assert "--out" in fails(capsys, "segment", CAT)
    assert "two photos are called cat" in fails(capsys, "segment", CAT, CAT, "--model", "fcn_mobilenetv2", *to)
    assert "paint" in fails(capsys, "paint")


def test_evaluate_scores_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a photo whose true labels are the network's own, but for a part that is made wrong on purpose."""
    main(["segment", CAT, "--model", "deeplabv3plus_mobilenetv2", "--out", str(tmp_path)])
    truth = np.array(Image.open(tmp_path / "cat_labels.png"))
    background = int((truth == 0).sum())
    cats = int((truth == 8).sum())
    wrong = truth.copy()
    rows, columns = np.nonzero(truth == 8)
    wrong[rows[: cats // 2], columns[: cats // 2]] = 12
    for part, name in (("images", "cat.jpg"), ("labels", "cat.png")):
        (tmp_path / part).mkdir()
        if part == "images":
            (tmp_path / part / name).write_bytes(Path(CAT).read_bytes())
        else:
            Image.fromarray(wrong).save(tmp_path / part / name)
    (tmp_path / "val.txt").write_text("cat\n")
    capsys.readouterr()
    main(["evaluate", str(tmp_path), "--model", "deeplabv3plus_mobilenetv2", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (report["model"], report["split"], report["images"]) == ("deeplabv3plus_mobilenetv2", "val", 1)
    assert report["iou"]["cat"] == pytest.approx((cats - cats // 2) / cats)
    assert report["iou"]["dog"] == 0
    assert report["iou"]["train"] is None
    assert report["pixel_accuracy"] == pytest.approx(1 - (cats // 2) / truth.size)
    assert report["iou"]["background"] == (1 if background else None)
    Image.new("L", truth.shape[::-1], 255).save(tmp_path / "labels" / "cat.png")
    main(["evaluate", str(tmp_path), "--model", "deeplabv3plus_mobilenetv2", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (report["miou"], report["miou7"], report["pixel_accuracy"]) == (None, None, None)  # all of it is void


def test_evaluate_errors_are_one_line(data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "images" in fails(capsys, "evaluate", str(tmp_path), "--model", "fcn_mobilenetv2")
    assert "none" in fails(capsys, "evaluate", str(tmp_path / "none"), "--model", "fcn_mobilenetv2")
    assert "test.txt" in fails(capsys, "evaluate", str(data_folder), "--split", "test", "--model", "fcn_mobilenetv2")
    assert "did you mean" in fails(capsys, "evaluate", str(data_folder), "--model", "unet_lit0")
    said = fails(capsys, "evaluate", str(data_folder), "--model", "mine.safetensor")
    assert "no network and no weights file called mine.safetensor" in said


def test_train_errors_are_one_line(data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", str(data_folder), "--model", "fcn_mobilenetv2"]
    assert "safetensors" in fails(capsys, *arguments, "--out", str(tmp_path / "weights.pt"))
    assert "at least 1" in fails(capsys, *arguments, "--out", str(tmp_path / "w.safetensors"), "--epochs", "0")


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.split() == ["segmodels", segmodels.__version__]


def test_a_device_that_is_not_here_is_refused_and_the_processor_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["segment", CAT, "--model", MODEL, "--out", str(tmp_path), "--device"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert "this machine has no cuda:1" in fails(capsys, *arguments, "cuda:1")
    assert "cpu, cuda" in fails(capsys, *arguments, "toaster")
    assert "cpu, cuda" in fails(capsys, *arguments, "cuda:x")
    main([*arguments, "cpu"])
    assert (tmp_path / "cat_labels.png").is_file()


def test_training_names_the_settings_of_its_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "--help"])
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(Recipe):
        assert f"{field.name}={field.default}" in shown


def test_fetching_says_where_the_weights_are(capsys: pytest.CaptureFixture[str]) -> None:
    main(["fetch", MODEL])
    name, file = capsys.readouterr().out.split()
    assert name == f"{MODEL}:"
    assert Path(file).expanduser() == registry.card(MODEL).weights_file()
    assert "no trained weights" in fails(capsys, "fetch", "unet")
    assert "did you mean" in fails(capsys, "fetch", MODEL, "unet_lit0")


def test_the_crf_is_an_option_and_is_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["segment", CAT, "--model", MODEL, "--out", str(tmp_path), "--json"]
    main(arguments)
    alone = json.loads(capsys.readouterr().out)
    before = np.array(Image.open(tmp_path / "cat_labels.png"))
    main([*arguments, "--crf"])  # the same photo is not done: it is to be segmented in another way
    report = json.loads(capsys.readouterr().out)
    with Image.open(tmp_path / "cat_labels.png") as picture:
        record = json.loads(picture.info["segmodels"])
        after = np.array(picture)
    assert alone["crf"] is None
    assert report["crf"] == record["identity"]["crf"] == record["report"]["crf"] == dataclasses.asdict(CRF())
    assert report["milliseconds"]["crf"] > 0
    assert 0 < (before != after).mean() < 0.1
    expected = segmodels.load(MODEL)(Image.open(CAT).convert("RGB"), crf=True)
    assert (after == expected.labels).all()


def test_evaluate_scores_both_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The truth is what the network says with the CRF."""
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    (tmp_path / "images" / "cat.jpg").write_bytes(Path(CAT).read_bytes())
    labels = segmodels.load(MODEL)(Image.open(CAT).convert("RGB"), crf=True).labels
    Image.fromarray(labels).save(tmp_path / "labels" / "cat.png")
    (tmp_path / "val.txt").write_text("cat\n")
    arguments = ["evaluate", str(tmp_path), "--model", MODEL, "--crf"]
    main([*arguments, "--json", "--plot", str(tmp_path / "edges.png")])
    report = json.loads(capsys.readouterr().out)
    assert report["crf"]["pixel_accuracy"] == report["crf"]["edges"]["boundary_iou"] == 1
    assert report["crf"]["parameters"] == dataclasses.asdict(CRF())
    bands = report["edges"]["pixel_accuracy"]
    assert list(bands) == ["2", "4", "8", "16"]
    assert bands["2"] < bands["16"] < report["pixel_accuracy"] < 1
    assert Image.open(tmp_path / "edges.png").width > 500
    main(arguments)
    assert "within 2 pixels" in capsys.readouterr().out


def test_a_sheet_has_a_row_for_each_photo_and_a_column_for_each_network(tmp_path: Path) -> None:
    photos = [EXAMPLES / "cat.jpg", EXAMPLES / "dogs.jpg"]
    main(["sheet", *map(str, photos), "--models", f"{MODEL},unet_mobilenetv2", "--out", str(tmp_path / "sheet.png")])
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape[1] == 3 * CELL
    top = LINE
    for photo in photos:
        image = Image.open(photo).convert("RGB")
        for column, model in enumerate([MODEL, "unet_mobilenetv2"], start=1):
            seen = segmodels.load(model)(image).overlay(image)
            small = image.copy()
            small.thumbnail((CELL, CELL))
            cell = sheet[top : top + small.height, column * CELL : column * CELL + small.width]
            assert np.abs(cell.astype(int) - np.asarray(seen.resize(small.size)).astype(int)).mean() < 1
        top += small.height + LINE
    assert sheet.shape[0] == top


def test_a_sheet_that_cannot_be_made_is_told_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "nothing.jpg" in fails(capsys, "sheet", str(tmp_path / "nothing.jpg"), "--out", str(tmp_path / "a.png"))
    assert "a.nothing" in fails(capsys, "sheet", CAT, "--models", MODEL, "--out", str(tmp_path / "a.nothing"))
    assert "nonesuch" in fails(capsys, "sheet", CAT, "--models", "nonesuch", "--out", str(tmp_path / "a.png"))
