"""``segmodels export``: a network for other runtimes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .options import resolve_model

if TYPE_CHECKING:
    from .options import Commands


def add(commands: "Commands") -> None:
    """The command's options."""
    command = commands.add_parser("export", help="write a network as an ONNX graph, the atrous rate an input of it")
    command.add_argument(
        "model", metavar="NAME|FILE", help="one of `segmodels list`, or a weights file that says which"
    )
    command.add_argument("--weights", type=Path, metavar="FILE", help="other weights for it")
    command.add_argument("--out", required=True, type=Path, metavar="FILE", help="the .onnx file to write")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Export a network."""
    from ..export.onnx_graph import export_model

    resolve_model(arguments)
    card = export_model(arguments.model, arguments.out, arguments.weights)
    inputs = "image, atrous_rate" if card.atrous_rate is not None else "image"
    print(
        f"{arguments.out}: {card.name}, {len(card.classes)} classes, {arguments.out.stat().st_size / 1e6:.1f} MB; takes {inputs}"
    )
