import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

import segmodels
from segmodels.checkpoints.files import read_weights
from segmodels.cli import main
from segmodels.labels import NUCLEI
from segmodels.training.instance_scores import THRESHOLDS, pairwise_iou, score_picture
from segmodels.training.instances import (
    InstanceFolder,
    Sample,
    Varied,
    border_weights,
    class_map,
    draw,
    elastic_field,
    how_often,
    read_instances,
)
from segmodels.training.train_instances import InstanceRecipe, rate_factor, weighted_cross_entropy
from tools.weights import cells


def squares() -> NDArray[np.int32]:
    """Four objects: 1 and 2 touch, 3 is a pixel away from 2, 4 is far from all."""
    objects = np.zeros((40, 60), np.int32)
    objects[5:15, 5:15] = 1
    objects[5:15, 15:25] = 2
    objects[5:15, 26:34] = 3
    objects[30:36, 48:56] = 4
    return objects


def test_border_weights_are_equation_2_at_every_pixel() -> None:
    objects = squares()
    rows, columns = np.mgrid[:40, :60]
    distances = []
    for number in (1, 2, 3, 4):
        ys, xs = np.nonzero(objects == number)
        distances.append(np.sqrt((rows[..., None] - ys) ** 2 + (columns[..., None] - xs) ** 2).min(-1))
    nearest, second = np.sort(distances, axis=0)[:2]
    expected = 10 * np.exp(-((nearest + second) ** 2) / (2 * 5**2))
    assert border_weights(objects) == pytest.approx(expected, abs=0.01)  # less than that is left out beyond the reach
    assert border_weights(objects)[10, 14] == pytest.approx(10 * math.exp(-1 / 50), rel=1e-5)


def test_one_object_alone_has_no_border_to_weigh() -> None:
    assert not border_weights((squares() == 4).astype(np.int32)).any()


def test_the_line_parts_objects_that_touch_or_nearly_so() -> None:
    classes = class_map(torch.from_numpy(squares())).numpy()
    assert classes[10, 12:30].tolist() == [1, 1, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1][:18]
    assert (classes[30:36, 48:56] == 1).all()
    assert not classes[20:28].any()
    parts = squares().copy()
    parts[classes != 1] = 0
    assert set(np.unique(parts)) == {0, 1, 2, 3, 4}


def test_an_elastic_field_goes_through_the_displacements_of_its_coarse_grid() -> None:
    field = elastic_field(65, np.random.default_rng(4))
    coarse = np.random.default_rng(4).normal(0, 10, (1, 2, 3, 3))[0]
    assert field[:, ::32, ::32] == pytest.approx(coarse, abs=1e-4)
    assert np.abs(np.diff(field, axis=2)).max() < 4  # and is smooth in between


def test_a_crop_is_the_picture_with_its_own_classes() -> None:
    rng = np.random.default_rng(5)
    objects = np.zeros((90, 120), np.int32)
    objects[20:60, 30:80] = 1
    photo = Image.fromarray(np.repeat(np.where(objects > 0, 200, 20).astype(np.uint8)[..., None], 3, 2))
    sample = Sample.of(photo, objects)
    assert sample.grey
    for _ in range(5):
        pixels, classes, weights = draw(sample, rng, Varied(crop=96))
        assert pixels.shape == (3, 96, 96)
        assert weights.eq(1).all()
        bright = pixels.amax(0)
        inside = classes == 1
        if inside.any() and not inside.all():
            assert abs(bright[inside].mean() - bright[~inside].mean()) > 0.3


def test_without_the_weights_of_borders_all_pixels_count_alike() -> None:
    sample = Sample.of(Image.fromarray(np.zeros((40, 60, 3), np.uint8)), squares())
    assert draw(sample, np.random.default_rng(6), Varied(64, weighted=False))[2].eq(1).all()
    assert draw(sample, np.random.default_rng(6), Varied(64))[2].max() > 2


