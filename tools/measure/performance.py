"""Measure everything and write it into ``docs/performance.md``: ``python -m tools.measure.performance``.

On a machine that does nothing else; it takes some minutes. A part that cannot be measured, for want of ONNX Runtime and
OpenVINO for example, is left as it is.
"""

import argparse
import subprocess
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"
PARTS = {
    "tables": ["segmodels", "bench"],
    "app": ["tools.measure.app"],
    "engines": ["tools.measure.engines"],
}
"""What stands between which marks of the page, and the module that prints it."""


def main() -> int:
    """Returns how many parts could not be measured."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    failed = 0
    for part, module in PARTS.items():
        done = subprocess.run([sys.executable, "-m", *module], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode == 0:
            put(part, f"Measured on {date.today()}. {done.stdout.strip()}" if part == "tables" else done.stdout.strip())
        failed += done.returncode != 0
    return failed


def put(part: str, text: str) -> None:
    """Replace what stands between the marks of a part of the page."""
    first, last = f"<!-- {part}: written by tools/measure/performance.py -->", f"<!-- end of {part} -->"
    before, rest = PAGE.read_text(encoding="utf-8").split(first)
    after = rest.split(last)[1]
    PAGE.write_text(f"{before}{first}\n{text}\n{last}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
