"""``segmodels fetch``: download published weights while there is a network connection."""

import argparse
from typing import TYPE_CHECKING

from ..files import display_path
from ..models import registry

if TYPE_CHECKING:
    from .options import Commands


def add(commands: "Commands") -> None:
    """Add the command and its options."""
    command = commands.add_parser("fetch", help="fetch published weights now, for use without a network connection")
    command.add_argument("models", nargs="+", metavar="NAME", help="networks of `segmodels list`")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Download what is missing, and print where each file is."""
    for card in [registry.card(name) for name in arguments.models]:  # all names are checked before anything is fetched
        print(f"{card.name}: {display_path(card.weights_file())}")
