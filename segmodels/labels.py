"""Class names and colours."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

VOID = 255
"""The label of pixels that are neither trained on nor scored."""


def voc_palette(size: int = 256) -> NDArray[np.uint8]:
    """Pascal VOC's colours, (size, 3): the bits of the index dealt out to red, green and blue, highest bits first."""
    index = np.arange(size, dtype=np.uint8)
    palette = np.zeros((size, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= ((index >> channel) & 1) << (7 - bit)
        index >>= 3
    return palette


PALETTE = voc_palette()

MAX_PIXELS = 40_000_000
"""Of a label map from a stranger; as many as a photo may have."""


def read_label_map(path: Path, num_classes: int = len(VOC_CLASSES)) -> NDArray[np.uint8]:
    """A label map of Pascal VOC's kind: a PNG, palette or grey, whose values are classes or ``VOID``; (H, W).

    The file may come from a stranger: its size is judged before a pixel is decoded.

    Raises:
        ValueError: with a plain sentence, fit to be shown, if it is anything else.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            mode, size = image.mode, image.size
            if mode in ("P", "L") and size[0] * size[1] <= MAX_PIXELS:
                labels = np.array(image, dtype=np.uint8)
    except Exception:  # what a broken file does to a decoder has many names
        raise ValueError("The label map is no PNG that can be read.") from None
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"The label map has {size[0]:,} × {size[1]:,} pixels, more than any photo here may have.")
    if mode not in ("P", "L"):
        raise ValueError(
            "The label map is saved in colours or with more than 8 bits: its values must be classes, palette or 8-bit grey."
        )
    strange = [value for value in np.unique(labels).tolist() if value >= num_classes and value != VOID]
    if strange:
        raise ValueError(
            f"The label map has the value {strange[0]}: classes go from 0 to {num_classes - 1}, and {VOID} is void."
        )
    if (labels == VOID).all():
        raise ValueError(f"The label map is void ({VOID}) everywhere: there is nothing to score.")
    return labels
