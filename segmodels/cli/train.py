"""``segmodels train``: a network on one's own photos."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..models import registry
from ..training.recipe import Recipe
from ..training.train_instances import InstanceRecipe
from .options import positive

if TYPE_CHECKING:
    from .options import Commands


def add(commands: "Commands") -> None:
    """The command's options."""
    defaults = ", ".join(f"{name}={value}" for name, value in asdict(Recipe()).items())
    objects = ", ".join(f"{name}={value}" for name, value in asdict(InstanceRecipe()).items())
    recipe = (
        f"The recipe that --set changes: {defaults}. There, 0 as a rate or stride is the card's. "
        f"For numbered objects: {objects}."
    )
    command = commands.add_parser("train", help="train a network", epilog=recipe)
    command.add_argument(
        "data",
        nargs="+",
        type=Path,
        metavar="DATA",
        help="folders with images/, labels/, train.txt, and classes.txt unless the classes are Pascal VOC's; or one with "
        "images/, instances/ (a number for each object, such as a cell) and train.txt",
    )
    command.add_argument(
        "--model",
        default=registry.DEFAULT_MODEL,
        metavar="NAME",
        help="one of `segmodels list`, or a trained weights file to go on from (default: %(default)s)",
    )
    command.add_argument("--out", required=True, type=Path, metavar="FILE", help="the .safetensors file to write")
    command.add_argument("--epochs", type=positive, metavar="N", help="passes over the photos")
    command.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another setting of the recipe; names below"
    )
    command.add_argument(
        "--start",
        metavar="START",
        help="zoo (the network's own trained weights but for the last layer), imagenet (its backbone), scratch, or a file "
        "whose backbone to take (default: zoo for classes of one's own where such weights are bundled, else imagenet). On numbered "
        "objects a file gives all of its weights, such as those of an earlier run, and the default is scratch",
    )
    command.add_argument("--workers", type=int, default=1, metavar="N", help="processes that read photos (default: 1)")
    command.add_argument(
        "--resume",
        action="store_true",
        help="go on from the checkpoint beside FILE, if there is one; with more --epochs, for longer",
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Train a network."""
    from ..inference.instances import has_instances
    from ..training.data import SegmentationFolder
    from ..training.instances import is_instance_folder
    from ..training.start import to_train
    from ..training.train import train

    if is_instance_folder(arguments.data[0]):
        run_instances(arguments)
        return
    recipe = Recipe.of([f"epochs={arguments.epochs}"] * bool(arguments.epochs) + arguments.set)
    folders = [SegmentationFolder(root, "train") for root in arguments.data]
    validated = [root for root in arguments.data if (root / "val.txt").exists()]
    card, weights = to_train(arguments.model)
    if has_instances(card.class_list):
        print(
            f"{card.name} learns the {len(folders[0].class_list.names)} classes of labels/ here, so cells that touch will not be "
            "told apart: for that, give each cell a number in instances/, in place of labels/ (docs/cells.md)",
            file=sys.stderr,
        )
    train(
        card,
        folders,
        arguments.out,
        recipe,
        SegmentationFolder(validated[0], "val") if validated else None,
        start=arguments.start,
        resume=arguments.resume,
        workers=arguments.workers,
        weights=weights,
    )


def run_instances(arguments: argparse.Namespace) -> None:
    """Train a network on a folder of numbered objects."""
    from ..models import registry
    from ..training.instances import InstanceFolder
    from ..training.results import what_is_next
    from ..training.train_instances import train_instances

    if len(arguments.data) > 1:
        raise ValueError("of folders with numbered objects, one can be trained on: put the pictures together")
    if arguments.resume:
        raise ValueError("on numbered objects a run cannot go on: give the weights so far as --start")
    recipe = InstanceRecipe.of([f"epochs={arguments.epochs}"] * bool(arguments.epochs) + arguments.set)
    root = arguments.data[0]
    scores = train_instances(
        registry.card(arguments.model),
        InstanceFolder(root, "train", recipe.pictures or None),
        arguments.out,
        recipe,
        InstanceFolder(root, "val") if (root / "val.txt").exists() else None,
        arguments.start,
    )
    if scores is not None:
        print(scores.summary)
    print(what_is_next(arguments.out, root if scores is not None else None))
