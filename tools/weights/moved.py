"""What the atrous rate does to the bundled DeepLabs: ``python -m tools.weights.moved DATA[:SPLIT]...``.

Prints, for each network, folder and rate, the scores and the share of the pixels that get another class than at the rate
the weights were trained for, in the mean over the photos and on the photo where it is most.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segmodels import load
from segmodels.models import registry
from segmodels.training.data import SegmentationFolder
from segmodels.training.metrics import Scores, confusion_matrix

RATES = (1, 3, 12, 24)


def rows(name: str, folder: SegmentationFolder) -> list[str]:
    """A row of a Markdown table for each rate, the trained one first, in float32."""
    segmenter, card = load(name, device="cpu", precision="float32"), registry.card(name)
    assert card.atrous_rate is not None
    size = len(card.classes)
    confusion = {rate: np.zeros((size, size), dtype=np.int64) for rate in (card.atrous_rate, *RATES)}
    changed: dict[int, list[float]] = {rate: [] for rate in confusion}
    for index in tqdm(range(len(folder)), desc=name, unit="photo", mininterval=10, file=sys.stderr):
        photo, truth = folder[index]
        features = segmenter.encode(photo)
        at_home = segmenter.decode(features).labels
        for rate, matrix in confusion.items():
            labels = segmenter.decode(features, rate).labels
            matrix += confusion_matrix(truth, labels, size)
            changed[rate].append(float((labels != at_home).mean()))
    return [_row(name, folder, rate, Scores(matrix), changed[rate]) for rate, matrix in confusion.items()]


def _row(name: str, folder: SegmentationFolder, rate: int, scores: Scores, changed: list[float]) -> str:
    found = scores.measures(registry.card(name).classes)
    measured = " / ".join(f"{found[key]:.3f}" for key in ("miou7", "miou", "pixel_accuracy") if key in found)
    return f"| `{name}` | {folder.name} | {rate} | {measured} | {np.mean(changed):.1%} | {max(changed):.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", help="folders; the list is val unless another is named")
    folders = [
        SegmentationFolder(Path(root), split or "val")
        for root, _, split in (each.partition(":") for each in parser.parse_args().data)
    ]
    print("| network | photos | rate | mIoU-7 / mIoU / pixel accuracy | pixels changed | at most |")
    print("|---|---|---|---|---|---|")
    for name in registry.COMPACT:
        if registry.card(name).atrous_rate is not None:
            for folder in folders:
                print("\n".join(rows(name, folder)), flush=True)


if __name__ == "__main__":
    main()