def test_larger_pictures_are_drawn_more_often() -> None:
    small, large = (
        Sample(torch.zeros(3, side, side, dtype=torch.uint8), True, torch.zeros(side, side), torch.zeros(side, side))
        for side in (50, 150)
    )
    assert how_often([small, large, large]) == pytest.approx([1 / 7, 3 / 7, 3 / 7])


def test_the_loss_is_the_weighted_mean_of_pixels() -> None:
    logits, classes, weights = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5)), torch.rand(2, 4, 5)
    total, weight = 0.0, 0.0
    for n, y, x in np.ndindex(2, 4, 5):
        scores = logits[n, :, y, x].double()
        log_probability = scores[classes[n, y, x]] - scores.exp().sum().log()
        total -= float(weights[n, y, x] * log_probability)
        weight += float(weights[n, y, x])
    assert float(weighted_cross_entropy(logits, classes, weights)) == pytest.approx(total / weight, rel=1e-5)


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    assert rate_factor(0.0, 0) < 0.1
    assert rate_factor(0.5, 1000) == pytest.approx(0.5)
    assert rate_factor(1.0, 1000) == pytest.approx(0)


def test_the_competitions_measure_on_a_picture_counted_by_hand() -> None:
    truth, found = np.zeros((20, 40), np.int32), np.zeros((20, 40), np.int32)
    truth[0:10, 0:10], found[0:10, 0:10] = 1, 5  # all of it: IoU 1
    truth[0:10, 20:30], found[0:10, 20:28] = 2, 6  # 80 of 100: IoU 0.8
    truth[12:18, 0:6] = 3  # missed
    found[12:18, 30:36] = 7  # invented
    assert np.sort(pairwise_iou(truth, found).ravel())[-3:].tolist() == [0, 0.8, 1]
    scores = score_picture(truth, found)
    assert (scores.there, scores.found) == (3, 3)
    by_threshold = dict(zip(THRESHOLDS, scores.precision, strict=True))
    assert by_threshold[0.5] == by_threshold[0.75] == 2 / (2 + 1 + 1)
    assert by_threshold[0.8] == by_threshold[0.95] == 1 / (1 + 2 + 2)


