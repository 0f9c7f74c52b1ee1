"""The exact versions of everything, found for the ranges in ``pyproject.toml``.

    python3 run.py lock                     # keep what is named as long as it fits the ranges
    python3 run.py lock --upgrade           # the newest of everything
    python3 run.py lock --upgrade-package gradio

Writes ``requirements.txt`` (the demo), ``requirements-dev.txt`` (the checks), ``requirements-ray.txt``, and
``requirements-cuda.txt``: what torch brings along for graphics cards, named apart because only torch's builds for them
need it. Arguments are handed on to ``uv pip compile``. The lists hold for every system and every Python from 3.11 on.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTS = {"requirements.txt": "demo", "requirements-dev.txt": "dev", "requirements-ray.txt": "ray"}
"""Each list with the extra of pyproject.toml that it is for; the versions of the first hold in all of them."""
CUDA = "requirements-cuda.txt"
TORCH_BRINGS = ("cuda-", "nvidia-", "triton")
HEADERS = {
    False: "# Exact versions for the ranges in pyproject.toml, written by: python3 run.py lock\n",
    True: "# What torch brings along for graphics cards, for pip's --constraint; written by: python3 run.py lock\n",
}


def main() -> None:
    """Write all lists."""
    parser = argparse.ArgumentParser(
        prog="run.py lock", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _, options = parser.parse_known_args()
    versions = ROOT / CUDA
    first, *others = LISTS
    compiled = _compiled(LISTS[first], [ROOT / first, versions], options)
    for cuda, file in ((False, ROOT / first), (True, versions)):
        _write(file, part(compiled, cuda), HEADERS[cuda])
    for name in others:
        constraints = ["--constraint", first, "--constraint", CUDA]
        compiled = _compiled(LISTS[name], [ROOT / name], [*constraints, *options])
        _write(ROOT / name, part(compiled, False), HEADERS[False])


def part(compiled: str, cuda: bool) -> str:
    """The lines for graphics cards, or all others, each with the remarks below it."""
    chosen, lines = False, []
    for line in compiled.splitlines(keepends=True):
        if not line.startswith((" ", "#")):
            chosen = line.startswith(TORCH_BRINGS) == cuda
        if chosen:
            lines.append(line)
    return "".join(lines)


def _compiled(extra: str, before: Sequence[Path], options: Sequence[str]) -> str:
    """What uv finds; versions in the files ``before`` stay where they can."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "requirements.txt")
        out.write_text("".join(file.read_text(encoding="utf-8") for file in before if file.exists()), encoding="utf-8")
        where = [
            "--universal",
            "--python-version",
            "3.11",
            "--no-header",
            "--quiet",
            "--annotation-style",
            "line",
            "--output-file",
            str(out),
        ]
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--extra", extra, *where, *options]
        subprocess.run(command, cwd=ROOT, check=True)
        return out.read_text(encoding="utf-8")


def _write(file: Path, lines: str, header: str) -> None:
    file.write_text(header + lines, encoding="utf-8")
    print(f"{file.name}: {sum('==' in line for line in lines.splitlines())} packages")


if __name__ == "__main__":
    main()
