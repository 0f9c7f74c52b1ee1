"""Score the bundled weights and write down what was measured: ``python -m tools.weights.cards DATA...``.

DATA are folders with a ``val`` list. For every network with weights in ``assets/weights`` whose classes one of them has,
this writes the card (``<name>.json`` for programs, ``<name>.md`` for people), and then the tables in ``docs/zoo.md`` and the README. Bundled
weights that have seen the ``val`` list cannot be scored on it: ``--held-out FILE`` scores those of the same recipe that have
not, and the card says so.
"""

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmodels.inference.loading import load_network
from segmodels.inference.segmenter import Segmenter
from segmodels.insight.facts import counted_at, network_cost
from segmodels.labels import CAMVID, NUCLEI, VOC, VOC_CLASSES, ClassList
from segmodels.models import registry
from segmodels.models.card import Card, measured_facts
from segmodels.training.data import SegmentationFolder
from segmodels.training.evaluate import evaluate
from segmodels.training.instance_scores import score_instances
from segmodels.training.instances import InstanceFolder, is_instance_folder
from segmodels.training.metrics import SCORED_CLASSES
from segmodels.training.recipe import Recipe
from segmodels.training.train_instances import InstanceRecipe

ROOT = Path(__file__).resolve().parents[2]
README, ZOO = ROOT / "README.md", ROOT / "docs" / "zoo.md"
MARKS = ("<!-- zoo table: written by tools/weights/cards.py -->", "<!-- end of the zoo table -->")
TORCHVISIONS = """¹ As published by torchvision, on COCO photos with the same classes: not comparable with the column's other numbers. These
weights are fetched on first use and need a network connection once."""


@dataclass(frozen=True)
class DataSet:
    """What is to be said of all weights that know its classes."""

    photos: str
    """What their training photos are."""
    licence: str
    limits: str


DATA_SETS = {
    VOC: DataSet(
        "photos with Pascal VOC's classes",
        "Apache-2.0 for the weights and the code. The photos and label maps they were trained on belong to their makers "
        "and were published for research, so check before commercial use.",
        "Knows the twenty Pascal VOC classes and nothing else. Scored on 225 photos with many pixels of only seven "
        "classes. Not for decisions about people.",
    ),
    CAMVID: DataSet(
        "street photos of CamVid",
        "CC BY-NC 4.0 for the weights: one redistribution of CamVid, whose photos and label maps they were trained on, is "
        "under that licence, so not for commercial use. Apache-2.0 for the code.",
        "Knows CamVid's eleven classes and calls everything by one of them, indoors and in the country too. All its "
        "photos were taken from one car in Cambridge, by day and at dusk. Not for driving, nor for decisions about people.",
    ),
    NUCLEI: DataSet(
        "pictures of cell nuclei (BBBC038, 2018 Data Science Bowl)",
        "CC0 for the weights: the pictures (BBBC038v1, Broad Institute) and the corrected masks they were trained on are CC0. "
        "Apache-2.0 for the code.",
        "Knows nuclei of cells, most of them in fluorescence at two magnifications; few pictures of stained tissue and of "
        "bright field were learned from. Check counts by eye before you publish them. Not for diagnosis.",
    ),
}
PUBLISHED = {
    "summary": "Published by Google with the Coral test data; ImageNet, 118,000 COCO photos and Pascal VOC 2012",
    "data": {"ImageNet": None, "COCO 2017": 118_000, "Pascal VOC 2012 (train with SBD)": None},
    "start": "deeplabv3_mnv2_pascal_quant.tflite",
    "commands": ["python -m tools.weights.convert_google deeplabv3_mnv2_pascal_quant.tflite"],
    "note": "These are the 8-bit weights of quantisation-aware training, multiplied by their scales.",
}
"""What is known of the network that was not trained here."""
BACKBONE_NOTE = (
    "All four networks of the compact zoo have the backbone of the public network, unchanged; only the decoders were "
    "trained, by one recipe, each from another seed."
)
"""What the cards of the compact networks say of their training."""
OF_HELD_OUT = "of the first run without these photos, which the bundled weights have learned from too"
"""Whose scores those are that were not measured of the bundled weights."""


