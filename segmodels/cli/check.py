"""``segmodels check``: a data folder looked over before anyone waits for an epoch."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files import display_path
from ..labels import VOID

if TYPE_CHECKING:
    from ..training.check import Findings
    from .options import Commands


def add(commands: "Commands") -> None:
    """The command's options."""
    command = commands.add_parser("check", help="look over a folder of photos and label maps before training on it")
    command.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="a folder with images/, labels/, train.txt, classes.txt; or with images/, instances/, train.txt",
    )
    command.add_argument(
        "--convert",
        action="store_true",
        help="replace label maps that hold the colours of classes.txt by their classes; the old ones are kept",
    )
    command.add_argument(
        "--frame",
        choices=("stored", "upright"),
        help="how label maps of photos lie that EXIF turns, where their sizes cannot tell: on the pixels as they stand in the "
        "file, or as they are shown; it is noted in the folder",
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Check a folder; exit status 2 if something is wrong with it."""
    from ..training.check import check
    from ..training.check_instances import check_instances
    from ..training.convert import convert
    from ..training.frame import FILE
    from ..training.instances import is_instance_folder

    if is_instance_folder(arguments.data):
        report(arguments.data, check_instances(arguments.data))
        return
    findings = check(arguments.data)
    if arguments.frame:
        (arguments.data / FILE).write_text(f"{arguments.frame}\n", encoding="utf-8")
        findings = check(arguments.data)
    if arguments.convert and findings.coloured:
        before = convert(arguments.data, findings.coloured, findings.classes)
        print(f"Label maps converted: {len(findings.coloured)}; the old ones are in {display_path(before)}.")
        findings = check(arguments.data)
    report(arguments.data, findings)


def report(data: Path, findings: "Findings") -> None:
    """Print what was found.

    Raises:
        ValueError: if something is wrong with the folder.
    """
    what = f"{len(findings.classes.names)} classes; photos" if findings.pixels else "Numbered objects; pictures"
    print(f"{what}: {', '.join(f'{n} {split}' for split, n in findings.photos.items())}.")
    if findings.pixels:
        _print_shares(findings)
    for sentence in findings.remarks:
        print(sentence)
    for sentence in findings.problems:
        print(f"! {sentence}")
    if findings.problems:
        count = len(findings.problems)
        raise ValueError(f"{data} is not ready: {count} {'thing is' if count == 1 else 'things are'} wrong with it")
    print(
        "Ready to train on."
        if "train" in findings.photos
        else "Ready to score on; without a train.txt, not to train on."
    )


def _print_shares(findings: "Findings") -> None:
    """A table of the classes: colour, and share of the scored pixels in each split."""
    names = findings.classes.names
    width = max(12, *map(len, names)) + 2
    print(f"{'class':<{width}}{'colour':<14}" + "".join(f"{split:>9}" for split in findings.pixels))
    for index, name in enumerate(names):
        shares = [counts[index] / max(counts[: len(names)].sum(), 1) for counts in findings.pixels.values()]
        colour = " ".join(map(str, findings.classes.colours[index]))
        print(f"{name:<{width}}{colour:<14}" + "".join(f"{share:>9.2%}" for share in shares))
    for name, values in (("no name", slice(len(names), VOID)), ("void, of all pixels", slice(VOID, None))):
        shares = [counts[values].sum() / max(np.sum(counts), 1) for counts in findings.pixels.values()]
        if values.stop is None or any(shares):
            print(f"{name:<{width + 14}}" + "".join(f"{share:>9.2%}" for share in shares))
