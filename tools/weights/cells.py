"""What pays on cells: ``python -m tools.weights.cells NUCLEI OUT ROW...`` trains and scores rows of a table.

A row is ``unet_nuclei``'s recipe with one thing changed, and the weights go to ``OUT/ROW.safetensors``, its scores on the
``val`` list to ``OUT/ROW.json``. ``--table`` prints the table of the rows that are there. ``--keep`` writes their scores into
``assets/weights/unet_nuclei.rows.json``, where the lesson on thirty pictures reads its curve. ``--set`` changes the recipe of all
rows, such as ``--set epochs=4``; compare only rows of one length.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segmodels.checkpoints.paths import WEIGHTS
from segmodels.models import registry
from segmodels.models.base import SegmentationNetwork
from segmodels.models.unet import UNet, UNetDecoder
from segmodels.training.instances import InstanceFolder
from segmodels.training.train_instances import InstanceRecipe, train_instances

MODEL = "unet_nuclei"
KEPT = WEIGHTS / f"{MODEL}.rows.json"
"""The scores of the rows, for the page."""


class UNetWithoutSkips(UNet):
    """A U-Net whose decoder is handed zeros in place of the contracting path's features: as many weights, no skips."""

    def decode(self, features: list[Tensor]) -> Tensor:
        """Return the logits that the deepest features alone give."""
        *skips, deepest = features
        return super().decode([*map(torch.zeros_like, skips), deepest])


def without_skips(num_classes: int) -> SegmentationNetwork:
    """Return the network of ``unet_nuclei`` without its skips, with random weights."""
    whole = registry.card(MODEL).builder(num_classes)
    assert isinstance(whole.decoder, UNetDecoder)
    return UNetWithoutSkips(whole.backbone, whole.decoder)


@dataclass(frozen=True)
class Row:
    """One thing that is changed."""

    words: str
    model: str = MODEL
    changes: Mapping[str, Any] = field(default_factory=dict)
    skips: bool = True
    start: str | None = None
    """What the network starts from; random weights if None."""


ROWS = {
    "all": Row("all of it"),
    "no-weights": Row("without the weights of borders (equation 2)", changes={"border_weight": 0}),
    "no-elastic": Row("without elastic deformation (section 3.1)", changes={"elastic": 0}),
    "no-skips": Row("without skips", skips=False),
    "pictures-10": Row("10 pictures", changes={"pictures": 10}),
    "pictures-30": Row("30 pictures", changes={"pictures": 30}),
    "pictures-100": Row("100 pictures", changes={"pictures": 100}),
    "pretrained": Row("`unet_mobilenetv2` from its bundled weights", "unet_mobilenetv2", start="zoo"),
    "fcn": Row("`fcn_mobilenetv2` from its bundled weights", "fcn_mobilenetv2", start="zoo"),
    "deeplabv3plus": Row(
        "`deeplabv3plus_mobilenetv2` from its bundled weights", "deeplabv3plus_mobilenetv2", start="zoo"
    ),
}


def train_row(name: str, root: Path, out: Path, recipe: InstanceRecipe) -> dict[str, float]:
    """Train the row called ``name``, write its weights and its scores into ``out``, and return the scores.

    A row with fewer pictures takes as many steps as one with all of them.
    """
    row = ROWS[name]
    everything = InstanceFolder(root, "train")
    changed = replace(recipe, **row.changes)
    if changed.pictures and not recipe.minutes:
        changed = replace(changed, epochs=max(round(recipe.epochs * len(everything) / changed.pictures), 1))
    card = registry.card(row.model)
    if not row.skips:
        card = replace(card, builder=without_skips)
    folder = InstanceFolder(root, "train", changed.pictures or None)
    scores = train_instances(card, folder, out / f"{name}.safetensors", changed, InstanceFolder(root, "val"), row.start)
    assert scores is not None
    report = {"recipe": asdict(changed), "scores": scores.measures()}
    (out / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return scores.measures()


def kept(out: Path, pictures: int) -> dict[str, Any]:
    """Return the rows in ``out`` as the lessons read them; ``pictures`` is how many there are to train on in all."""
    rows = {
        name: {**report, "pictures": report["recipe"]["pictures"] or pictures} for name, report in reports(out).items()
    }
    return {"made_by": "python -m tools.weights.cells", "rows": rows}


def reports(out: Path) -> dict[str, dict[str, Any]]:
    """Return what ``train_row`` wrote of the rows that are in ``out``."""
    files = {name: out / f"{name}.json" for name in ROWS}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.is_file()}


def table(out: Path) -> str:
    """Return the table of the rows in ``out``, as Markdown."""
    lines = [
        "| | foreground IoU | mean precision at IoU 0.5 | over 0.5 to 0.95 | number of nuclei off by (median) |",
        "|---|---|---|---|---|",
    ]
    for name, report in reports(out).items():
        scores = report["scores"]
        numbers = [f"{scores[key]:.3f}" for key in ("foreground_iou", "precision_50", "mean_precision")]
        lines.append(f"| {ROWS[name].words} | {' | '.join(numbers)} | {scores['count_error']:.1%} |")
    return "\n".join(lines)


def main() -> None:
    """Train rows, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "data", type=Path, metavar="NUCLEI", help="a folder with images/, instances/, train.txt, val.txt"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder for weights and scores")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the recipe")
    parser.add_argument(
        "--keep", action="store_true", help="write the scores of all rows in OUT where the lessons read them"
    )
    parser.add_argument("--table", action="store_true", help="print the table of all rows in OUT")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.rows) - set(ROWS))
    if unknown:
        parser.error(f"there is no row called {unknown[0]}; there are {', '.join(ROWS)}")
    for name in arguments.rows:
        scores = train_row(name, arguments.data, arguments.out, InstanceRecipe.of(arguments.set))
        print(name, json.dumps(scores))
    if arguments.keep:
        report = kept(arguments.out, len(InstanceFolder(arguments.data, "train")))
        KEPT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if arguments.table:
        print(table(arguments.out))


if __name__ == "__main__":
    main()
