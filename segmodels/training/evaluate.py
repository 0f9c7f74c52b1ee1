"""Scoring anything that labels photos on a folder of true label maps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from .data import SegmentationFolder
from .edges import EdgeScores
from .metrics import Scores, confusion_matrix


def evaluate(label: Callable[[Image.Image], NDArray[np.uint8]], folder: SegmentationFolder, num_classes: int) -> Scores:
    """Score ``label``, which turns a photo into an (H, W) label map of the same size, on every photo of ``folder``."""
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    for index in tqdm(range(len(folder)), desc=f"scoring on {folder.name}", unit="photo", leave=False, disable=None):
        photo, truth = folder[index]
        confusion += confusion_matrix(truth, label(photo), num_classes)
    return Scores(confusion)


@dataclass(frozen=True)
class Evaluation:
    """How well label maps do, everywhere and along true edges."""

    scores: Scores
    edges: EdgeScores


def evaluate_all(
    label: Callable[[Image.Image], Mapping[str, NDArray[np.uint8]]], folder: SegmentationFolder, num_classes: int
) -> dict[str, Evaluation]:
    """Score several label maps of each photo of ``folder``, by their names, also along true edges."""
    confusions: dict[str, NDArray[np.int64]] = {}
    edges: dict[str, EdgeScores] = {}
    for index in tqdm(range(len(folder)), desc=f"scoring on {folder.name}", unit="photo", leave=False, disable=None):
        photo, truth = folder[index]
        for name, labels in label(photo).items():
            counted = confusion_matrix(truth, labels, num_classes)
            confusions[name] = confusions[name] + counted if name in confusions else counted
            edges.setdefault(name, EdgeScores(num_classes)).add(truth, labels)
    return {name: Evaluation(Scores(confusion), edges[name]) for name, confusion in confusions.items()}
