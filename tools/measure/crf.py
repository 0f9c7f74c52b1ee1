"""Search the CRF's parameters, and score networks with and without it.

``python -m tools.measure.crf search DATA --split train`` tries parameters one after the other, beginning with the usual ones,
and keeps what scores better; ``python -m tools.measure.crf score DATA...`` prints a table. ``python -m tools.measure.crf
finer DATA...`` says what the CRF gives to coarse maps and what to fine ones, beside what a finer decoder gives; ``python -m
tools.measure.crf sizes DATA --every 8`` what larger working sizes give with the CRF and without, and cost; ``python -m tools.measure.crf speed`` the CRF's row of
``segmodels bench`` alone. DATA is a data folder.

Parameters are searched on training photos alone, and of these on the ones whose label maps have void along edges, as Pascal
VOC's own have: other masks are too coarse to say where an edge is. What is raised is the mean of mIoU and of pixel accuracy
within ``BAND`` pixels of true edges.
"""

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

import segmodels
from segmodels.benchmark.speed import crf_rows, machine
from segmodels.benchmark.tables import markdown, table
from segmodels.crf.parameters import CRF
from segmodels.inference.crf_label_map import CRFAnswer
from segmodels.inference.result import Features
from segmodels.labels import VOID
from segmodels.models import registry
from segmodels.training.data import SegmentationFolder
from segmodels.training.edges import EdgeScores
from segmodels.training.evaluate import Evaluation, evaluate_all
from segmodels.training.metrics import Scores, confusion_matrix

BAND = 8
"""Pixels from a true edge."""

TRIED = {
    "theta_beta": (4.0, 8.0, 11.0),
    "theta_alpha": (40.0, 90.0),
    "w1": (3.0, 5.0, 7.0),
    "w2": (1.0, 5.0),
    "theta_gamma": (2.0, 5.0),
    "iterations": (2, 5),
}
"""In this order, those first that matter most."""

LEAST_VOID = 0.005
"""The part of a label map that is void, at least, where its edges are drawn in void."""


@dataclass(frozen=True)
class Sample:
    """A photo with its true label map and what a network says."""

    photo: Image.Image
    truth: NDArray[np.uint8]
    features: Features
    logits: Tensor

    def labels(self, crf: CRF) -> NDArray[np.uint8]:
        answer = CRFAnswer.of(self.logits, self.features.sampled(crf), crf, self.features.aligned_size)
        return answer.label_map(self.truth.shape, self.photo)


def samples(folder: SegmentationFolder, model: str, photos: int) -> Iterator[Sample]:
    """Evenly many of the photos whose edges are drawn in void."""
    segmenter = segmodels.load(model)
    drawn = [index for index in range(len(folder)) if (folder.labels(index) == VOID).mean() > LEAST_VOID]
    chosen = np.linspace(0, len(drawn) - 1, min(photos, len(drawn))).astype(int)
    for index in tqdm(chosen, unit="photo", leave=False):
        photo, truth = folder[drawn[index]]
        features = segmenter.encode(photo)
        logits = segmenter.logits(features)
        yield Sample(photo, truth, replace(features, maps=[]), logits)


def search(chosen: Sequence[Sample], num_classes: int) -> dict[str, float]:
    """The best setting that was found, with its scores; each that is tried is printed."""

    def tried(crf: CRF) -> tuple[float, CRF, dict[str, float]]:
        row = _tried(chosen, crf, num_classes)
        print(json.dumps(row), flush=True)
        return row["objective"], crf, row

    tried(CRF(iterations=0))  # the network alone, to compare with
    best = tried(CRF())
    for name, values in TRIED.items():
        start = best[1]
        for value in values:
            changed: dict[str, Any] = {name: value}
            best = max(best, tried(replace(start, **changed)), key=lambda one: one[0])
    return best[2]


def _tried(chosen: Sequence[Sample], crf: CRF, num_classes: int) -> dict[str, float]:
    confusion, edges = np.zeros((num_classes, num_classes), dtype=np.int64), EdgeScores(num_classes)
    for sample in chosen:
        labels = sample.labels(crf)
        confusion += confusion_matrix(sample.truth, labels, num_classes)
        edges.add(sample.truth, labels)
    miou, near = Scores(confusion).miou() or 0, edges.band(BAND).pixel_accuracy or 0
    return {**asdict(crf), "miou": round(miou, 4), "near": round(near, 4), "objective": round((miou + near) / 2, 5)}


class Part(SegmentationFolder):
    """Every so many of a folder's photos."""

    def __init__(self, root: Path, split: str, every: int) -> None:
        super().__init__(root, split)
        self.stems = self.stems[::every]


def score(model: str, folder: SegmentationFolder, working_size: int | None) -> dict[str, Evaluation]:
    """A network with and without the CRF."""
    segmenter = segmodels.load(model)

    def label(photo: Image.Image) -> dict[str, NDArray[np.uint8]]:
        features = segmenter.encode(photo, working_size=working_size)
        return {
            name: segmenter.decode(features, crf=crf, photo=photo).labels
            for name, crf in (("alone", None), ("CRF", CRF()))
        }

    return evaluate_all(label, folder, len(segmenter.card.classes))


def sizes(model: str, folder: SegmentationFolder, working_sizes: Sequence[int]) -> list[list[str]]:
    """A network at several working sizes, alone and with the CRF: scores and the median of milliseconds a photo."""
    segmenter, times = segmodels.load(model), defaultdict[str, list[float]](list)

    def label(photo: Image.Image) -> dict[str, NDArray[np.uint8]]:
        labels = {}
        for size in working_sizes:
            features = segmenter.encode(photo, working_size=size)
            for words, crf in (("alone", None), ("CRF", CRF())):
                result = segmenter.decode(features, crf=crf, photo=photo)
                times[f"{size} {words}"].append(result.milliseconds["total"])
                labels[f"{size} {words}"] = result.labels
        return labels

    found = evaluate_all(label, folder, len(segmenter.card.classes))
    return [
        [f"`{model}`", *name.split(), *row[1:], f"{statistics.median(times[name]):.0f}"]
        for name, row in zip(found, _rows(found), strict=True)
    ]


