"""The CRF by its definition: kernels over all pairs of pixels, for photos of a few hundred pixels."""

import torch
from torch import Tensor

from segmodels.crf.parameters import CRF, REFERENCE_SIDE


def gaussian(points: Tensor) -> Tensor:
    """(N, N): the kernel between all pairs of (d, N) points, in standard deviations."""
    return (-0.5 * torch.cdist(points.T.double(), points.T.double()) ** 2).exp()


def normalised(kernel: Tensor) -> Tensor:
    """Divided by the square roots of its rows' and columns' sums."""
    norm = kernel.sum(1).rsqrt()
    return norm[:, None] * kernel * norm


def mean_field(pixels: Tensor, scores: Tensor, crf: CRF) -> Tensor:
    """Q, (C, H, W), of an (H, W, 3) photo and (C, H, W) scores: algorithm 1 of arXiv 1210.5644, term by term."""
    height, width, _ = pixels.shape
    scale = REFERENCE_SIDE / max(height, width)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([rows, columns]).reshape(2, -1) * scale
    colours = pixels.reshape(-1, 3).T
    bilateral = normalised(gaussian(torch.cat([place / crf.theta_alpha, colours / crf.theta_beta])))
    smoothness = gaussian(place / crf.theta_gamma)
    smoothness = smoothness / smoothness.sum(1, keepdim=True)
    unary = scores.reshape(len(scores), -1).double()
    q = unary.softmax(0)
    for _ in range(crf.iterations):
        q = (unary + crf.w1 * q @ bilateral.T + crf.w2 * q @ smoothness.T).softmax(0)
    return q.view_as(scores).float()