def test_nothing_there_and_nothing_found_is_right() -> None:
    empty, one = np.zeros((4, 4), np.int32), np.ones((4, 4), np.int32)
    assert set(score_picture(empty, empty).precision) == {1.0}
    assert set(score_picture(empty, one).precision) == {0.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures of bright discs, numbered."""
    root = tmp_path / "cells"
    rng = np.random.default_rng(7)
    for part in ("images", "instances"):
        (root / part).mkdir(parents=True)
    for name in "abcd":
        objects = np.zeros((64, 80), np.uint8)
        for number in range(1, 6):
            y, x = rng.integers(8, 56), rng.integers(8, 72)
            rows, columns = np.mgrid[:64, :80]
            objects[(rows - y) ** 2 + (columns - x) ** 2 < 30] = number
        grey = (objects > 0) * 150 + rng.integers(0, 30, objects.shape)
        Image.fromarray(grey.astype(np.uint8)).save(root / "images" / f"{name}.png")
        Image.fromarray(objects).save(root / "instances" / f"{name}.png")
    (root / "train.txt").write_text("a\nb\nc\n")
    (root / "val.txt").write_text("d\n")
    return root


@pytest.mark.slow
def test_the_command_line_trains_and_the_weights_tell_objects_apart(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "own.safetensors"
    settings = ["epochs=30", "batch=3", "crop=64", "rate=0.01"]
    main(["train", str(folder), "--model", "unet_nuclei", "--out", str(out), *(f"--set={one}" for one in settings)])
    assert "foreground IoU" in capsys.readouterr().out
    assert (tmp_path / "own_results" / "curve.png").is_file()
    assert json.loads((tmp_path / "own_results" / "log.json").read_text())["history"][-1]["step"] == 30
    record = read_weights(out)[1]
    assert record is not None
    assert (record.network, record.class_list, record.microscopy) == ("unet_nuclei", NUCLEI, True)
    assert (record.start, record.data) == ("random weights", {"cells": 3})
    main(["evaluate", str(folder), "--model", str(out), "--json"])
    scores = json.loads(capsys.readouterr().out)
    assert scores["foreground_iou"] > 0.7
    with Image.open(folder / "images" / "d.png") as photo:
        assert len(segmodels.load(out)(photo).instances) > 0
    main(["segment", str(folder / "images" / "d.png"), "--model", str(out), "--out", str(tmp_path / "seen"), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert set(report["outputs"]) == {"overlay", "figure", "labels", "instances", "tiff", "csv", "rois"}
    assert all(Path(file).is_file() for file in report["outputs"].values())
    assert report["instances"]["count"] == read_instances(Path(report["outputs"]["instances"])).max()


def test_what_is_written_is_nobody_elses(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "own.safetensors"
    main(["train", str(folder), "--model", "unet_nuclei", "--out", str(out), "--set=epochs=1", "--set=crop=32"])
    (tmp_path / "d_rois.zip").write_text("mine")
    arguments = ["segment", str(folder / "images" / "d.png"), "--model", str(out), "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "d_rois.zip is there already" in capsys.readouterr().err
    assert (tmp_path / "d_rois.zip").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda root: (root / "instances" / "a.png").unlink(), "a.png is listed in train.txt and missing"),
        (lambda root: (root / "train.txt").write_text(""), "lists no picture"),
        (lambda root: Image.new("RGB", (80, 64)).save(root / "instances" / "a.png"), "holds colours"),
        (
            lambda root: Image.new("L", (60, 64)).save(root / "instances" / "a.png"),
            "80 x 64 pixels and its objects 60 x 64",
        ),
    ],
)
def test_a_faulty_folder_is_told_in_a_line(
    folder: Path, tmp_path: Path, change: object, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder)  # type: ignore[operator]
    with pytest.raises(SystemExit) as caught:
        main(["train", str(folder), "--model", "unet_nuclei", "--out", str(tmp_path / "own.safetensors")])
    assert caught.value.code == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["epochs=0", "crop=40", "rate=2", "colour=1", "batch=two"])
def test_a_setting_that_cannot_be_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=setting.split("=")[0]):
        InstanceRecipe.of([setting])


def test_numbers_of_16_bits_are_read(tmp_path: Path) -> None:
    numbers = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)
    Image.fromarray(numbers).save(tmp_path / "many.png")
    assert np.array_equal(read_instances(tmp_path / "many.png"), numbers)


def test_a_folder_gives_pictures_with_their_numbers(folder: Path) -> None:
    pictures = InstanceFolder(folder, "train", first=2)
    photo, objects = pictures[1]
    assert len(pictures) == 2
    assert (photo.mode, photo.size, objects.shape) == ("RGB", (80, 64), (64, 80))
    assert objects.max() == 5


@pytest.mark.parametrize("name", ["a.tif", "a_cp_masks.tif", "a_instances.tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_label_tiffs_of_other_programs_are_read(folder: Path, name: str, dtype: type) -> None:
    with Image.open(folder / "instances" / "a.png") as png:
        numbers = np.array(png)
    (folder / "instances" / "a.png").unlink()
    far = numbers.astype(np.int64) * (1 if dtype == np.uint8 else 1000)
    tifffile.imwrite(folder / "instances" / name, far.astype(dtype)[None], compression="zlib")
    _, objects = InstanceFolder(folder, "train")[0]
    assert objects.dtype == np.int32
    assert np.array_equal(objects > 0, numbers > 0)
    pairs = np.unique(np.stack([objects.ravel(), numbers.ravel()]), axis=1)
    assert len(pairs.T) == len(np.unique(numbers))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (np.zeros((3, 64, 80), np.uint16), "one grey picture"),
        (np.full((64, 80), -1, np.int16), "from 0 on"),
        (np.full((64, 80), 0.5, np.float32), "whole"),
    ],
)
def test_what_is_no_label_tiff_is_told(tmp_path: Path, values: NDArray[np.generic], problem: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    with pytest.raises(ValueError, match=problem):
        read_instances(tmp_path / "a.tif")


def test_check_counts_the_objects_of_a_sound_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = {}
    for name in "abcd":
        with Image.open(folder / "instances" / f"{name}.png") as png:
            numbers[name] = np.array(png)
    tifffile.imwrite(folder / "instances" / "b_instances.tif", numbers["b"])
    (folder / "instances" / "b.png").unlink()
    Image.fromarray(np.zeros((64, 80), np.uint8)).save(folder / "instances" / "c.png")
    main(["check", str(folder)])
    said = capsys.readouterr().out
    areas = [area for name in "ab" for area in np.unique(numbers[name], return_counts=True)[1][1:]]
    assert "pictures: 3 train, 1 val" in said
    assert f"train: {len(areas)} objects, 0 to " in said
    assert f"median {np.median(areas):,.0f} px" in said
    assert "pictures without an object: c.png" in said
    assert "in no list" not in said
    assert "Ready to train on." in said


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda root: (root / "instances" / "a.png").unlink(), "missing from instances/: a."),
        (lambda root: (root / "images" / "a.png").unlink(), "missing from images/: a."),
        (lambda root: (root / "images" / "a.png").write_text("no picture"), "pictures cannot be read: a.png"),
        (lambda root: (root / "train.txt").write_text(""), "train: the list is empty"),
        (lambda root: (root / "val.txt").write_text("a"), "train and val"),
        (lambda root: Image.new("RGB", (80, 64)).save(root / "instances" / "a.png"), "holds colours"),
        (lambda root: Image.new("L", (60, 64)).save(root / "instances" / "a.png"), "80 x 64, its numbers 60 x 64"),
        (
            lambda root: (
                Image.fromarray(np.isin(squares(), (1, 4)).astype(np.uint8) * 255)
                .resize((80, 64), 0)
                .save(root / "instances" / "a.png")
            ),
            "one number for several objects, where each needs its own: a.png (2 apart)",
        ),
    ],
)
def test_check_says_what_is_wrong_with_numbered_objects(
    folder: Path, change: object, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder)  # type: ignore[operator]
    with pytest.raises(SystemExit) as caught:
        main(["check", str(folder)])
    assert caught.value.code == 2
    assert problem in capsys.readouterr().out


def test_a_network_for_cells_on_classes_says_that_it_parts_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
        Image.fromarray((squares() > 0).astype(np.uint8)).save(tmp_path / "data" / part / "a.png")
    (tmp_path / "data" / "train.txt").write_text("a\n")
    (tmp_path / "data" / "classes.txt").write_text("background\ncell\n")
    monkeypatch.setattr("segmodels.training.train.train", lambda *arguments, **settings: None)
    command = ["train", str(tmp_path / "data"), "--out", str(tmp_path / "own.safetensors")]
    main([*command, "--model", "unet_nuclei"])
    assert "learns the 2 classes of labels/ here, so cells that touch will not be told apart" in capsys.readouterr().err
    main(command)
    assert not capsys.readouterr().err


def test_networks_without_objects_say_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", str(folder), "--model", "unet_mobilenetv2"])
    assert "does not tell objects apart" in capsys.readouterr().err


def test_a_row_of_the_table_is_made_by_one_command(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows"
    rows = ["no-skips", "no-weights"]
    settings = ["--set", "epochs=1", "--set", "crop=32", "--set", "batch=3"]
    monkeypatch.setattr(sys, "argv", ["cells", str(folder), str(out), *rows, *settings, "--table"])
    cells.main()
    printed = capsys.readouterr().out
    assert "| without skips | 0." in printed
    report = json.loads((out / "no-weights.json").read_text())
    assert report["recipe"]["border_weight"] == 0
    assert f"| {report['scores']['foreground_iou']:.3f} |" in printed


def test_without_skips_only_the_deepest_features_count() -> None:
    network = cells.without_skips(3).eval()
    features = network.encode(torch.rand(1, 3, 64, 64))
    changed = [torch.randn_like(features[0]), *features[1:]]
    deeper = [*features[:-1], torch.randn_like(features[-1])]
    with torch.inference_mode():
        assert torch.equal(network.decode(features), network.decode(changed))
        assert not torch.equal(network.decode(features), network.decode(deeper))
