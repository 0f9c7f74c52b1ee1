"""``segmodels demo``: the page, from an installed package as from the repository."""

import argparse
import importlib.util
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .options import Commands


def add(commands: "Commands") -> None:
    """Add the command and its options."""
    command = commands.add_parser("demo", help="open the demo in the browser")
    command.add_argument(
        "--weights", nargs="+", type=Path, default=[], metavar="FILE", help="show these weights beside the bundled ones"
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Open the demo and serve it until it is interrupted.

    Raises:
        ModuleNotFoundError: if the demo, or gradio, is not installed.
    """
    for name in ("demo", "gradio"):
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError("the demo is not installed: pip install 'segmodels[demo]'")
    # The demo is another package, which builds on this one: it is run as ``python -m demo`` runs it, not imported.
    sys.argv = ["segmodels demo", *(["--weights", *map(str, arguments.weights)] if arguments.weights else [])]
    runpy.run_module("demo", run_name="__main__", alter_sys=True)
