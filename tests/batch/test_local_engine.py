import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import segmodels
from segmodels import Segmenter
from segmodels.batch import job as jobs
from segmodels.batch.job import Job, PhotoWriter, read_record
from segmodels.batch.local_engine import PREFETCH, photos_in, segment_many
from segmodels.cli import main
from segmodels.kernels.precision import best_precision
from segmodels.models import registry

from ..cli.test_cli import fails

MODEL = registry.compact_models()[0]
ATROUS = next(name for name in registry.compact_models() if registry.card(name).atrous_rate)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return segmodels.load(MODEL)


@pytest.fixture
def folder(tmp_path: Path, cat: Image.Image, astronaut: Image.Image) -> Path:
    """Five photos, a text that claims to be one, and a file that does not."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for index, photo in enumerate((cat, astronaut, cat.rotate(90, expand=True), astronaut.crop((0, 0, 300, 400)), cat)):
        photo.resize((photo.width // 3, photo.height // 3)).save(photos / f"{index}.jpg")
    (photos / "bad.JPG").write_text("no photo")
    (photos / "notes.txt").write_text("no photo either")
    return photos


def label_maps(out: Path) -> dict[str, Any]:
    return {file.name: np.asarray(Image.open(file)) for file in sorted(out.glob("*_labels.png"))}


def test_a_folder_is_segmented_in_order_and_the_bad_file_named_at_the_end(
    folder: Path, tmp_path: Path, segmenter: Segmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as caught:
        main(["segment", str(folder), "--model", MODEL, "--out", str(out), "--json"])
    shown = capsys.readouterr()
    assert caught.value.code == 2
    assert shown.err.count("\n") == 1
    assert "1 of 6 photos" in shown.err
    assert "bad.JPG" in shown.err
    reports = [json.loads(line) for line in shown.out.splitlines()]
    assert [Path(report["file"]).stem for report in reports] == list("01234")
    for report in reports:
        expected = segmenter(segmodels.read_photo(report["file"]).image)
        assert (np.asarray(Image.open(report["outputs"]["labels"])) == expected.labels).all()
        assert all(Path(file).is_file() for file in report["outputs"].values())
    assert len(list(out.iterdir())) == 15


def test_a_second_run_skips_what_is_done_and_says_the_same(
    folder: Path, tmp_path: Path, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path, MODEL)
    photos = photos_in([folder])
    first = list(segment_many(job, segmenter, photos))
    (tmp_path / "3_overlay.png").unlink()
    photos[4].touch()  # as if it had been changed
    seen: list[Any] = []
    segment = Job.segment

    def noticed(*arguments: Any) -> Any:
        seen.append(arguments)
        return segment(*arguments)

    monkeypatch.setattr(Job, "segment", noticed)
    second = list(segment_many(job, segmenter, photos))
    assert len(seen) == 2
    assert [outcome.path for outcome in second] == photos
    for before, after in zip(first, second, strict=True):
        assert before.problem == after.problem
        if before.report and after.report:
            assert before.report["classes"] == after.report["classes"]


OTHER_PRECISION = "bfloat16" if best_precision(torch.device("cpu")) == "float32" else "float32"


@pytest.mark.parametrize("setting", [{"working_size": 128}, {"model": ATROUS}, {"precision": OTHER_PRECISION}])
def test_other_settings_are_not_done_yet(
    folder: Path, tmp_path: Path, segmenter: Segmenter, setting: dict[str, Any]
) -> None:
    job, photo = Job(tmp_path, MODEL), folder / "0.jpg"
    list(segment_many(job, segmenter, [photo]))
    assert PhotoWriter(job, segmenter).earlier_report(photo)
    other = replace(job, **setting)
    assert PhotoWriter(other, other.load()).earlier_report(photo) is None


def test_interrupted_at_one_rate_and_run_again_at_another(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is of both runs, and so it is made anew."""
    model, photo = ATROUS, folder / "0.jpg"
    first, second = Job(tmp_path / "out", model, atrous_rate=6), Job(tmp_path / "out", model, atrous_rate=24)
    segmenter = first.load()
    list(segment_many(first, segmenter, [photo]))
    overlay = first.files(photo)["overlay"]
    whole = np.asarray(Image.open(overlay))
    replace_file = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if target.name.endswith("_labels.png"):
            raise KeyboardInterrupt
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        list(segment_many(second, segmenter, [photo]))
    monkeypatch.undo()
    assert (np.asarray(Image.open(overlay)) != whole).any()
    assert PhotoWriter(first, segmenter).earlier_report(photo) is None
    list(segment_many(first, segmenter, [photo]))
    assert (np.asarray(Image.open(overlay)) == whole).all()
    assert not list((tmp_path / "out").glob(".*"))


def test_pictures_are_seen_whole_or_not_at_all(
    folder: Path, tmp_path: Path, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "no space")

    monkeypatch.setattr(jobs, "label_image", full)
    with pytest.raises(OSError, match="no space"):
        list(segment_many(Job(tmp_path / "out", MODEL), segmenter, [folder / "0.jpg"]))
    assert list((tmp_path / "out").iterdir()) == []


