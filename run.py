"""Set up and go: ``python3 run.py demo`` opens the demo, ``python3 run.py test`` runs all checks.

Needs nothing but Python 3.11 or newer. What the project needs goes into the virtual environment ``.venv`` beside this
file (elsewhere if VENV names a folder), the first time and whenever the requirements change.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("VENV") or ROOT / ".venv")
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

DEMO = [["app.py"]]
CHECKS = [
    ["-m", "ruff", "check", "."],
    ["-m", "ruff", "format", "--check", "."],
    ["-m", "mypy"],
    ["-m", "pytest", "-q"],
]


def install(requirements: str) -> None:
    """Make the environment and install ``requirements``, unless just that was done before."""
    wanted = hashlib.sha256()
    for name in sorted(ROOT.glob("requirements*.txt")):
        wanted.update(name.read_bytes())
    stamp = VENV / f"{requirements}.sha256"
    if PYTHON.exists() and stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return
    print(f"installing {requirements} into {VENV}", flush=True)
    venv.create(VENV, with_pip=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "-r", ROOT / requirements], check=True)
    stamp.write_text(wanted.hexdigest())


def main() -> int:
    """Run what the command line asks for; returns the exit status of the first step that fails."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this may have an older one
        print("this project needs Python 3.11 or newer", file=sys.stderr)
        return 2
    jobs = {"demo": ("requirements.txt", DEMO), "test": ("requirements-dev.txt", CHECKS)}
    if len(sys.argv) < 2 or sys.argv[1] not in jobs:
        print(__doc__, file=sys.stderr)
        return 2
    requirements, steps = jobs[sys.argv[1]]
    try:
        install(requirements)
        for step in steps:
            status = subprocess.run([PYTHON, *step, *(sys.argv[2:] if step is steps[-1] else [])], cwd=ROOT).returncode
            if status:
                return status
    except KeyboardInterrupt:
        return 130
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