FINER: dict[str, tuple[str, int | None, tuple[str, ...]]] = {
    "FCN-32s": ("fcn_mobilenetv2", None, ("score 16", "score 8")),
    "FCN-8s": ("fcn_mobilenetv2", None, ()),
    "DeepLab v3, stride 16": ("deeplabv3_mobilenetv2", None, ()),
    "DeepLab v3, stride 8": ("deeplabv3_mobilenetv2", 8, ()),
    "DeepLab v3+ without its low-level path": ("deeplabv3plus_mobilenetv2", None, ("low-level path",)),
    "DeepLab v3+": ("deeplabv3plus_mobilenetv2", None, ()),
}
"""Network, output stride and parts that are off."""


def finer(folder: SegmentationFolder) -> dict[str, Evaluation]:
    """Networks on coarse and on fine maps, each with and without the CRF."""
    segmenters = {model: segmodels.load(model) for model, _, _ in FINER.values()}

    def label(photo: Image.Image) -> dict[str, NDArray[np.uint8]]:
        return {
            f"{name}{words}": segmenters[model].decode(features, crf=crf, photo=photo, disabled=off).labels
            for name, (model, stride, off) in FINER.items()
            for features in [segmenters[model].encode(photo, stride)]
            for words, crf in (("", None), (", CRF", CRF()))
        }

    return evaluate_all(label, folder, len(folder.class_list.names))


def row(model: str, data: str, size: int | None, name: str, found: Evaluation) -> list[str]:
    """One line of the table."""
    measures = found.scores.measures(registry.card(model).classes)
    bands = [f"{found.edges.band(width).pixel_accuracy or 0:.3f}" for width in found.edges.bands]
    values = [
        f"{measures[measure]:.3f}" if measure in measures else "-" for measure in ("miou7", "miou", "pixel_accuracy")
    ]
    return [
        data,
        f"`{model}`",
        str(size or registry.card(model).working_size),
        name,
        *values,
        *bands,
        f"{found.edges.boundary_iou or 0:.3f}",
    ]


def _rows(found: dict[str, Evaluation]) -> list[list[str]]:
    """Per labelling mIoU-7 and the accuracy near true edges, in percent."""
    return [
        [
            name,
            f"{100 * one.scores.measures(registry.card(registry.DEFAULT_MODEL).classes)['miou7']:.1f}",
            f"{100 * (one.edges.band(BAND).pixel_accuracy or 0):.1f}",
        ]
        for name, one in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("search")
    one.add_argument("data", type=Path)
    one.add_argument("--split", default="train")
    one.add_argument("--model", default="deeplabv3_mobilenetv2_google")
    one.add_argument("--photos", type=int, default=100)
    two = commands.add_parser("score")
    two.add_argument("data", nargs="+", type=Path)
    two.add_argument("--split", default="val")
    two.add_argument("--model", nargs="+", default=list(registry.compact_models()))
    two.add_argument("--working-size", nargs="+", type=int, default=[None])
    two.add_argument("--every", type=int, default=1, help="of the photos")
    three = commands.add_parser("finer")
    three.add_argument("data", nargs="+", type=Path)
    three.add_argument("--split", default="val")
    three.add_argument("--every", type=int, default=1, help="of the photos")
    four = commands.add_parser("sizes")
    four.add_argument("data", type=Path)
    four.add_argument("--split", default="val")
    four.add_argument("--model", nargs="+", default=list(registry.compact_models()))
    four.add_argument("--working-size", nargs="+", type=int, default=[513, 641, 769])
    four.add_argument("--every", type=int, default=1, help="of the photos")
    commands.add_parser("speed")
    arguments = parser.parse_args()
    if arguments.command == "speed":
        print(markdown({"machine": machine(), "crf": crf_rows(9)}))
        return
    if arguments.command == "sizes":
        some = Part(arguments.data, arguments.split, arguments.every)
        rows = [row for model in arguments.model for row in sizes(model, some, arguments.working_size)]
        columns = ["network", "working size", "labels", "mIoU-7", f"accuracy within {BAND} px", "milliseconds"]
        print(table("Working sizes", columns, rows))
        return
    if arguments.command == "finer":
        for data in arguments.data:
            print(
                table(
                    "Coarse maps and fine ones",
                    ("labels", "mIoU-7", f"accuracy within {BAND} px"),
                    _rows(finer(Part(data, arguments.split, arguments.every))),
                )
            )
        return
    if arguments.command == "search":
        folder = SegmentationFolder(arguments.data, arguments.split)
        chosen = list(samples(folder, arguments.model, arguments.photos))
        print(json.dumps(search(chosen, len(folder.class_list.names))))
        return
    rows = []
    for data in arguments.data:
        folder = Part(data, arguments.split, arguments.every)
        for model in arguments.model:
            for size in arguments.working_size:
                found = score(model, folder, size)
                for name, one_way in found.items():
                    rows.append(row(model, folder.name, size, name, one_way))
                    print(rows[-1], flush=True)
    bands = [f"within {width} px" for width in (2, 4, 8, 16)]
    columns = ["data", "network", "working size", "labels", *("mIoU-7", "mIoU", "accuracy"), *bands, "Boundary IoU"]
    print(table("With and without the fully connected CRF", columns, rows))


if __name__ == "__main__":
    main()
