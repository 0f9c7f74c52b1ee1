import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import segmodels
from segmodels import Segmenter
from segmodels.cli import main
from segmodels.many import local_engine as many
from segmodels.many.local_engine import AHEAD, Job, done_before, photos_in, segment_many

from .test_cli import fails

MODEL = "fcn_mobilenetv2"


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


@pytest.mark.parametrize(
    "setting", [{"working_size": 128}, {"model": "deeplabv3_mobilenetv2"}, {"precision": "float32"}]
)
def test_other_settings_are_not_done_yet(
    folder: Path, tmp_path: Path, segmenter: Segmenter, setting: dict[str, Any]
) -> None:
    job, photo = Job(tmp_path, MODEL), folder / "0.jpg"
    list(segment_many(job, segmenter, [photo]))
    assert done_before(job, photo)
    assert done_before(replace(job, **setting), photo) is None


def test_pictures_of_another_make_are_not_taken_for_done(folder: Path, tmp_path: Path, cat: Image.Image) -> None:
    job = Job(tmp_path, MODEL)
    for file in job.files(folder / "0.jpg").values():
        cat.save(file)
    assert done_before(job, folder / "0.jpg") is None
    for file in job.files(folder / "0.jpg").values():
        file.write_bytes(b"cut short")
    assert done_before(job, folder / "0.jpg") is None


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

    read, write = segmodels.read_photo, many.write

    def slowly_written(*args: Any) -> Any:
        threading.Event().wait(0.02)
        report = write(*args)
        count("written")
        return report

    def counted(path: Path) -> Any:
        count("read")
        return read(path)

    monkeypatch.setattr(many, "figure", lambda *args: Image.new("RGB", (1, 1)))
    monkeypatch.setattr(Image.Image, "savefig", Image.Image.save, raising=False)
    monkeypatch.setattr(many, "read_photo", counted)
    monkeypatch.setattr(many, "write", slowly_written)
    outcomes = list(segment_many(Job(tmp_path / "out", MODEL), segmenter, photos_in([tmp_path])))
    assert len(outcomes) == 20
    assert max(held) <= 2 * (AHEAD + 1) + 1


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