Folder = SegmentationFolder | InstanceFolder


def measure(card: Card, folder: Folder, split: str, held_out: Path | None) -> dict[str, Any]:
    """Scores of the bundled weights, or of ``held_out``, in float32, at the working size at which they are loaded."""
    network, card = load_network(card.name, held_out or registry.WEIGHTS / f"{card.name}.safetensors")
    segmenter = Segmenter(network, card, "cpu", "float32")
    objects: dict[str, float] = {}
    if isinstance(folder, InstanceFolder):
        found = score_instances(segmenter, folder)
        scores, objects = found.pixels, found.measures()
    else:
        scores = evaluate(lambda photo: segmenter(photo).labels, folder, len(card.classes))
    iou = {
        name: None if value is None else round(value, 4) for name, value in zip(card.classes, scores.iou, strict=True)
    }
    return {
        "data": f"{folder.name}/{split}",
        "images": len(folder),
        "working_size": card.working_size,
        "precision": "float32",
        **({"of": OF_HELD_OUT} if held_out else {}),
        **objects,
        **{name: round(value, 4) for name, value in scores.measures(card.classes).items()},
        "iou": iou,
        "pixels": dict(zip(card.classes, scores.pixels, strict=True)),
    }


def facts(card: Card, folder: Folder, split: str, held_out: Path | None = None) -> dict[str, Any]:
    """The whole card of one network."""
    file = registry.WEIGHTS / f"{card.name}.safetensors"
    cost = network_cost(card.name)
    return {
        "name": card.name,
        "file": file.name,
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "parameters": cost.parameters,
        "macs": cost.macs,
        "macs_at": "{} x {} pixels".format(*counted_at(card.name)),
        "training": training(card),
        "scores": measure(card, folder, split, held_out),
        "licence": DATA_SETS[card.class_list].licence,
        "limits": DATA_SETS[card.class_list].limits,
    }


def training(card: Card) -> dict[str, Any]:
    """What the logs of the run, and of the run it started from, say."""
    if card.name.endswith("_google"):
        return PUBLISHED
    if card.name in registry.COMPACT:
        return decoder_training(card.name)
    log = json.loads((registry.WEIGHTS / f"{card.name}.log.json").read_text(encoding="utf-8"))
    logs = [log]
    while logs[0]["start"].endswith(".safetensors"):
        before = registry.WEIGHTS / Path(logs[0]["start"]).with_suffix(".log.json")
        logs.insert(0, json.loads(before.read_text(encoding="utf-8")))
    start = logs[0]["start"]
    origin = "random weights" if start.startswith("random") else start
    if start.startswith("ImageNet"):
        origin = "ImageNet weights of the backbone"
    photos = f"{sum(log['data'].values()):,} {DATA_SETS[card.class_list].photos}"
    crops = sum(entry.get("steps", entry["history"][-1]["step"]) * entry["recipe"]["batch"] for entry in logs)
    return {
        "summary": f"{photos}, {crops:,} crops in all, from {origin}",
        "data": log["data"],
        "crops": crops,
        "start": start,
        "commands": [command(entry) for entry in logs],
        "note": log.get("note"),
        "recipe": log["recipe"],
        "history": log["history"],
    }


def decoder_training(name: str) -> dict[str, Any]:
    """Return what the log of a decoder of the compact zoo says."""
    log = json.loads((registry.WEIGHTS / f"{name}.log.json").read_text(encoding="utf-8"))
    crops = log.get("crops", log["steps"] * log["recipe"]["batch"])
    photos = f"{sum(log['data'].values()):,} {DATA_SETS[VOC].photos}"
    return {
        "summary": f"{photos}, each seen {crops / sum(log['data'].values()):.1f} times, taught by Google's published "
        "DeepLab v3, whose backbone it has",
        "data": log["data"],
        "crops": crops,
        "start": log["start"],
        "commands": [log["command"]],
        "note": " ".join([BACKBONE_NOTE, *([log["note"]] if "note" in log else [])]),
        "recipe": log["recipe"],
        **({"losses": log["losses"]} if "losses" in log else {}),
    }


