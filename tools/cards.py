"""Score the bundled weights and write down what was measured: ``python -m tools.cards DATA``.

DATA is the folder with the ``val`` list. For every network with weights in ``assets/weights`` this writes the card
(``<name>.json`` for programs, ``<name>.md`` for people), and then the table in the README.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from segmodels import zoo
from segmodels.insight.facts import network_cost
from segmodels.segmenter import Segmenter
from segmodels.training.data import SegmentationFolder
from segmodels.training.evaluate import evaluate
from segmodels.training.recipe import Recipe
from segmodels.weights import load_state, read_state

README = Path(__file__).resolve().parent.parent / "README.md"
MARKS = ("<!-- zoo table: written by tools/cards.py -->", "<!-- end of the zoo table -->")

LICENCE = (
    "Apache-2.0 for the weights and the code. The photos and label maps they were trained on belong to their makers and "
    "were published for research, so check before commercial use."
)
LIMITS = (
    "Knows the twenty Pascal VOC classes and nothing else. Scored on 225 photos with many pixels of only seven classes. "
    "Not for decisions about people."
)
PUBLISHED = {
    "summary": "Published by Google with the Coral test data; ImageNet, 118,000 COCO photos and Pascal VOC 2012",
    "data": {"ImageNet": None, "COCO 2017": 118_000, "Pascal VOC 2012 (train with SBD)": None},
    "start": "deeplabv3_mnv2_pascal_quant.tflite",
    "commands": ["python -m tools.convert_google deeplabv3_mnv2_pascal_quant.tflite"],
    "note": "These are the 8-bit weights of quantisation-aware training, multiplied by their scales.",
}
"""What is known of the network that was not trained here."""


def measure(card: zoo.Card, folder: SegmentationFolder, split: str) -> dict[str, Any]:
    """Scores of the bundled weights in float32 at the card's working size."""
    network = zoo.build(card.name, len(card.classes))
    load_state(network, read_state(zoo.WEIGHTS / f"{card.name}.safetensors"))
    segmenter = Segmenter(network, card, "cpu", "float32")
    scores = evaluate(lambda photo: segmenter(photo).labels, folder, len(card.classes))
    iou = {
        name: None if value is None else round(value, 4) for name, value in zip(card.classes, scores.iou, strict=True)
    }
    return {
        "data": f"{folder.root.name}/{split}",
        "images": len(folder),
        "working_size": card.working_size,
        "precision": "float32",
        "miou7": round(scores.miou7, 4),
        "miou": round(scores.miou(), 4),
        "pixel_accuracy": round(scores.pixel_accuracy, 4),
        "iou": iou,
        "pixels": dict(zip(card.classes, scores.pixels, strict=True)),
    }


def facts(card: zoo.Card, folder: SegmentationFolder, split: str) -> dict[str, Any]:
    """The whole card of one network."""
    file = zoo.WEIGHTS / f"{card.name}.safetensors"
    cost = network_cost(card.name)
    return {
        "name": card.name,
        "file": file.name,
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "parameters": cost.parameters,
        "macs": cost.macs,
        "macs_at": f"{card.working_size} x {card.working_size * 3 // 4} pixels",
        "training": training(card),
        "scores": measure(card, folder, split),
        "licence": LICENCE,
        "limits": LIMITS,
    }


def training(card: zoo.Card) -> dict[str, Any]:
    """What the logs of the run, and of the run it started from, say."""
    if card.name.endswith("_google"):
        return PUBLISHED
    if card.name in zoo.COMPACT:
        return trained_together()
    log = json.loads((zoo.WEIGHTS / f"{card.name}.log.json").read_text(encoding="utf-8"))
    logs = [log]
    while logs[0]["start"].endswith(".safetensors"):
        before = zoo.WEIGHTS / Path(logs[0]["start"]).with_suffix(".log.json")
        logs.insert(0, json.loads(before.read_text(encoding="utf-8")))
    origin = "random weights" if logs[0]["start"] == "random" else "ImageNet weights of the backbone"
    photos = sum(log["data"].values())
    crops = sum(entry["history"][-1]["step"] * entry["recipe"]["batch"] for entry in logs)
    return {
        "summary": f"{photos:,} photos with Pascal VOC's classes, {crops:,} crops in all, from {origin}",
        "data": log["data"],
        "crops": crops,
        "start": logs[0]["start"],
        "commands": [command(entry) for entry in logs],
        "note": log.get("note"),
        "recipe": log["recipe"],
        "history": log["history"],
    }