def test_photos_of_one_name_size_and_time_in_two_folders_are_two(
    tmp_path: Path, segmenter: Segmenter, cat: Image.Image
) -> None:
    photos = []
    for name, shown in (("one", cat), ("two", cat.transpose(Image.Transpose.FLIP_LEFT_RIGHT))):
        (tmp_path / name).mkdir()
        photos.append(tmp_path / name / "photo.bmp")
        shown.resize((96, 64)).save(photos[-1])
        os.utime(photos[-1], ns=(10**18, 10**18))
    assert photos[0].stat().st_size == photos[1].stat().st_size
    job = Job(tmp_path / "out", MODEL)
    for photo in photos:
        list(segment_many(job, segmenter, [photo]))
        expected = segmenter(segmodels.read_photo(photo).image)
        assert (np.asarray(Image.open(tmp_path / "out" / "photo_labels.png")) == expected.labels).all()


def test_other_weights_of_one_name_size_and_time_are_others(folder: Path, tmp_path: Path) -> None:
    weights, photo = tmp_path / "own.safetensors", folder / "0.jpg"
    for value in (0.5, 0.25):
        network = segmodels.build(MODEL)
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(std=value)
        save_file(network.state_dict(), weights)
        os.utime(weights, ns=(10**18, 10**18))
        job = Job(tmp_path / "out", MODEL, str(weights))
        writer = PhotoWriter(job, job.load())
        assert writer.earlier_report(photo) is None
        list(segment_many(job, writer.segmenter, [photo]))
        assert writer.earlier_report(photo)


def test_a_users_file_is_never_touched(
    folder: Path, tmp_path: Path, cat: Image.Image, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not one that is called as a result would be, when results go where the photos are."""
    own = folder / "0_overlay.png"
    cat.save(own)
    before = own.read_bytes()
    (folder / "bad.JPG").unlink()
    said = fails(capsys, "segment", str(folder), "--model", MODEL, "--out", str(folder), "--force")
    assert "1 of 6 photos" in said
    assert "0_overlay.png is there already" in said
    assert own.read_bytes() == before
    assert not (folder / "0_labels.png").exists()
    assert (folder / "1_labels.png").exists()
    assert {photo.name for photo in photos_in([folder])} == {*(f"{index}.jpg" for index in range(5)), own.name}
    with pytest.raises(ValueError, match="left alone"):
        jobs.check_free([own])
    own.write_bytes(b"")
    with pytest.raises(ValueError, match="left alone"):
        jobs.check_free([own])


def test_a_photo_is_done_again_when_asked(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, arguments = folder / "0.jpg", ["--model", MODEL, "--out", str(tmp_path / "out"), "--json"]

    def made(*more: str) -> tuple[int, Any]:
        main(["segment", str(photo), *arguments, *more])
        return (tmp_path / "out" / "0_labels.png").stat().st_ino, json.loads(capsys.readouterr().out)["outputs"]

    first, outputs = made("--pictures", "labels")
    assert list(outputs) == ["labels"]
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["0_labels.png"]
    assert made("--pictures", "labels")[0] == first
    assert made("--pictures", "labels", "--force")[0] != first
    assert set(made("--pictures", "overlay,labels")[1]) == {"labels", "overlay"}
    assert "the pictures are" in fails(capsys, "segment", str(photo), *arguments, "--pictures", "mask")


def test_what_a_killed_run_left_goes_after_a_day(tmp_path: Path) -> None:
    old, new = tmp_path / f"{jobs.PARTIAL}old", tmp_path / f"{jobs.PARTIAL}new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "labels").touch()
    os.utime(old, (0, 0))
    jobs.delete_partial(tmp_path)
    assert not old.exists()
    assert new.exists()
    assert read_record(tmp_path / "none.png") is None


def test_few_photos_are_in_memory_at_a_time(
    tmp_path: Path, segmenter: Segmenter, cat: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow the writing is, reading does not run ahead of it."""
    for index in range(20):
        cat.resize((48, 32)).save(tmp_path / f"{index:02}.jpg")
    lock, counts = threading.Lock(), {"read": 0, "written": 0}
    held = []

    def count(what: str) -> None:
        with lock:
            counts[what] += 1
            held.append(counts["read"] - counts["written"])

    read, write = segmodels.read_photo, PhotoWriter.write

    def slowly_written(*args: Any) -> Any:
        threading.Event().wait(0.02)
        report = write(*args)
        count("written")
        return report

    def counted(_: Segmenter, path: Path) -> Any:
        count("read")
        return read(path)

    monkeypatch.setattr(Segmenter, "read_photo", counted)
    monkeypatch.setattr(PhotoWriter, "write", slowly_written)
    job = Job(tmp_path / "out", MODEL, pictures=("labels",))
    outcomes = list(segment_many(job, segmenter, photos_in([tmp_path])))
    assert len(outcomes) == 20
    assert max(held) <= 2 * (PREFETCH + 1) + 1


@pytest.fixture(autouse=True)
def out_exists(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()


def test_a_folder_without_photos_and_photos_of_one_name_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = ["--model", MODEL, "--out", str(tmp_path / "out")]
    (tmp_path / "empty").mkdir()
    assert "no photos in the folder" in fails(capsys, "segment", str(tmp_path / "empty"), *to)
    (folder / "0.png").write_bytes((folder / "0.jpg").read_bytes())
    assert "two photos are called 0" in fails(capsys, "segment", str(folder), *to)


def test_a_folder_that_cannot_be_written_to_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "notes.txt" in fails(
        capsys, "segment", str(folder), "--model", MODEL, "--out", str(folder / "notes.txt" / "out")
    )
