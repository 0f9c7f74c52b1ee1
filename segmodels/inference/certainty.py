"""How confident a network is of each pixel, from its softmax.

``probabilities`` are (C, H, W) and sum to 1 over the C classes. High confidence does not mean correct: the
probabilities of a network show how it was trained to answer, and are usually too high.
"""

import math

import torch
from torch import Tensor

from .label_map import Size, upsample_logits


def probabilities(logits: Tensor, size: tuple[int, int], aligned_size: Size | None = None) -> Tensor:
    """Return the softmax of logits after bilinear interpolation, as ``label_map`` interpolates them.

    Args:
        logits: (C, h, w).
        size: (height, width) of the result, in pixels.
        aligned_size: (height, width) of the network's input if its cells lie on corners, see ``label_map``.

    Returns:
        (C, height, width), which sums to 1 over the classes.
    """
    return upsample_logits(logits, size, aligned_size).softmax(0)


def entropy(probabilities: Tensor) -> Tensor:
    """Return Shannon's entropy in bits: 0 if one class has probability 1, 1 for two equal classes, log2(C) if all are
    equal.

    Args:
        probabilities: (C, H, W).

    Returns:
        (H, W).
    """
    return torch.special.entr(probabilities).sum(0) / math.log(2)


def margin(probabilities: Tensor) -> Tensor:
    """Return how far the best class is ahead of the second best, from 0 (a tie) to 1.

    Args:
        probabilities: (C, H, W).

    Returns:
        (H, W).
    """
    best, second = probabilities.topk(2, dim=0).values
    return best - second
