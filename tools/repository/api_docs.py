"""The API reference, made from the docstrings.

    python3 run.py docs                            # into build/api
    python -m tools.repository.api_docs FOLDER

Writes one HTML page for each public module of ``segmodels``. The pages need no server: open ``index.html``.
"""

import argparse
import pkgutil
from pathlib import Path

import pdoc

import segmodels


def modules() -> list[str]:
    """Return the names of the modules that have a page: all but the command line, which has ``--help``."""
    found = [module.name for module in pkgutil.walk_packages(segmodels.__path__, "segmodels.")]
    return ["segmodels", *(name for name in found if name.split(".")[1] not in ("cli", "__main__"))]


def write(folder: Path) -> None:
    """Write the pages into ``folder``, which is created if it is missing."""
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*modules(), output_directory=folder)


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder: Path = parser.parse_args().folder
    write(folder)
    print(f"{folder / 'index.html'}: {sum(1 for _ in folder.rglob('*.html'))} pages")


if __name__ == "__main__":
    main()
