"""An ASPP that begins with its whole answer in the 1x1 branch hands part of it over to the atrous branches.

Otherwise the rates of such a network move next to nothing: what the atrous branches add to an answer that is there already
is little. The target is what the pyramid gave before, at every cell and in every map, which needs no labels (a hint, as in
Romero et al. 2015: arXiv 1412.6550, section 2.2).
"""

from typing import cast

import torch
from torch import Tensor, nn

from ..models.heads import ASPP

RAREST = 12.0
"""At most so many times as much as one of the most frequent class does a cell count."""


def hand_over(aspp: ASPP, share: float) -> list[nn.Parameter]:
    """Take ``share`` of its say from the 1x1 branch, and return the parameters that are to learn it.

    These are the atrous branches, their columns of the projection, and the bias of its batch norm. The columns of the 1x1
    branch and of image pooling get no gradient from now on.

    Raises:
        ValueError: if ``share`` is not between 0 and 1, or there are no atrous branches.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share is between 0 and 1, not {share:g}")
    if not aspp.atrous_rates:
        raise ValueError("without atrous branches there is nobody to hand over to")
    conv, norm = cast(nn.Conv2d, aspp.project[0]), cast(nn.BatchNorm2d, aspp.project[1])
    project = conv.weight
    width = project.shape[0]
    atrous = torch.zeros(project.shape[1], 1, 1)
    atrous[width:-width] = 1
    with torch.no_grad():
        project[:, :width] *= 1 - share
    learns: list[nn.Parameter] = [
        *(parameter for branch in list(aspp.convs)[1:-1] for parameter in branch.parameters()),
        cast(nn.Parameter, project),
        norm.bias,
    ]
    aspp.requires_grad_(False)
    for parameter in learns:
        parameter.requires_grad_(True)
    project.register_hook(lambda gradient: gradient * atrous)
    return learns


def hint_loss(maps: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """The squared distance of (N, C, h, w) maps from their target, in parts of the target's own square.

    ``weight``, (N, 1, h, w), says how much each cell counts.
    """
    return (weight * (maps - target).square()).sum() / (weight * target.square()).sum()


def rareness(classes: Tensor, num_classes: int) -> Tensor:
    """How much cells count for which (N, h, w) ``classes`` are predicted: one over the root of how frequent the class is.

    (num_classes,); 1 for the most frequent class, at most ``RAREST``.
    """
    counts = torch.bincount(classes.flatten(), minlength=num_classes).clamp(min=1)
    return (counts.max() / counts).sqrt().clamp(max=RAREST)
