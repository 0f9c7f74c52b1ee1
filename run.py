"""Set up and go: ``python3 run.py demo`` opens the demo, ``python3 run.py test`` runs all checks, and
``python3 run.py lock`` writes the exact versions that both are run with.

Needs nothing but Python 3.11 or newer. What the project needs goes into the virtual environment ``.venv`` beside this
file (elsewhere if VENV names a folder), the first time and whenever the requirements change.
"""

import hashlib
import os
import signal
import subprocess
import sys
import venv
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("VENV") or ROOT / ".venv")
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

TWO_AT_ONCE = ["--numprocesses", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
"""Tests run in two processes, each with an app of its own; those of one file stay together, and share what they set up.
They are begun in the order of tests/conftest.py, the longest files first."""

JOBS = {
    "demo": ("requirements.txt", [["app.py"]]),
    "test": (
        "requirements-dev.txt",
        [
            ["-m", "ruff", "check", "."],
            ["-m", "ruff", "format", "--check", "."],
            ["-m", "mypy"],
            ["-m", "pytest", "-q", *TWO_AT_ONCE],
        ],
    ),
    "lock": ("requirements-dev.txt", [["-m", "tools.repository.lock"]]),
}
"""What can be asked for: what it needs, and the steps that it takes; further arguments go to the last."""


def install(requirements: str) -> None:
    """Make the environment and install ``requirements``, unless just that was done before; raises Failed."""
    wanted = hashlib.sha256()
    for name in sorted(ROOT.glob("requirements*.txt")):
        wanted.update(name.read_bytes())
    stamp = VENV / f"{requirements}.sha256"
    if PYTHON.exists() and stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return
    print(f"installing {requirements} into {VENV}; PyTorch is large, so the first time takes minutes", flush=True)
    venv.create(VENV, with_pip=True)
    run("-m", "pip", "install", "--requirement", requirements, "--constraint", "requirements-cuda.txt")
    stamp.write_text(wanted.hexdigest())


class Failed(Exception):
    """A step did not succeed; its exit status is the argument."""


def run(*arguments: str) -> None:
    """Run the environment's Python in this folder to its end, which is also the end of this; raises Failed."""
    child = subprocess.Popen([PYTHON, *arguments], cwd=ROOT)
    try:
        status = child.wait()
    except KeyboardInterrupt:  # the terminal tells the child too, which needs a moment to close
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
    """Leave as a program does that SIGTERM ends, after whatever is running was ended."""
    sys.exit(128 + signal.SIGTERM)


def main() -> int:
    """Run what the command line asks for; returns the exit status of the first step that fails."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this may have an older one
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
