"""What the parts and the atrous rates of the compact networks do: ``python -m tools.weights.parts DATA[:SPLIT]...``.

Runs each network as it was trained, with parts switched off, and at other rates, and compares the networks with each
other. Writes ``assets/weights/compact.parts.json`` for programs and ``.md`` for people. The list is ``val`` unless another is named.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from segmodels import load
from segmodels.inference.label_map import label_map
from segmodels.inference.result import Features
from segmodels.inference.segmenter import Segmenter
from segmodels.labels import VOC_CLASSES, VOID
from segmodels.models import registry
from segmodels.training.data import SegmentationFolder
from segmodels.training.metrics import Scores, confusion_matrix

FACTS = registry.WEIGHTS / "compact.parts.json"
EDGE_PIXELS = 6
"""Pixels as near as this to an edge of the true label map are scored by themselves too."""

PUBLIC = "deeplabv3_mobilenetv2_google"
NO_ATROUS = ("rate r", "rate 2r", "rate 3r")
RATES = (1, 3, 12, 24)


@dataclass(frozen=True)
class Variant:
    """One way to run a network."""

    name: str
    atrous_rate: int | None = None
    disabled: tuple[str, ...] = ()


AS_TRAINED = Variant("as trained")
AT_RATES = tuple(Variant(f"rate {rate}", rate) for rate in RATES)
WITHOUT_ATROUS = Variant("without its atrous branches", disabled=NO_ATROUS)
VARIANTS: dict[str, tuple[Variant, ...]] = {
    PUBLIC: (),
    "fcn_mobilenetv2": (
        Variant("FCN-16s: without score 8", disabled=("score 8",)),
        Variant("FCN-32s: without scores 16 and 8", disabled=("score 16", "score 8")),
    ),
    "unet_mobilenetv2": (
        Variant("without skip 2", disabled=("skip 2",)),
        Variant("without skips 4 and 2", disabled=("skip 4", "skip 2")),
        Variant("without all skips", disabled=("skip 16", "skip 8", "skip 4", "skip 2")),
    ),
    "deeplabv3_mobilenetv2": (*AT_RATES, WITHOUT_ATROUS),
    "deeplabv3plus_mobilenetv2": (
        *AT_RATES,
        WITHOUT_ATROUS,
        Variant("without its low-level path", disabled=("low-level path",)),
    ),
}


@dataclass
class Tally:
    """What is counted over the photos for one variant."""

    confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(VOC_CLASSES),) * 2, dtype=np.int64))
    near_edges: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, dtype=np.int64))
    """Pixels near true edges that have the right label, and all of them."""
    changed: list[float] = field(default_factory=list)
    """The part of each photo with another class than as trained."""

    def add(self, truth: NDArray[np.uint8], labels: NDArray[np.uint8], as_trained: NDArray[np.uint8]) -> None:
        """Count one photo."""
        self.confusion += confusion_matrix(truth, labels, len(VOC_CLASSES))
        near = near_true_edges(truth)
        self.near_edges += ((labels == truth)[near].sum(), near.sum())
        self.changed.append(float((labels != as_trained).mean()))

    def row(self) -> dict[str, float]:
        """Return all measures, rounded."""
        right, counted = self.near_edges
        found = Scores(self.confusion).measures(VOC_CLASSES) | {"near_edges": float(right / max(counted, 1))}
        found |= {"changed_median": float(np.median(self.changed)), "changed_most": max(self.changed)}
        return {name: round(value, 4) for name, value in found.items()}


def near_true_edges(truth: NDArray[np.uint8], pixels: int = EDGE_PIXELS) -> NDArray[np.bool_]:
    """Return where (H, W) ``truth`` is no void and at most so many steps from a pixel whose left or upper neighbour differs."""
    near = np.zeros(truth.shape, dtype=bool)
    near[:, 1:] |= truth[:, 1:] != truth[:, :-1]
    near[1:] |= truth[1:] != truth[:-1]
    for _ in range(pixels):
        grown = near.copy()
        grown[1:] |= near[:-1]
        grown[:-1] |= near[1:]
        grown[:, 1:] |= near[:, :-1]
        grown[:, :-1] |= near[:, 1:]
        near = grown
    return near & (truth != VOID)


def labels_of(segmenter: Segmenter, features: Features, variant: Variant) -> NDArray[np.uint8]:
    """Return the label map of a photo, as ``variant`` says."""
    logits = segmenter.logits(features, variant.atrous_rate, variant.disabled)
    return label_map(logits, features.photo_size[::-1], None, features.aligned_size)


def measure(folder: SegmentationFolder) -> dict[str, Any]:
    """Return all that is measured on one folder, in float32."""
    segmenters = {name: load(name, device="cpu", precision="float32") for name in VARIANTS}
    tallies = {name: {v.name: Tally() for v in (AS_TRAINED, *variants)} for name, variants in VARIANTS.items()}
    agreed: dict[tuple[str, str], int] = {}
    pixels = 0
    for index in tqdm(range(len(folder)), unit="photo", mininterval=10, file=sys.stderr):
        photo, truth = folder[index]
        as_trained: dict[str, NDArray[np.uint8]] = {}
        encoded: dict[int, Features] = {}  # all have one backbone
        for name, variants in VARIANTS.items():
            stride = segmenters[name].card.output_stride
            if stride not in encoded:
                encoded[stride] = segmenters[name].encode(photo)
            features = encoded[stride]
            as_trained[name] = labels_of(segmenters[name], features, AS_TRAINED)
            for variant in (AS_TRAINED, *variants):
                labels = as_trained[name] if variant is AS_TRAINED else labels_of(segmenters[name], features, variant)
                tallies[name][variant.name].add(truth, labels, as_trained[name])
        pixels += truth.size
        for pair in combinations(VARIANTS, 2):
            same = int((as_trained[pair[0]] == as_trained[pair[1]]).sum())
            agreed[pair] = agreed.get(pair, 0) + same
    return {
        "data": f"{folder.name}/{folder.split}",
        "images": len(folder),
        "networks": {name: {variant: tally.row() for variant, tally in rows.items()} for name, rows in tallies.items()},
        "agreement": [[*pair, round(same / pixels, 4)] for pair, same in agreed.items()],
    }


def markdown(measured: list[dict[str, Any]]) -> str:
    """Return the tables for people."""
    return "# What the parts of the compact networks do\n\n" + "\n\n".join(_section(facts) for facts in measured) + "\n"


def _section(facts: Mapping[str, Any]) -> str:
    rows = "\n".join(
        f"| `{network}` | {variant} | {row['miou7']:.3f} / {row['miou']:.3f} / {row['pixel_accuracy']:.3f} "
        f"| {row['near_edges']:.3f} | {row['changed_median']:.1%} | {row['changed_most']:.0%} |"
        for network, variants in facts["networks"].items()
        for variant, row in variants.items()
    )
    pairs = "\n".join(f"| `{first}` | `{second}` | {share:.1%} |" for first, second, share in facts["agreement"])
    return f"""## {facts["data"]}, {facts["images"]} photos

| network | run | mIoU-7 / mIoU / pixel accuracy | accuracy near edges | pixels changed, median | most |
|---|---|---|---|---|---|
{rows}

*Near edges* is within {EDGE_PIXELS} pixels of an edge in the true label map. *Changed* is the part of a photo that gets another class
than from the same network as trained.

| network | network | pixels with the same class |
|---|---|---|
{pairs}"""


def main() -> None:
    """Measure on every folder and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", help="folders; the list is val unless another is named")
    parser.add_argument("--every", type=int, default=1, help="of the photos, take one in so many")
    arguments = parser.parse_args()
    folders = [
        SegmentationFolder(Path(root), split or "val")
        for root, _, split in (each.partition(":") for each in arguments.data)
    ]
    for folder in folders:
        folder.stems = folder.stems[:: arguments.every]
    measured = [measure(folder) for folder in folders]
    FACTS.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    FACTS.with_suffix(".md").write_text(markdown(measured), encoding="utf-8")
    print(markdown(measured))


if __name__ == "__main__":
    main()
