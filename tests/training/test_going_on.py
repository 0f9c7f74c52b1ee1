"""Runs that stop, go on, go on for longer, or begin from a file."""

import argparse
import json
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from segmodels.checkpoints.files import save_state
from segmodels.cli import main
from segmodels.cli import train as command
from segmodels.files import atomic_write, display_path
from segmodels.models import registry
from segmodels.models.pretrained import start_from
from segmodels.training import train as training
from segmodels.training.data import SegmentationFolder
from segmodels.training.results import checkpoint_file, keep_previous, results_folder
from segmodels.training.start import start_from_weights, to_train

from ..conftest import eight_photos

MODEL = "fcn_mobilenetv2"


def arguments(data: Path, out: Path, *more: str, epochs: int = 1) -> list[str]:
    recipe = [part for setting in ("batch=3", "crop=32", "warmup=0") for part in ("--set", setting)]
    options = ["--model", MODEL, "--out", str(out), "--epochs", str(epochs), "--workers", "0", "--start", "scratch"]
    return ["train", str(data), *options, *recipe, *more]


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of one epoch leaves in a folder."""
    folder = tmp_path_factory.mktemp("once")
    data = eight_photos(tmp_path_factory.mktemp("data"))
    main(arguments(data, folder / "once.safetensors"))
    return folder


@pytest.fixture
def trained(once: Path, tmp_path: Path) -> Path:
    """Weights after one epoch, on a copy of the data in ``data_folder``, which may be written over."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    return tmp_path / "once.safetensors"