def trained_together() -> dict[str, Any]:
    """What the log of the compact zoo's runs says."""
    log = json.loads((zoo.WEIGHTS / "compact.log.json").read_text(encoding="utf-8"))
    crops = sum(run["steps"] * run["recipe"]["batch"] for run in log["runs"])
    data: dict[str, int] = {}
    for run in log["runs"]:
        data |= {name: max(count, data.get(name, 0)) for name, count in run["data"].items()}
    return {
        "summary": f"{sum(data.values()):,} photos with Pascal VOC's classes, {crops:,} crops in all, from Google's published DeepLab v3",
        "data": data,
        "crops": crops,
        "start": log["runs"][0]["start"],
        "commands": [*(run["command"] for run in log["runs"]), log["command"]],
        "note": log["note"],
        "recipe": log["runs"][-1]["recipe"],
    }


def command(log: dict[str, Any]) -> str:
    """What was typed to make the run that ``log`` is of."""
    start = f" --start {log['start']}" if log["start"].endswith(".safetensors") else ""
    out = log["out"]
    changed = {name: value for name, value in log["recipe"].items() if value != getattr(Recipe, name)}
    settings = "".join(f" --set {name}={value}" for name, value in changed.items())
    return f"python -m segmodels train {' '.join(log['data'])} --model {log['model']} --out {out}{start}{settings}"


def markdown(card: zoo.Card, measured: dict[str, Any]) -> str:
    """The card for people."""
    scores, trained = measured["scores"], measured["training"]
    rows = "\n".join(
        f"| {name} | {'-' if value is None else f'{value:.3f}'} | {scores['pixels'][name]:,} |"
        for name, value in scores["iou"].items()
    )
    recipe = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in trained.get("recipe", {}).items())
    plot = f"![Loss and validation scores over the run]({card.name}.png)" if "history" in trained else ""
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
On {scores["data"]} ({scores["images"]} photos, working size {scores["working_size"]}, {scores["precision"]}):
mIoU-7 **{scores["miou7"]:.3f}** (background, cat, cow, dog, horse, person, sheep), mIoU {scores["miou"]:.3f},
pixel accuracy {scores["pixel_accuracy"]:.3f}.
A class with few pixels there has a score that says little.

| class | IoU | pixels |
|---|---|---|
{rows}

## Licence
{measured["licence"]}

## Limits
{measured["limits"]}
"""


def table() -> str:
    """The README's table of all networks."""
    lines = [
        "| network | mIoU-7 | mIoU | pixel accuracy | parameters | MACs | file |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in zoo.list_models():
        card, cost = zoo.card(name), network_cost(name)
        measured = card.measured
        if card.source == "bundled":
            scores = measured["scores"]
            columns = [f"{scores[key]:.3f}" if key in scores else "-" for key in ("miou7", "miou", "pixel_accuracy")]
            size = f"[{measured['bytes'] / 1e6:.1f} MB](assets/weights/{name}.md)"
        elif card.source == "published":
            scores = measured["scores"]
            columns = ["-", f"{scores['miou']:.3f} ¹", f"{scores['pixel_accuracy']:.3f} ¹"]
            size = f"{measured['megabytes']:.0f} MB, fetched"
        else:
            columns, size = ["-"] * 3, "-"
        row = [f"`{name}` ({card.title})", *columns, f"{cost.parameters / 1e6:.2f} M", f"{cost.macs / 1e9:.1f} G", size]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def update_readme() -> None:
    """Put the table between its marks."""
    before, rest = README.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    README.write_text(f"{before}{MARKS[0]}\n{table()}\n{MARKS[1]}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=list(zoo.CARDS), help="measure these alone")
    arguments = parser.parse_args()
    folder = SegmentationFolder(arguments.data, arguments.split)
    for name, card in zoo.CARDS.items():
        if name not in arguments.only or not (zoo.WEIGHTS / f"{name}.safetensors").exists():
            continue
        measured = facts(card, folder, arguments.split)
        (zoo.WEIGHTS / f"{name}.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        (zoo.WEIGHTS / f"{name}.md").write_text(markdown(card, measured), encoding="utf-8")
        print(
            f"{name}: mIoU-7 {measured['scores']['miou7']:.3f}, pixel accuracy {measured['scores']['pixel_accuracy']:.3f}"
        )
    zoo._measured.cache_clear()
    update_readme()


if __name__ == "__main__":
    main()
