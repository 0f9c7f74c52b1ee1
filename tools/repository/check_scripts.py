"""Check the page's scripts with Biome and TypeScript: ``python -m tools.repository.check_scripts``.

Needs node with npm. Without it the scripts stay unchecked, with a word about it; in CI that is an error.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "web"


def main() -> int:
    """Install the checkers that ``package-lock.json`` names, run them, and return an exit status."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    npm = shutil.which("npm")
    if npm is None:
        print("the page's scripts are not checked: node is not installed", file=sys.stderr)
        return int(os.environ.get("CI") == "true")
    lock, installed = FOLDER / "package-lock.json", FOLDER / "node_modules" / ".package-lock.json"
    if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
        done = subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--silent"], cwd=FOLDER, check=False)
        if done.returncode:
            print("the page's scripts are not checked: npm cannot install the checkers", file=sys.stderr)
            return int(os.environ.get("CI") == "true")
    return subprocess.run([npm, "test", "--silent"], cwd=FOLDER, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