def test_a_faulty_validation_mask_is_found_before_the_first_step(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.safetensors"
    label = data_folder / "labels" / "7.png"
    for faulty, said in (
        (Image.new("L", (96, 64), 77), "7.png has the value 77"),
        (Image.new("L", (9, 9)), "label map 9 x 9"),
        (Image.new("L", (96, 64), 0), "every pixel is background"),
    ):
        faulty.save(label)
        if "every" in said:
            faulty.save(data_folder / "labels" / "6.png")
        assert said in fails(capsys, *arguments(data_folder, out))
        assert not out.with_suffix(".checkpoint.pt").exists()


def test_black_and_white_masks_are_not_trained_on(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (data_folder / "labels").iterdir():
        labels = np.array(Image.open(path))
        Image.fromarray(np.where(labels == 0, 0, 255).astype(np.uint8)).save(path)
    assert "255 is void" in fails(capsys, *arguments(data_folder, tmp_path / "a.safetensors"))


def test_what_was_trained_is_kept_before_it_is_scored(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no score")

    monkeypatch.setattr(training, "validate", broken)
    out = tmp_path / "a.safetensors"
    with pytest.raises(SystemExit):
        main(arguments(data_folder, out))
    state = torch.load(out.with_suffix(".checkpoint.pt"), weights_only=True)
    assert state["step"] == 2
    assert len(state["history"]) == 1


def test_a_run_goes_on_for_longer_and_says_what_else_differs(
    data_folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(arguments(data_folder, trained, "--resume", epochs=3))
    log = json.loads((results_folder(trained) / "log.json").read_text())
    assert [row["step"] for row in log["history"]] == [2, 4, 6]
    capsys.readouterr()
    said = fails(capsys, *arguments(data_folder, trained, "--resume", "--set", "crop=48", epochs=3))
    assert "(crop 32 there, 48 here)" in said
    assert "batch" not in said
    assert "(epochs 3 there, 2 here)" in fails(capsys, *arguments(data_folder, trained, "--resume", epochs=2))


def test_a_new_run_keeps_what_the_one_before_wrote(
    data_folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = trained.with_stem("once_previous")
    checkpoint = trained.with_suffix(".checkpoint.pt")
    before = [file.read_bytes() for file in (trained, checkpoint, results_folder(trained) / "log.json")]
    capsys.readouterr()
    main(arguments(data_folder, trained, "--set", "seed=2"))
    after = [
        file.read_bytes() for file in (kept, kept.with_suffix(".checkpoint.pt"), results_folder(kept) / "log.json")
    ]
    assert after == before
    assert trained.read_bytes() != before[0]
    said = capsys.readouterr()
    assert str(kept) in said.err
    assert f"segmodels evaluate {data_folder} --model {trained}" in said.out.splitlines()[-1]
    main(arguments(data_folder, trained, "--set", "seed=2", "--resume", epochs=2))  # goes on, so nothing is new
    assert kept.read_bytes() == before[0]


def test_a_run_that_was_stopped_does_not_take_the_place_of_one_that_was_finished(tmp_path: Path) -> None:
    """The first run is finished, the second is stopped, the third is finished: each time a new one begins."""
    out, kept = tmp_path / "a.safetensors", tmp_path / "a_previous.safetensors"
    for run, finished in (("first", True), ("second", False), ("third", True)):
        keep_previous(out)
        results_folder(out).mkdir(exist_ok=True)
        (results_folder(out) / "curve.png").write_text(run)
        checkpoint_file(out).write_text(run)
        if finished:
            out.write_text(run)
    there = [kept, results_folder(kept) / "curve.png", checkpoint_file(kept), out]
    assert [file.read_text() for file in there] == ["first", "first", "second", "third"]
    keep_previous(out)
    assert {file.read_text() for file in there[:3]} == {"third"}
    assert keep_previous(out) == ""


def test_a_trained_file_is_gone_on_from(data_folder: Path, trained: Path, tmp_path: Path) -> None:
    card, weights = to_train(str(trained))
    assert (card.name, weights) == (MODEL, trained)
    network = card.builder(21)
    assert start_from_weights(network, card, trained) == "once.safetensors"
    written = load_file(trained)
    assert all((tensor == written[name].float()).all() for name, tensor in network.state_dict().items())
    out = tmp_path / "twice.safetensors"
    command.run(
        argparse.Namespace(
            data=[data_folder],
            model=str(trained),
            out=out,
            epochs=1,
            set=["batch=3", "crop=32"],
            start=None,
            resume=False,
            workers=0,
        )
    )
    log = json.loads((results_folder(out) / "log.json").read_text())
    assert (log["model"], log["start"]) == (MODEL, "once.safetensors")


def test_a_backbone_with_batch_norms_is_taken_from_a_file(tmp_path: Path) -> None:
    """Batch norms count their batches: numbers without a fraction."""
    card = registry.card("unet_resnet18")
    there, here = card.builder(5), card.builder(3)
    save_state(there, tmp_path / "five.safetensors")
    assert start_from(here, replace(card), tmp_path / "five.safetensors") == "five.safetensors"
    own, theirs = here.state_dict(), there.state_dict()
    counts = [name for name in own if name.startswith("backbone.") and "num_batches" in name]
    assert counts
    for name in own:
        if name.startswith("backbone."):
            torch.testing.assert_close(own[name], theirs[name], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory."), "/dev/shm.*--workers 0"),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), "one of them was ended: --workers 0"),
        (RuntimeError("unable to write to file </torch_7_1>: No space left on device (28), in /dev/shm"), "/dev/shm"),
        (ValueError("Caught ValueError in DataLoader worker process 0.\nOriginal Traceback:\n x\nValueError: a.jpg cannot be read"), "^a.jpg cannot be read$"),
    ],
)  # fmt: skip
def test_what_ends_the_processes_that_read_photos_is_one_sentence(error: Exception, sentence: str) -> None:
    with pytest.raises((OSError, ValueError), match=sentence), training.explained(1):
        raise error


def test_files_are_written_as_the_umask_says(tmp_path: Path, data_folder: Path, trained: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(trained.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    with atomic_write(tmp_path / "other") as partial:
        partial.write_text("x")
        partial.chmod(0o600)
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_path_is_shown_where_there_is_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert display_path(Path("/data/a.txt")) == "/data/a.txt"


def test_photos_of_any_ending_are_found_and_hidden_files_are_none(data_folder: Path) -> None:
    images = data_folder / "images"
    (images / "0.jpg").rename(images / "0.JPG")
    (images / "1.jpg").rename(images / "1.jfif")
    Image.open(images / "2.jpg").save(images / "2.TIF")
    (images / "2.jpg").unlink()
    (images / "._3.jpg").write_bytes(b"\0\5\x16\7")
    (data_folder / "labels" / "4.png").rename(data_folder / "labels" / "4_mask.PNG")
    (data_folder / "train.txt").write_text("# photos\nimages/0.JPG labels/0.png\n1.jfif\n2\n3\n4\n5\n")
    folder = SegmentationFolder(data_folder, "train")
    assert folder.stems == ["0", "1", "2", "3", "4", "5"]
    assert all(folder[index][0].size == (96, 64) for index in range(6))


def test_what_lies_in_the_place_of_a_missing_folder_is_named(data_folder: Path) -> None:
    (data_folder / "labels").rename(data_folder / "SegmentationClass")
    with pytest.raises(FileNotFoundError, match=r"labels is missing.*SegmentationClass/.*segmodels import"):
        SegmentationFolder(data_folder, "train")
