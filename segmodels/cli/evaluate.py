"""``segmodels evaluate``: how well a network does."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..crf.parameters import CRF
from .options import add_crf, add_model, load_segmenter, resolve_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from ..training.evaluate import Evaluation
    from .options import Commands


def add(commands: "Commands") -> None:
    """The command's options."""
    command = commands.add_parser("evaluate", help="score a network on a folder of photos and label maps")
    command.add_argument(
        "data", type=Path, metavar="DATA", help="a folder with images/, labels/ (or instances/) and <split>.txt"
    )
    command.add_argument("--split", default="val", help="which list of the folder (default: val)")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--plot", type=Path, metavar="FILE", help="draw the scores near true edges, as PNG")
    add_crf(command)
    add_model(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Score a network, and what the CRF makes of it."""
    from ..training.data import SegmentationFolder
    from ..training.evaluate import evaluate_all
    from ..training.instances import is_instance_folder
    from ..training.results import write_edge_plot

    if is_instance_folder(arguments.data):
        run_instances(arguments)
        return
    folder = SegmentationFolder(arguments.data, arguments.split)
    resolve_model(arguments)
    segmenter, (rate, stride, size) = load_segmenter(arguments)
    classes = segmenter.card.classes
    if folder.class_list.names != classes:
        known, given = (_some(names) for names in (classes, folder.class_list.names))
        raise ValueError(f"these weights know {known}; {folder.root} has {given} (in classes.txt, else Pascal VOC's)")
    crfs = {"network": None, "crf": CRF()} if arguments.crf else {"network": None}

    def label(photo: "Image.Image") -> "dict[str, NDArray[np.uint8]]":
        features = segmenter.encode(photo, stride, size)
        return {name: segmenter.decode(features, rate, crf=crf, photo=photo).labels for name, crf in crfs.items()}

    found = evaluate_all(label, folder, len(classes))
    if arguments.plot:
        write_edge_plot(arguments.plot, {name: one.edges for name, one in found.items()}, arguments.model)
    if arguments.json:
        about = {
            "model": arguments.model,
            "data": folder.name,
            "split": arguments.split,
            "images": len(folder),
            **_report(found["network"], classes),
        }
        if arguments.crf:
            about["crf"] = {"parameters": asdict(CRF()), **_report(found["crf"], classes)}
        print(json.dumps(about))
        return
    pixels = found["network"].scores.pixels
    columns = [one.scores.iou for one in found.values()]
    for name, count, *values in zip(classes, pixels, *columns, strict=True):
        shown = "  ".join("   -" if value is None else f"{value:.3f}" for value in values)
        print(f"{name:<14}{shown}{count:>12,} pixels")
    for note in found["network"].scores.notes(classes):
        print(f"! {note}.")
    for name, one in found.items():
        print(f"{name}: {one.scores.summary(classes)}")
        near = [f"{width} pixels {one.edges.band(width).pixel_accuracy or 0:.3f}" for width in one.edges.bands]
        print(
            f"  pixel accuracy near true edges: within {', '.join(near)}; Boundary IoU {one.edges.boundary_iou or 0:.3f}"
        )


def _report(found: "Evaluation", classes: Sequence[str]) -> dict[str, Any]:
    measures = found.scores.measures(classes)
    return {
        "miou": measures.get("miou"),
        "miou7": measures.get("miou7"),
        "miou_of_present_classes": measures.get("miou_of_present_classes"),
        "iou": dict(zip(classes, found.scores.iou, strict=True)),
        "pixels": dict(zip(classes, found.scores.pixels, strict=True)),
        "pixel_accuracy": measures.get("pixel_accuracy"),
        "notes": found.scores.notes(classes),
        "edges": found.edges.report(),
    }


def run_instances(arguments: argparse.Namespace) -> None:
    """Score how well a network tells objects apart."""
    from ..training.instance_scores import score_instances
    from ..training.instances import InstanceFolder

    folder = InstanceFolder(arguments.data, arguments.split)
    resolve_model(arguments)
    segmenter, settings = load_segmenter(arguments)
    if folder.class_list.names != segmenter.card.classes:
        raise ValueError(f"{arguments.model} does not tell objects apart, as {folder.root} asks: unet_nuclei does")
    scores = score_instances(lambda photo: segmenter(photo, *settings), folder)
    if arguments.json:
        report = {"model": arguments.model, "data": folder.name, "split": arguments.split, "images": len(folder)}
        print(json.dumps(report | scores.measures()))
    else:
        print(scores.summary)


def _some(names: Sequence[str]) -> str:
    return f"{len(names)} classes ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
