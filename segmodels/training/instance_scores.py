"""How well objects are found: the measures of the 2018 Data Science Bowl."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ..inference.result import Segmentation
from .instances import InstanceFolder, class_map
from .metrics import Scores, confusion_matrix

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""IoU from which on an object counts as found, 0.5 to 0.95."""


@dataclass(frozen=True)
class PictureScores:
    """How well the objects in one picture were found."""

    precision: tuple[float, ...]
    """``TP / (TP + FP + FN)`` at each of ``THRESHOLDS``; 1 where there is nothing and nothing was found."""
    found: int
    there: int


@dataclass(frozen=True)
class InstanceScores:
    """How well objects were found in a set of pictures."""

    pictures: tuple[PictureScores, ...]
    pixels: Scores
    """Over the classes: background, inside, line."""
    foreground_iou: float
    """Of the pixels of all objects together, over all pictures."""

    def precision_at(self, threshold: float) -> float:
        """Return the mean over pictures of ``TP / (TP + FP + FN)``, where an IoU above ``threshold`` counts as found."""
        place = THRESHOLDS.index(threshold)
        return float(np.mean([picture.precision[place] for picture in self.pictures]))

    @property
    def mean_precision(self) -> float:
        """The mean over IoU thresholds 0.5 to 0.95, and over pictures: the competition's measure."""
        return float(np.mean([picture.precision for picture in self.pictures]))

    @property
    def count_error(self) -> float:
        """By how much the number of objects is wrong in the picture in the middle, as a part of the true number."""
        return float(np.median([abs(one.found - one.there) / max(one.there, 1) for one in self.pictures]))

    @property
    def summary(self) -> str:
        """One line."""
        return (
            f"foreground IoU {self.foreground_iou:.3f}, mean precision {self.precision_at(0.5):.3f} at IoU 0.5 and "
            f"{self.mean_precision:.3f} over 0.5 to 0.95, number of objects off by {self.count_error:.1%} "
            f"(median of {len(self.pictures)} pictures)"
        )

    def measures(self) -> dict[str, float]:
        """Return the numbers by name, rounded to four places."""
        numbers = {
            "foreground_iou": self.foreground_iou,
            "precision_50": self.precision_at(0.5),
            "mean_precision": self.mean_precision,
            "count_error": self.count_error,
        }
        return {name: round(value, 4) for name, value in numbers.items()}


def score_instances(segment: Callable[[Image.Image], Segmentation], folder: InstanceFolder) -> InstanceScores:
    """Score ``segment``, a Segmenter or anything else that segments a picture, on every picture of ``folder``."""
    confusion = np.zeros((len(folder.class_list.names),) * 2, dtype=np.int64)
    pictures, common, either = [], 0, 0
    for index in tqdm(range(len(folder)), desc=f"scoring on {folder.name}", unit="picture", leave=False, disable=None):
        photo, truth = folder[index]
        result = segment(photo)
        found = result.instances.labels
        classes = class_map(torch.from_numpy(truth)).numpy().astype(np.uint8)
        confusion += confusion_matrix(classes, result.labels, len(confusion))
        common += int(np.count_nonzero((truth > 0) & (found > 0)))
        either += int(np.count_nonzero((truth > 0) | (found > 0)))
        pictures.append(score_picture(truth, found))
    return InstanceScores(tuple(pictures), Scores(confusion), common / max(either, 1))


def score_picture(truth: NDArray[np.int32], found: NDArray[np.int32]) -> PictureScores:
    """Compare the objects found in a picture with those that are there, both (H, W) numbers."""
    iou = pairwise_iou(truth, found)
    there, count = iou.shape
    precision = [_precision(int((iou > threshold).sum()), there, count) for threshold in THRESHOLDS]
    return PictureScores(tuple(precision), count, there)


def _precision(hits: int, there: int, found: int) -> float:
    return hits / (there + found - hits) if there + found else 1.0


def pairwise_iou(truth: NDArray[np.int32], found: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the IoU of each object that is there with each that was found, (there, found). Above 0.5 a pair is unique."""
    true_numbers, first = np.unique(truth, return_inverse=True)
    found_numbers, second = np.unique(found, return_inverse=True)
    shape = (len(true_numbers), len(found_numbers))
    overlap = np.bincount(first.ravel() * shape[1] + second.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    iou: NDArray[np.float64] = (overlap / union)[true_numbers > 0][:, found_numbers > 0]
    return iou