def command(log: dict[str, Any]) -> str:
    """What was typed to make the run that ``log`` is of."""
    on_cells = "elastic" in log["recipe"]
    model, start, out = log["model"], "", log["out"]
    if log["start"].endswith(".safetensors"):  # goes on from all of that file
        model, start = (model, f" --start {log['start']}") if on_cells else (log["start"], "")
    usual = InstanceRecipe() if on_cells else Recipe()
    changed = {name: value for name, value in log["recipe"].items() if value != getattr(usual, name, value)}
    settings = "".join(f" --set {name}={value}" for name, value in changed.items())
    return f"python -m segmodels train {' '.join(log['data'])} --model {model} --out {out}{start}{settings}"


def markdown(card: Card, measured: dict[str, Any]) -> str:
    """The card for people."""
    scores, trained = measured["scores"], measured["training"]
    rows = "\n".join(
        f"| {name} | {'-' if value is None else f'{value:.3f}'} | {scores['pixels'][name]:,} |"
        for name, value in scores["iou"].items()
    )
    recipe = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in trained.get("recipe", {}).items())
    plotted = {"history": "Loss and validation scores", "losses": "Loss"}
    plot = "".join(f"![{what} over the run]({card.name}.png)" for key, what in plotted.items() if key in trained)
    crops = f": {trained['crops']:,} crops" if "crops" in trained else ""
    commands = "\n".join(trained["commands"])
    data = ", ".join(name if count is None else f"{name} {count:,} photos" for name, count in trained["data"].items())
    return f"""# {card.title}: `{card.name}`

{card.summary}

| | |
|---|---|
| File | `{measured["file"]}`, {measured["bytes"] / 1e6:.1f} MB, half precision, SHA-256 `{measured["sha256"]}` |
| Parameters | {measured["parameters"]:,} |
| Multiply-accumulates | {measured["macs"] / 1e9:.2f} G at {measured["macs_at"]} |
| Trained on | {data}{crops} |
| Started from | {trained["start"]} |
| Settings | {recipe or "those of the published network"} |
| Atrous rate, output stride | {card.atrous_rate or "none"}, {card.output_stride} |

Made by

```
{commands}
```
{f"{chr(10)}{trained['note']}{chr(10)}" if trained["note"] else ""}
{plot}

## Scores
On {scores["data"]} ({scores["images"]} photos, working size {scores["working_size"]}, {scores["precision"]}){_whose(scores)}:
{_seven(scores)}mIoU {scores["miou"]:.3f}{_of_present(scores)},
pixel accuracy {scores["pixel_accuracy"]:.3f}.
{_objects(scores)}A class with few pixels there has a score that says little.

| class | IoU | pixels |
|---|---|---|
{rows}

## Licence
{measured["licence"]}

## Limits
{measured["limits"]}
"""


def _whose(scores: dict[str, Any]) -> str:
    return f", {scores['of']}" if "of" in scores else ""


def _of_present(scores: dict[str, Any]) -> str:
    """The mean over the classes that the photos show, where it differs from the papers' formula."""
    present = scores.get("miou_of_present_classes", scores["miou"])
    return "" if present == scores["miou"] else f" (mIoU of present classes {present:.3f})"


def _objects(scores: dict[str, Any]) -> str:
    """How well single objects are found; nothing where none are told apart."""
    if "foreground_iou" not in scores:
        return ""
    return (
        f"Objects: foreground IoU **{scores['foreground_iou']:.3f}**, mean precision **{scores['precision_50']:.3f}** at IoU "
        f"0.5 and **{scores['mean_precision']:.3f}** over 0.5 to 0.95, number of objects off by "
        f"{scores['count_error']:.1%} on the median picture.\n"
    )


def _seven(scores: dict[str, Any]) -> str:
    """The mean over the classes with enough pixels, and which those are; nothing where the classes are others."""
    if "miou7" not in scores:
        return ""
    classes = ", ".join(VOC_CLASSES[index] for index in SCORED_CLASSES)
    return f"mIoU-7 **{scores['miou7']:.3f}** ({classes}), "


