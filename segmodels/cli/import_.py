"""``segmodels import``: what a labelling tool exported, brought into a folder to train on."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import display_path
from ..importing.presets import FORMATS
from .check import report
from .options import positive

if TYPE_CHECKING:
    from .options import Commands


def add(commands: "Commands") -> None:
    """The command's options."""
    command = commands.add_parser(
        "import", help="bring a labelling tool's export, or a public data set, into a folder to train on"
    )
    command.add_argument("source", type=Path, metavar="SOURCE", help="the folder or the file that the tool wrote")
    command.add_argument("data", type=Path, metavar="DATA", help="the folder to write; it must not be there")
    command.add_argument(
        "--format", choices=FORMATS, metavar="NAME", help=f"in place of what is found: {', '.join(FORMATS)}"
    )
    command.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="VALUE=NAME,...",
        help="the class of a value, of a colour (#ff0000 or '255 0 0') or of a name; several may become one; NAME void is none",
    )
    command.add_argument(
        "--void", action="append", default=[], metavar="VALUE,...", help="values, colours or names that are not scored"
    )
    command.add_argument("--colours", type=Path, metavar="FILE", help="a list of the classes, with their colours")
    command.add_argument(
        "--rest", choices=("background", "void"), help="what pixels are that no shape covers: all else, or not known"
    )
    command.add_argument("--width", type=positive, metavar="PIXELS", help="how wide lines and points are")
    command.add_argument("--annotator", metavar="WHO", help="Label Studio: whose annotations are taken")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Import; exit status 0 only if the result is ready to train on."""
    from ..importing.detect import plan
    from ..importing.plan import Options
    from ..importing.write import inside, write
    from ..training.check import check

    if inside(arguments.data, arguments.source):
        raise ValueError(
            f"{display_path(arguments.data)} lies in what is imported, which is left as it is: name a folder beside it"
        )
    if arguments.colours and not arguments.colours.is_file():
        raise FileNotFoundError(f"{arguments.colours} is missing")
    options = Options(
        mapping_of(arguments.map),
        tuple(part.strip() for text in arguments.void for part in text.split(",") if part.strip()),
        arguments.colours,
        arguments.rest,
        arguments.width,
        arguments.annotator,
    )
    for sentence in write(plan(arguments.source, options, arguments.format), arguments.data):
        print(sentence)
    report(arguments.data, check(arguments.data))


def mapping_of(texts: list[str]) -> dict[str, str]:
    """Return ``VALUE=NAME`` pairs as a table.

    Raises:
        ValueError: if a part is no such pair.
    """
    mapping = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        value, equals, name = part.rpartition("=")
        if not equals or not value.strip() or not name.strip():
            raise ValueError(f"--map takes VALUE=NAME, not {part!r}")
        mapping[value.strip()] = name.strip()
    return mapping
