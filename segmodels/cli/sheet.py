"""``segmodels sheet``: photos by several networks on one picture."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..batch.local_engine import photos_in
from ..batch.sheet import contact_sheet
from ..models import registry

if TYPE_CHECKING:
    from .options import Commands


def add(commands: "Commands") -> None:
    """The command's options."""
    command = commands.add_parser("sheet", help="write a contact sheet: a row a photo, a column a network")
    command.add_argument("photos", nargs="+", metavar="PHOTO", type=Path, help="files, and folders of photos")
    command.add_argument("--out", required=True, type=Path, metavar="FILE", help="the picture, such as sheet.jpg")
    command.add_argument(
        "--models",
        type=lambda text: [name.strip() for name in text.split(",")],
        default=registry.compact_models(),
        metavar="NAMES",
        help="networks with commas between them (default: the compact zoo)",
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Write the sheet."""
    sheet = contact_sheet(photos_in(arguments.photos), arguments.models)
    try:
        sheet.save(arguments.out)
    except ValueError:
        raise ValueError(f"{arguments.out} has no ending of a picture: call it .jpg or .png") from None
