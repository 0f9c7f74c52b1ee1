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

    Both look at cells, each with the label of the pixel it lies at on the ``grid``; void is ignored. Cross entropy takes cells at the
    logits' own stride, at most 4; the Lovász loss, which sorts them, at stride 4.
    """
    stride = min(round(labels.shape[-1] / logits.shape[-1]), LABEL_STRIDE)
    cells = cells_at(labels, stride, align_corners)
    fine = resize_logits(logits, (cells.shape[-2], cells.shape[-1]), align_corners)
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
                coarse = nn.functional.interpolate(fine, coarse_cells.shape[-2:], mode="bilinear")
        loss = loss + lovasz_weight * lovasz_softmax(coarse.softmax(1), coarse_cells)
    return loss


def cells_at(labels: Tensor, stride: int, align_corners: bool = False) -> Tensor:
    """(N, H, W) labels sampled where the cells of a map of ``stride`` lie."""
    first = stride // 2 if not align_corners else 0
    return labels[:, first::stride, first::stride].long()


def trusted_labels(labels: Tensor, teacher: Tensor) -> Tensor:
    """(N, H, W) labels, void where the teacher's (N, C, h, w) logits see no such class, not even in a neighbouring cell.

    What is left says where the edges run and not what is there: of that the teacher has seen more photos than we have.
    """
    classes = teacher.shape[1]
    seen = nn.functional.one_hot(teacher.argmax(1), classes).movedim(-1, 1).float()
    near = nn.functional.max_pool2d(seen, 3, stride=1, padding=1)
    fine = nn.functional.interpolate(near, labels.shape[-2:], mode="nearest-exact")
    known = labels.long().clamp(max=classes - 1)
    trusted = fine.gather(1, known[:, None])[:, 0] > 0
    return torch.where(trusted, labels, VOID)


def distillation_loss(logits: Tensor, teacher: Tensor, weight: Tensor | None = None) -> Tensor:
    """The Kullback-Leibler divergence of (N, C, h, w) logits from the ``teacher``'s (N, C, H, W), a mean over its cells,
    each counting as much as ``weight``, (N, H, W), says.

    With ``align_corners``, where every cell of the coarser map is one of the finer: they are compared there, so
    the borders between the teacher's cells are left to the labels (Hinton et al. 2015: arXiv 1503.02531, section 2).
    """
    step = -(-logits.shape[-1] // teacher.shape[-1])
    student = logits[..., ::step, ::step].log_softmax(1)
    divergence = nn.functional.kl_div(student, teacher.log_softmax(1), reduction="none", log_target=True)
    cells = divergence.sum(1)
    return cells.mean() if weight is None else (weight * cells).sum() / weight.sum()


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
