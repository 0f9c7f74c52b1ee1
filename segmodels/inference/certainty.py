"""How sure a network is of each pixel, from its softmax.

``probabilities`` are (C, H, W) and sum to 1 over the C classes. A network's own probabilities say how it was trained to
answer, not how often it is right: they are as a rule too high.
"""

import math

import torch
from torch import Tensor

from .label_map import Size, upsample_logits


def probabilities(logits: Tensor, size: tuple[int, int], aligned_size: Size | None = None) -> Tensor:
    """The softmax of (C, h, w) logits, interpolated bilinearly to ``size`` (height, width) first, as ``label_map`` does."""
    return upsample_logits(logits, size, aligned_size).softmax(0)


def entropy(probabilities: Tensor) -> Tensor:
    """Shannon's entropy in bits, (H, W): 0 where one class has it all, 1 between two equals, log2(C) if all are equal."""
    return torch.special.entr(probabilities).sum(0) / math.log(2)


def margin(probabilities: Tensor) -> Tensor:
    """How far the best class is ahead of the second best, (H, W): from 0, a tie, to 1."""
    best, second = probabilities.topk(2, dim=0).values
    return best - second
