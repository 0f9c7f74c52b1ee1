"""Class names and colours."""

import numpy as np
from numpy.typing import NDArray

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
