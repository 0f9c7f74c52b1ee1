"""``segmodels export``: a network for other runtimes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .options import resolve_model

if TYPE_CHECKING:
    from .options import Commands


def add(commands: "Commands") -> None:
    """The command's options."""
    command = commands.add_parser("export", help="write a network as an ONNX graph, or as a page that runs it")
    command.add_argument(
        "model", metavar="NAME|FILE", help="one of `segmodels list`, or a weights file that says which"
    )
    command.add_argument("--weights", type=Path, metavar="FILE", help="other weights for it")
    target = command.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, metavar="FILE", help="the .onnx file to write")
    target.add_argument(
        "--page", type=Path, metavar="FILE", help="an .html file with the network in it, which opens without a server"
    )
    command.add_argument("--rate", type=int, metavar="R", help="one atrous rate, in place of an input for it")
    command.add_argument("--argmax", action="store_true", help="the output is the label map, in place of logits")
    command.add_argument("--half", action="store_true", help="weights in 16 bits: half the size")
    command.add_argument(
        "--uint8",
        type=Path,
        nargs="+",
        default=(),
        metavar="PHOTO",
        help="weights and activations in 8 bits, with the ranges that they have on these photos",
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Export a network."""
    resolve_model(arguments)
    if arguments.page is not None:
        _page(arguments)
        return
    from ..export.onnx_graph import export_model

    card = export_model(
        arguments.model,
        arguments.out,
        arguments.weights,
        arguments.rate,
        arguments.argmax,
        arguments.half,
        arguments.uint8,
    )
    inputs = "image, atrous_rate" if card.atrous_rate is not None and arguments.rate is None else "image"
    _say(arguments.out, card.name, f"{len(card.classes)} classes", f"takes {inputs}")


def _page(arguments: argparse.Namespace) -> None:
    from ..export.page import export_page

    if arguments.rate is not None or arguments.argmax or arguments.half or arguments.uint8:
        raise ValueError("--rate, --argmax, --half and --uint8 are for --out: leave them out with --page")
    card = export_page(arguments.model, arguments.page, arguments.weights)
    _say(arguments.page, card.name, f"{len(card.classes)} classes", "open it in a browser")


def _say(file: Path, name: str, classes: str, then: str) -> None:
    print(f"{file}: {name}, {classes}, {file.stat().st_size / 1e6:.1f} MB; {then}")
