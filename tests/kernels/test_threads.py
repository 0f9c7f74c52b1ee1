"""A pass runs on the processors that nothing else keeps busy, and says the same on any number of threads."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

import segmodels
from segmodels.kernels import threads
from segmodels.kernels.cpus import runnable_threads
from segmodels.kernels.threads import Neighbours, one_thread, threads_beside, threads_for_pass
from segmodels.models import registry


def machine_with(root: Path, running: int) -> Path:
    """A machine on which so many threads run, as the kernel tells it."""
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/loadavg").write_text(f"0.20 0.18 0.12 {running}/80 11206\n")
    return root


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch has two threads, on a machine of two processors."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(threads, "available_cpus", lambda: 2)
    monkeypatch.setattr(threads, "COUNT_GIVEN", False)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what runs")
def test_a_busy_process_is_seen() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    try:
        assert busy.stdout is not None
        busy.stdout.readline()
        running = runnable_threads()
    finally:
        busy.kill()
        busy.wait()
    assert running is not None
    assert running >= 2


def test_nobody_tells_what_runs(tmp_path: Path) -> None:
    assert runnable_threads(tmp_path) is None
    assert Neighbours(tmp_path).observe(0.0) == 0.0


def test_what_runs_now_and_ran_just_before_counts(tmp_path: Path) -> None:
    neighbours = Neighbours(machine_with(tmp_path, 3))
    assert neighbours.observe(10.0) == 2.0
    machine_with(tmp_path, 1)
    assert neighbours.observe(10.1) == 1.0
    assert neighbours.observe(60.0) == 0.0


@pytest.mark.parametrize(
    ("neighbours", "cpus", "most", "count"),
    [
        (0.0, 2, 2, 2),
        (0.4, 2, 2, 2),
        (1.0, 2, 2, 1),
        (2.0, 2, 2, 1),
        (1.0, 16, 16, 15),
        (3.0, 64, 4, 4),
        (9.0, 1, 1, 1),
    ],
)
def test_threads_are_as_many_as_processors_are_left(neighbours: float, cpus: int, most: int, count: int) -> None:
    assert threads_beside(neighbours, cpus, most) == count


def test_only_the_thread_of_the_pass_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_threads: None
) -> None:
    monkeypatch.setattr(threads, "_NEIGHBOURS", Neighbours(machine_with(tmp_path, 2)))
    others: list[int] = []
    with threads_for_pass() as count:
        assert count == torch.get_num_threads() == 1
        other = threading.Thread(target=lambda: others.append(torch.get_num_threads()))
        other.start()
        other.join()
    assert torch.get_num_threads() == 2
    assert others == [2]


def test_loops_on_one_thread_leave_the_others_of_the_program_theirs(two_threads: None) -> None:
    others: list[int] = []
    with one_thread():
        assert torch.get_num_threads() == 1
        with one_thread():
            pass
        assert torch.get_num_threads() == 1
        other = threading.Thread(target=lambda: others.append(torch.get_num_threads()))
        other.start()
        other.join()
    assert torch.get_num_threads() == 2
    assert others == [2]


def test_a_number_in_the_environment_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_threads: None) -> None:
    monkeypatch.setattr(threads, "_NEIGHBOURS", Neighbours(machine_with(tmp_path, 2)))
    monkeypatch.setattr(threads, "COUNT_GIVEN", True)
    with threads_for_pass() as count:
        assert count == torch.get_num_threads() == 2


@pytest.mark.parametrize("name", registry.compact_models())
def test_the_answer_does_not_depend_on_the_threads(
    name: str, cat: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_threads: None
) -> None:
    segmenter = segmodels.load(name, device="cpu", precision="float32")
    logits = []
    for running in (1, 2):
        monkeypatch.setattr(threads, "_NEIGHBOURS", Neighbours(machine_with(tmp_path, running)))
        logits.append(segmenter.logits(segmenter.encode(cat, working_size=257)))
    assert torch.equal(*logits)
