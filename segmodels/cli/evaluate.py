"""``segmodels evaluate``: how well a network does."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .options import add_model, load_segmenter, resolve_model

if TYPE_CHECKING:
    from .options import Commands


def add(commands: "Commands") -> None:
    """The command's options."""
    command = commands.add_parser("evaluate", help="score a network on a folder of photos and label maps")
    command.add_argument("data", type=Path, metavar="DATA", help="a folder with images/, labels/ and <split>.txt")
    command.add_argument("--split", default="val", help="which list of the folder (default: val)")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    add_model(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Score a network."""
    from ..training.data import SegmentationFolder
    from ..training.evaluate import evaluate

    folder = SegmentationFolder(arguments.data, arguments.split)
    resolve_model(arguments)
    segmenter, settings = load_segmenter(arguments)
    if folder.class_list.names != segmenter.card.classes:
        known, given = (_some(names) for names in (segmenter.card.classes, folder.class_list.names))
        raise ValueError(f"these weights know {known}; {folder.root} has {given} (in classes.txt, else Pascal VOC's)")
    scores = evaluate(lambda photo: segmenter(photo, *settings).labels, folder, len(segmenter.card.classes))
    iou = dict(zip(segmenter.card.classes, scores.iou, strict=True))
    pixels = dict(zip(segmenter.card.classes, scores.pixels, strict=True))
    if arguments.json:
        measures = scores.measures(segmenter.card.classes)
        report = {
            "model": arguments.model,
            "data": folder.name,
            "split": arguments.split,
            "images": len(folder),
            "miou": measures.get("miou"),
            "miou7": measures.get("miou7"),
            "miou_of_present_classes": measures.get("miou_of_present_classes"),
            "iou": iou,
            "pixels": pixels,
            "pixel_accuracy": measures.get("pixel_accuracy"),
            "notes": scores.notes(segmenter.card.classes),
        }
        print(json.dumps(report))
        return
    for name, value in iou.items():
        shown = "   -" if value is None else f"{value:.3f}"
        print(f"{name:<14}{shown}{pixels[name]:>12,} pixels")
    print(scores.summary(segmenter.card.classes))
    for note in scores.notes(segmenter.card.classes):
        print(f"! {note}.")


def _some(names: Sequence[str]) -> str:
    return f"{len(names)} classes ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
