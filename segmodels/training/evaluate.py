"""Scoring anything that labels photos on a folder of true label maps."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from .data import SegmentationFolder
from .metrics import Scores, confusion_matrix


def evaluate(label: Callable[[Image.Image], NDArray[np.uint8]], folder: SegmentationFolder, num_classes: int) -> Scores:
    """Score ``label``, which turns a photo into an (H, W) label map of the same size, on every photo of ``folder``."""
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    for index in tqdm(range(len(folder)), desc=f"scoring on {folder.name}", unit="photo", leave=False):
        photo, truth = folder[index]
        confusion += confusion_matrix(truth, label(photo), num_classes)
    return Scores(confusion)
