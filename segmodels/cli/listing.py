"""``segmodels list``: list the networks."""

import argparse
import json
from typing import TYPE_CHECKING

from ..models import registry

if TYPE_CHECKING:
    from .options import Commands


def add(commands: "Commands") -> None:
    """Add the command and its options."""
    command = commands.add_parser("list", help="the networks, with scores and costs")
    command.add_argument("--json", action="store_true", help="print a JSON list")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the networks as a table or as JSON."""
    from ..insight.facts import facts
    from ..labels import VOC_CLASSES

    rows = [facts(registry.card(name)) for name in registry.list_models()]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    width = max(len(row["name"]) for row in rows) + 1
    print(f"{'name':<{width}}{'mIoU-7':>8}{'mIoU':>8}{'parameters':>13}{'GMACs':>8}  what it is")
    for row in rows:
        scores = row["scores"] or {}
        miou7, miou = (f"{scores[key]:.3f}" if key in scores else "-" for key in ("miou7", "miou"))
        miou += "*" if row["source"] == "published" else " " if row["classes"] == list(VOC_CLASSES) else "+"
        macs = f"{row['macs'] / 1e9:.1f}"
        print(f"{row['name']:<{width}}{miou7:>8}{miou:>9}{row['parameters']:>12,}{macs:>8}  {row['summary']}")
    print("* torchvision's own score on COCO photos, not to be compared with the others; fetched on first use")
    for row in rows:
        if row["source"] == "bundled" and row["classes"] != list(VOC_CLASSES):
            print(f"+ over the {len(row['classes'])} classes of {row['scores']['data']}, likewise: {row['name']}")
