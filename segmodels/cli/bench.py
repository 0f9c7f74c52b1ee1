"""``segmodels bench``: measure the speed, beside torchvision's."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .options import Commands


def add(commands: "Commands") -> None:
    """Add the command and its options."""
    command = commands.add_parser("bench", help="measure how fast this is here, beside torchvision")
    command.add_argument("--model", nargs="+", default=[], metavar="NAME", help="these networks alone")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--quick", action="store_true", help="small pictures, one turn: whether it runs, not how fast")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print tables or JSON."""
    from ..benchmark.speed import bench
    from ..benchmark.tables import markdown

    report = bench(arguments.model, arguments.quick, lambda line: print(f"measuring {line}", file=sys.stderr))
    print(json.dumps(report) if arguments.json else markdown(report))
