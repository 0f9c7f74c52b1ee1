"""Set up the project and run it. Needs only Python 3.11 or newer.

    python3 run.py demo    # open the demo in the browser
    python3 run.py test    # lint, type checks and all tests
    python3 run.py docs    # write the API reference into build/api
    python3 run.py lock    # write the exact versions that the other commands install

The first run installs the requirements into the virtual environment ``.venv`` beside this file (or into the folder that
VENV names). A later run installs again only if the requirements have changed.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import venv
from contextlib import suppress
from pathlib import Path
from typing import NoReturn
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("VENV") or ROOT / ".venv")
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

MOST_PROCESSES = 6
"""Test processes at most. Each runs an app of its own, which takes about 1.5 GB."""

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's builds without CUDA: 200 MB to download in place of 3 GB."""

REACH_SECONDS = 5
"""How long CPU_INDEX may take to answer before the ordinary index is used."""


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


PROCESSES = ["--numprocesses", str(min(usable_cores(), MOST_PROCESSES)), "--dist", "loadfile", "--no-loadscope-reorder"]
"""Tests of one file run in one process and share what they set up. The longest files start first (tests/conftest.py)."""

JOBS = {
    "demo": ("requirements.txt", [["app.py"]]),
    "test": (
        "requirements-dev.txt",
        [
            ["-m", "ruff", "check", "."],
            ["-m", "ruff", "format", "--check", "."],
            ["-m", "mypy"],
            ["-m", "tools.repository.check_scripts"],
            ["-m", "pytest", "-q", *PROCESSES],
        ],
    ),
    "docs": ("requirements-dev.txt", [["-m", "tools.repository.api_docs", "build/api"]]),
    "lock": ("requirements-dev.txt", [["-m", "tools.repository.lock"]]),
}
"""Each command's requirements and steps. Further arguments go to the last step."""


def install(requirements: str) -> None:
    """Create the environment and install ``requirements``, unless that is done already.

    Raises:
        Failed: if the requirements cannot be installed.
    """
    wanted = hashlib.sha256()
    for name in sorted(ROOT.glob("requirements*.txt")):
        wanted.update(name.read_bytes())
    stamp = VENV / f"{requirements}.sha256"
    if PYTHON.exists() and stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return
    print(f"installing {requirements} into {VENV}; this takes a few minutes, because PyTorch is large", flush=True)
    venv.create(VENV, with_pip=True)
    lists = ["--requirement", requirements, "--constraint", "requirements-cuda.txt"]
    if (
        pip_has_own_sources()
    ):  # a mirror, or folders of wheels: they decide which build there is, and uv knows nothing of them
        run("-m", "pip", "install", *lists)
    else:
        cpu = wants_cpu_build() and is_reachable(CPU_INDEX)
        if not install_with_uv([*lists, *(["--torch-backend", "cpu"] if cpu else [])]):
            run("-m", "pip", "install", *lists, *(["--extra-index-url", CPU_INDEX] if cpu else []))
    stamp.write_text(wanted.hexdigest())


def wants_cpu_build() -> bool:
    """Return whether PyTorch's CPU build is the right one: on Linux without an NVIDIA device.

    On Windows and macOS the ordinary index has the CPU build anyway.
    """
    devices = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")  # the last is WSL's
    return sys.platform == "linux" and not shutil.which("nvidia-smi") and not any(map(os.path.exists, devices))


def is_reachable(url: str) -> bool:
    """Return whether ``url`` answers within REACH_SECONDS, the lookup of its name included."""
    answered = threading.Event()

    def ask() -> None:
        with suppress(Exception), urlopen(f"{url}/", timeout=REACH_SECONDS):  # whatever the reason, it does not answer
            answered.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(REACH_SECONDS)  # the timeout of a connection does not cover the lookup of a name
    return answered.is_set()


def pip_has_own_sources() -> bool:
    """Return whether pip is configured, by a file or the environment, to look elsewhere than on PyPI."""
    command = [PYTHON, "-m", "pip", "config", "list"]
    configured = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return bool(re.search(r"\b(index-url|find-links|no-index)=", configured))


def install_with_uv(arguments: list[str]) -> bool:
    """Install with uv, which is several times faster than pip, and return whether that succeeded."""
    (uv,) = re.findall(r"^uv==\S+", (ROOT / "requirements-dev.txt").read_text(encoding="utf-8"), re.MULTILINE)
    steps = (
        [PYTHON, "-m", "pip", "install", "--quiet", uv],
        [PYTHON, "-m", "uv", "pip", "install", "--python", PYTHON, *arguments],
    )
    return all(subprocess.run(step, cwd=ROOT, check=False).returncode == 0 for step in steps)


class Failed(Exception):
    """A step failed. The argument is its exit status."""


def run(*arguments: str) -> None:
    """Run the environment's Python in this folder and wait for it. If this process ends, so does the child.

    Raises:
        Failed: if it exits with a status other than 0.
    """
    child = subprocess.Popen([PYTHON, *arguments], cwd=ROOT)
    try:
        status = child.wait()
    except KeyboardInterrupt:  # the terminal interrupts the child as well, which needs a moment to close
        with suppress(subprocess.TimeoutExpired):
            child.wait(10)
        raise
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
    if status:
        raise Failed(status)


def end(*_: object) -> NoReturn:
    """Exit on SIGTERM. ``run`` ends the child on the way out."""
    sys.exit(128 + signal.SIGTERM)


def main() -> int:
    """Run the command that was asked for and return an exit status: that of the first step that fails, or 0."""
    if sys.version_info < (3, 11):  # noqa: UP036 - people may run this with an older Python
        print("this project needs Python 3.11 or newer", file=sys.stderr)
        return 2
    if len(sys.argv) < 2 or sys.argv[1] not in JOBS:
        print(__doc__, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, end)
    requirements, steps = JOBS[sys.argv[1]]
    try:
        install(requirements)
        for step in steps:
            run(*step, *(sys.argv[2:] if step is steps[-1] else []))
    except KeyboardInterrupt:
        return 130
    except Failed as failed:
        return int(failed.args[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
