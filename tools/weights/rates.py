"""Score DeepLab v3's decoders at the rates they were trained at and at others: ``python -m tools.weights.rates DATA``.

DATA is the folder with the ``val`` list. Writes ``assets/weights/deeplabv3_mobilenetv2.rates.json`` for programs and ``.md`` for
people. The decoders share a backbone, so every photo goes through it once a stride.
"""

import argparse
import hashlib
import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from segmodels.checkpoints.files import read_state
from segmodels.inference.loading import assemble
from segmodels.inference.segmenter import Segmenter
from segmodels.labels import VOC, VOC_CLASSES
from segmodels.models import registry
from segmodels.training import rates
from segmodels.training.data import SegmentationFolder
from segmodels.training.metrics import Scores, confusion_matrix

from .cards import DATA_SETS

MOVED = ((1, 16), (2, 16), (3, 16), (4, 16), (6, 16), (9, 16), (12, 16), (18, 16), (24, 16), (12, 8))
"""The settings at which the decoder trained at rate 6 and stride 16 is run."""

Setting = tuple[int, int]
"""An atrous rate and an output stride."""


def score(
    cases: list[tuple[Setting, Setting]], folder: SegmentationFolder
) -> dict[tuple[Setting, Setting], dict[str, Any]]:
    """Score each case, a decoder named by the setting it was trained at and the setting it is run at, in float32."""
    card = registry.card(rates.NETWORK)
    segmenters = {
        trained: Segmenter(assemble(card, read_state(rates.weights_file(*trained))), card, "cpu", "float32")
        for trained, _ in cases
    }
    encoder = next(iter(segmenters.values()))
    size = len(card.classes)
    confusion = {case: np.zeros((size, size), dtype=np.int64) for case in cases}
    by_stride = [(stride, list(group)) for stride, group in groupby(sorted(cases, key=_stride), key=_stride)]
    for index in tqdm(range(len(folder)), unit="photo"):
        photo, truth = folder[index]
        for stride, group in by_stride:
            features = encoder.encode(photo, stride)
            for trained, run in group:
                labels = segmenters[trained].decode(features, run[0]).labels
                confusion[trained, run] += confusion_matrix(truth, labels, size)
    return {case: _row(case[1], Scores(matrix)) for case, matrix in confusion.items()}


def _stride(case: tuple[Setting, Setting]) -> int:
    return case[1][1]


def _row(setting: Setting, scores: Scores) -> dict[str, Any]:
    return {
        "rate": setting[0],
        "stride": setting[1],
        **{name: round(value, 4) for name, value in scores.measures(VOC_CLASSES).items()},
    }


def facts(folder: SegmentationFolder, split: str) -> dict[str, Any]:
    """All that is written down."""
    fitted = [(setting, setting) for setting in rates.FITTED]
    moved = [(rates.HOME, setting) for setting in MOVED]
    rows = score(list(dict.fromkeys([*fitted, *moved])), folder)
    return {
        "network": rates.NETWORK,
        "home": list(rates.HOME),
        "data": f"{folder.name}/{split}",
        "images": len(folder),
        "moved": [rows[case] for case in moved],
        "fitted": [rows[case] for case in fitted],
        "files": {f"{rate}/{stride}": _file(rate, stride) for rate, stride in rates.FITTED},
        "licence": DATA_SETS[VOC].licence,
        "limits": DATA_SETS[VOC].limits,
    }


def _file(rate: int, stride: int) -> dict[str, Any]:
    file = rates.weights_file(rate, stride)
    log = json.loads(_log(file).read_text(encoding="utf-8"))
    return {
        "file": file.name,
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "data": log["data"],
        "crops": log["steps"] * log["recipe"]["batch"],
        "recipe": log["recipe"],
        "command": log["command"],
    }


def _log(file: Path) -> Path:
    return file.with_suffix(".log.json")


def markdown(measured: dict[str, Any]) -> str:
    """The card for people."""
    rate, stride = measured["home"]
    fitted = {(row["rate"], row["stride"]): row for row in measured["fitted"]}
    moved = {(row["rate"], row["stride"]): row for row in measured["moved"]}
    rows = "\n".join(
        f"| {setting[0]} | {setting[1]} | {_score(moved.get(setting))} | {_score(fitted.get(setting))} |"
        for setting in sorted(moved.keys() | fitted.keys(), key=lambda setting: (-setting[1], setting[0]))
    )
    files = "\n".join(
        f"| `{entry['file']}` | {entry['bytes'] / 1e6:.1f} MB | `{entry['sha256']}` |"
        for entry in measured["files"].values()
    )
    fitted_files = [entry for name, entry in measured["files"].items() if name != f"{rate}/{stride}"]
    first = fitted_files[0]
    data = ", ".join(f"{name} {count:,}" for name, count in first["data"].items())
    recipe = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in first["recipe"].items())
    commands = "\n".join(dict.fromkeys(entry["command"] for entry in fitted_files))
    return f"""# DeepLab v3's decoder at other atrous rates

The decoder of `{measured["network"]}` was trained at rate {rate} and output stride {stride}. *Moved* is that decoder, run at another
setting with the weights it has. *Fitted* decoders began with it and then went on learning, each at its own setting, all by one
recipe on the same frozen backbone.

mIoU-7 on {measured["data"]} ({measured["images"]} photos, working size {registry.card(rates.NETWORK).working_size}, float32):

| atrous rate | output stride | moved | fitted |
|---|---|---|---|
{rows}

| file | size | SHA-256 |
|---|---|---|
{files}

All but the network's own hold a decoder alone, in half precision. Trained on {data} photos, {first["crops"]:,} crops, with these
settings (the first fitted one's): {recipe}. Made by

```
{commands}
```

and scored by `python -m tools.weights.rates DATA`.

## Licence
{measured["licence"]}

## Limits
{measured["limits"]}
"""


def _score(row: dict[str, Any] | None) -> str:
    return "-" if row is None else f"{row['miou7']:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=1, help="of the photos, take one in so many")
    arguments = parser.parse_args()
    folder = SegmentationFolder(arguments.data, arguments.split)
    folder.stems = folder.stems[:: arguments.every]
    measured = facts(folder, arguments.split)
    rates.FACTS.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    text = markdown(measured)
    rates.FACTS.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