def table() -> str:
    """Return the table of all networks, for ``docs/zoo.md``."""
    lines = [
        "| network | mIoU-7 | mIoU | pixel accuracy | parameters | MACs | file |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in registry.list_models():
        card, cost = registry.card(name), network_cost(name)
        measured = card.measured
        scores = measured.get("scores", {})
        mark = " ¹" if card.source == "published" else _mark(card.class_list)
        columns = [f"{scores[key]:.3f}{mark}" if key in scores else "-" for key in ("miou7", "miou", "pixel_accuracy")]
        size = "-"
        if card.source == "bundled":
            size = f"[{measured['bytes'] / 1e6:.1f} MB](../assets/weights/{name}.md)"
        elif card.source == "published":
            size = f"{measured['megabytes']:.0f} MB, fetched"
        row = [f"`{name}` ({card.title})", *columns, f"{cost.parameters / 1e6:.2f} M", f"{cost.macs / 1e9:.1f} G", size]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, "", TORCHVISIONS, *_other_classes()])


def short_table() -> str:
    """Return the table of the bundled networks that know Pascal VOC's classes, for the README."""
    lines = ["| network | mIoU-7 | mIoU | parameters | card |", "|---|---|---|---|---|"]
    for card in map(registry.card, registry.bundled_models()):
        if card.class_list == VOC and card.source == "bundled":
            miou7, miou = (f"{card.measured['scores'][key]:.3f}" for key in ("miou7", "miou"))
            parameters = f"{network_cost(card.name).parameters / 1e6:.2f} M"
            file = f"[{card.measured['bytes'] / 1e6:.1f} MB](assets/weights/{card.name}.md)"
            lines.append(f"| `{card.name}` ({card.title}) | {miou7} | {miou} | {parameters} | {file} |")
    return "\n".join(lines)


def _mark(class_list: ClassList) -> str:
    """The sign of the footnote on scores over these classes; none for Pascal VOC's."""
    others = {registry.card(name).class_list: None for name in registry.list_models()}
    others.pop(VOC)
    return "" if class_list == VOC else f" {'²³⁴⁵'[list(others).index(class_list)]}"


def _other_classes() -> list[str]:
    """The footnote on scores over other classes than Pascal VOC's, where there are such."""
    scored = {
        card.class_list: card.measured["scores"] | {"licence": card.measured["licence"]}
        for card in map(registry.card, registry.bundled_models())
        if card.class_list != VOC
    }
    return [
        f"\n{_mark(classes).strip()} Over the {len(classes.names)} classes of {scores['data']} ({scores['images']} photos, working size "
        f"{scores['working_size']}{_whose(scores)}): not comparable with the columns' other numbers. {scores['licence']}"
        for classes, scores in scored.items()
    ]


def update_tables() -> None:
    """Put both tables between their marks."""
    for page, made in ((ZOO, table()), (README, short_table())):
        before, rest = page.read_text(encoding="utf-8").split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        page.write_text(f"{before}{MARKS[0]}\n{made}\n{MARKS[1]}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="*", type=Path, help="folders; without one, only the tables are written again")
    parser.add_argument("--split", default="val")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=list(registry.CARDS), help="measure these alone")
    parser.add_argument("--held-out", type=Path, metavar="FILE", help="score this in place of the one of --only")
    arguments = parser.parse_args()
    if arguments.held_out and len(arguments.only) != 1:
        parser.error("--held-out is about one network: name it with --only")
    folders: dict[ClassList, Folder] = {}
    for root in arguments.data:
        folder = (InstanceFolder if is_instance_folder(root) else SegmentationFolder)(root, arguments.split)
        folders[folder.class_list] = folder
    for name, card in registry.CARDS.items():
        if name not in arguments.only or not (registry.WEIGHTS / f"{name}.safetensors").exists():
            continue
        if card.class_list not in folders:
            print(f"{name}: left as it is, since no folder has its classes")
            continue
        measured = facts(card, folders[card.class_list], arguments.split, arguments.held_out)
        (registry.WEIGHTS / f"{name}.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        (registry.WEIGHTS / f"{name}.md").write_text(markdown(card, measured), encoding="utf-8")
        scores = measured["scores"]
        print(f"{name}: mIoU {scores['miou']:.3f}, pixel accuracy {scores['pixel_accuracy']:.3f}")
    measured_facts.cache_clear()
    update_tables()


if __name__ == "__main__":
    main()
