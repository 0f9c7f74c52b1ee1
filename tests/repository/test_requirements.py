"""Ranges are in pyproject.toml, exact versions in requirements*.txt; and run.py, which installs them."""

import hashlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement

from tools.repository.lock import CUDA, LISTS, part
from tools.stress.running import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def named(file: str) -> dict[str, str]:
    """The versions in a list; every line must name exactly one."""
    found = {}
    for line in (ROOT / file).read_text().splitlines():
        if text := line.partition("#")[0].strip():
            requirement = Requirement(text)
            (version,) = requirement.specifier
            assert version.operator == "==", line
            assert "*" not in version.version, line
            found[spelled(requirement.name)] = version.version
    return found


def spelled(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def ranges(extra: str) -> list[Requirement]:
    """What the project needs, with an extra and those that this one contains."""
    found = [Requirement(line) for line in PROJECT["dependencies"]]
    waiting = [extra]
    while waiting:
        for requirement in map(Requirement, PROJECT["optional-dependencies"][waiting.pop()]):
            if requirement.name == PROJECT["name"]:
                waiting += requirement.extras
            else:
                found.append(requirement)
    return found


@pytest.mark.parametrize(("file", "extra"), LISTS.items())
def test_each_list_names_exact_versions_within_the_ranges(file: str, extra: str) -> None:
    versions = named(file)
    for requirement in ranges(extra):
        name = spelled(requirement.name)
        assert name in versions, f"{name} is not in {file}: python3 run.py lock"
        assert requirement.specifier.contains(versions[name]), f"{name} is out of its range: python3 run.py lock"


def test_the_lists_agree_and_what_is_for_graphics_cards_is_apart() -> None:
    """So that torch's build for processors can be installed without two gigabytes for graphics cards."""
    demo, *others = (named(file) for file in LISTS)
    for other in others:
        assert {name: other[name] for name in demo.keys() & other.keys()} == {
            name: demo[name] for name in demo.keys() & other.keys()
        }
    assert demo.keys() <= others[0].keys()
    cuda = named(CUDA)
    assert "nvidia-cublas" in cuda
    assert not cuda.keys() & set().union(*(other.keys() for other in (demo, *others)))


def test_a_space_runs_what_was_tested() -> None:
    head = (ROOT / "README.md").read_text().split("---")[1]
    facts = dict(line.split(": ", 1) for line in head.strip().splitlines())
    assert facts["sdk_version"] == named("requirements.txt")["gradio"]
    assert PROJECT["requires-python"].removeprefix(">=") == facts["python_version"].strip('"')


def test_what_is_compiled_is_parted_with_its_remarks() -> None:
    compiled = "cuda-a==1 ; x\n    # via torch\ntorch==2\n    # via us\ntriton==3  # via torch\n"
    assert part(compiled, cuda=True) == "cuda-a==1 ; x\n    # via torch\ntriton==3  # via torch\n"
    assert part(compiled, cuda=False) == "torch==2\n    # via us\n"


@pytest.fixture
def starter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """``run.py`` with an environment of its own, which has this Python and the packages that it has."""
    found = importlib.util.spec_from_file_location("starter", ROOT / "run.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    monkeypatch.setattr(module, "PYTHON", Path(sys.executable))
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return module


@pytest.mark.parametrize(
    ("own_sources", "gpu", "reachable", "uv", "expected"),
    [
        (False, False, True, True, ["uv --torch-backend cpu"]),
        (False, False, True, False, ["uv --torch-backend cpu", "pip --extra-index-url {index}"]),
        (False, False, False, True, ["uv"]),
        (False, True, True, True, ["uv"]),
        (True, False, True, True, ["pip"]),
    ],
)
def test_the_build_of_torch_fits_the_machine(
    starter: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    own_sources: bool,
    gpu: bool,
    reachable: bool,
    uv: bool,
    expected: list[str],
) -> None:
    """With a GPU, or where PyTorch's index does not answer, the ordinary index is asked; pip's own settings go first."""
    done: list[str] = []
    fixed = ["--requirement", "requirements.txt", "--constraint", "requirements-cuda.txt"]

    def install(tool: str, arguments: list[str]) -> bool:
        assert arguments[:4] == fixed
        done.append(" ".join([tool, *arguments[4:]]))
        return uv

    monkeypatch.setattr(starter, "VENV", tmp_path)
    monkeypatch.setattr(starter.venv, "create", lambda *_, **__: None)
    monkeypatch.setattr(starter, "pip_has_own_sources", lambda: own_sources)
    monkeypatch.setattr(starter, "wants_cpu_build", lambda: not gpu)
    monkeypatch.setattr(starter, "is_reachable", lambda url: reachable)
    monkeypatch.setattr(starter, "install_with_uv", lambda arguments: install("uv", arguments))
    monkeypatch.setattr(starter, "run", lambda *arguments: install("pip", list(arguments[3:])))
    starter.install("requirements.txt")
    assert done == [line.format(index=starter.CPU_INDEX) for line in expected]
    starter.install("requirements.txt")  # the second time nothing is left to do
    assert len(done) == len(expected)


def test_an_index_that_does_not_answer_is_given_up(starter: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and says nothing."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(starter, "REACH_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not starter.is_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert not starter.is_reachable("http://127.0.0.1:9")


@pytest.mark.parametrize("variable", ["PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"])
def test_sources_that_pip_is_told_of_are_noticed(
    starter: ModuleType, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    assert not starter.pip_has_own_sources()
    monkeypatch.setenv(variable, "file:///wheels")
    assert starter.pip_has_own_sources()


def test_tests_run_on_the_cores_that_may_be_used(starter: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    assert starter.usable_cores() == 3
    assert starter.PROCESSES[0] == "--numprocesses"
    assert 1 <= int(starter.PROCESSES[1]) <= starter.MOST_PROCESSES


APP = """
import signal, sys, time
from pathlib import Path

def end(*_):
    Path("ended").touch()
    sys.exit(0)

signal.signal(signal.SIGTERM, end)
Path("started").touch()
time.sleep(60)
"""


def test_what_ends_the_starter_ends_the_app(tmp_path: Path) -> None:
    shutil.copy(ROOT / "run.py", tmp_path)
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "requirements.txt").write_text("")
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (tmp_path / "venv" / "requirements.txt.sha256").write_text(hashlib.sha256(b"").hexdigest())
    environment = os.environ | {"VENV": str(tmp_path / "venv")}
    with subprocess.Popen([sys.executable, "run.py", "demo"], cwd=tmp_path, env=environment) as starter:
        while not (tmp_path / "started").exists():
            with pytest.raises(subprocess.TimeoutExpired):
                starter.wait(0.1)
        starter.send_signal(signal.SIGTERM)
        assert starter.wait(30) == 128 + signal.SIGTERM
    assert (tmp_path / "ended").exists()
