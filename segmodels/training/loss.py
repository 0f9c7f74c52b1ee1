"""How wrong a network's logits are: cross entropy and the Lovász loss."""

import torch
from torch import Tensor, nn

from ..labels import VOID
from ..models.layers import resize_logits

LABEL_STRIDE = 4
"""Logits coarser than this are upsampled to it before the loss, and labels are sampled at it."""


def segmentation_loss(
    logits: Tensor, labels: Tensor, smoothing: float, lovasz_weight: float, align_corners: bool = False
) -> Tensor:
    """How wrong (N, C, h, w) logits are for (N, H, W) labels: cross entropy, plus ``lovasz_weight`` times the Lovász loss.

    Both compare the label of every few pixels with the logits at that pixel; void is ignored. Cross entropy takes as many
    pixels as there are logits, or one in 4 along each side where the logits are coarser. The Lovász loss sorts pixels, so
    it takes one in 4 always.
    """
    stride = min(round(labels.shape[-1] / logits.shape[-1]), LABEL_STRIDE)
    cells = cells_at(labels, stride, align_corners)
    fine = at_labels(logits, cells, stride, align_corners)
    summed = nn.functional.cross_entropy(fine, cells, ignore_index=VOID, label_smoothing=smoothing, reduction="sum")
    loss = summed / (cells != VOID).sum().clamp(min=1)  # a batch may be void everywhere
    if lovasz_weight:
        coarse_cells = cells_at(labels, LABEL_STRIDE, align_corners)
        coarse = fine
        if coarse_cells.shape != cells.shape:
            if align_corners:  # every cell of the coarser map is one of the finer
                step = LABEL_STRIDE // stride
                coarse = fine[..., ::step, ::step]
            else:
                coarse = at_labels(logits, coarse_cells, LABEL_STRIDE, align_corners)
        loss = loss + lovasz_weight * lovasz_softmax(coarse.softmax(1), coarse_cells)
    return loss


def at_labels(logits: Tensor, cells: Tensor, stride: int, align_corners: bool = False) -> Tensor:
    """Return (N, C, h, w) logits interpolated to where ``cells_at`` takes the (N, H, W) labels ``cells``: (N, C, H, W).

    On a grid of corners a cell lies on a pixel. On one of centres the middle of an even number of pixels lies between
    two, and the label is that of the one behind it: half a pixel further down and to the right.
    """
    fine = resize_logits(logits, (cells.shape[-2], cells.shape[-1]), align_corners)
    if align_corners or stride % 2:
        return fine
    share = 0.5 / stride
    below = torch.cat([fine[..., 1:, :], fine[..., -1:, :]], dim=-2)
    fine = torch.lerp(fine, below, share)
    beside = torch.cat([fine[..., 1:], fine[..., -1:]], dim=-1)
    return torch.lerp(fine, beside, share)


def cells_at(labels: Tensor, stride: int, align_corners: bool = False) -> Tensor:
    """(N, H, W) labels sampled where the cells of a map of ``stride`` lie, or the pixel behind (``at_labels``)."""
    first = stride // 2 if not align_corners else 0
    return labels[:, first::stride, first::stride].long()


def lovasz_softmax(probabilities: Tensor, labels: Tensor) -> Tensor:
    """One minus IoU, made smooth, over the classes in (N, H, W) ``labels`` (Berman et al. 2018, arXiv 1705.08790, alg. 1).

    For probabilities of 0 and 1 it is exactly the mean of ``1 - IoU`` over those classes; void is ignored.
    """
    scored = labels != VOID
    flat, truth = probabilities.movedim(1, -1)[scored], labels[scored]
    losses = []
    for index in truth.unique():
        inside = (truth == index).float()
        errors, order = (inside - flat[:, index]).abs().sort(descending=True)
        inside = inside[order]
        intersection = inside.sum() - inside.cumsum(0)
        union = inside.sum() + (1 - inside).cumsum(0)
        jaccard = 1 - intersection / union
        losses.append(errors @ jaccard.diff(prepend=jaccard.new_zeros(1)))
    return torch.stack(losses).mean() if losses else probabilities.sum() * 0
