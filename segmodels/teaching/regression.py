"""Multinomial logistic regression with L2, solved to convergence: what a 1x1 convolution learns from labelled cells."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

L2 = 1e-2
"""What the squared weights cost beside the mean loss of a cell, for features of deviation 1. A tenth of it or ten times as
much hardly moves a mask: features that tell two things apart do so with room to spare."""

MOST_ITERATIONS = 1000
LARGEST_GRADIENT = 1e-6
"""A fit has converged when no derivative of the loss is larger."""
MEMORY = 20
"""Steps that L-BFGS remembers."""

NEVER = -1e4
"""The score of a class that no cell has: no photo gives it a pixel."""


@dataclass(frozen=True)
class Solution:
    """``scores = features @ weight.T + bias``, in float64."""

    weight: Tensor
    """(classes, channels)."""
    bias: Tensor
    """(classes,)."""
    iterations: int


def solve(features: Tensor, classes: Tensor, num_classes: int, l2: float = L2) -> Solution:
    """The minimum of the mean cross-entropy of the cells plus ``l2 / 2`` times the sum of the squared weights.

    ``features`` are (cells, channels), ``classes`` (cells,) integers below ``num_classes``. Weights are squared as they
    stand for features of mean 0 and deviation 1 over the cells; what is returned is for those that were given. Every class
    that has cells counts as much as every other, however many: a long stroke does not outvote a dot. The problem is
    convex and has one minimum. A class without cells gets the score ``NEVER``.
    """
    features = features.double()
    mean, deviation = features.mean(0), features.std(0, correction=0)
    # What is the same in all cells says nothing here, however large it is elsewhere.
    deviation[deviation <= 1e-9 * mean.abs()] = torch.inf
    there, own = classes.unique(return_inverse=True)
    fitted, offset, iterations = _minimise((features - mean) / deviation, own, len(there), l2)
    weight = torch.zeros(num_classes, features.shape[1], dtype=torch.float64)
    bias = torch.full((num_classes,), NEVER, dtype=torch.float64)
    weight[there] = fitted / deviation
    bias[there] = offset - weight[there] @ mean
    return Solution(weight, bias, iterations)


def _minimise(x: Tensor, classes: Tensor, num_classes: int, l2: float) -> tuple[Tensor, Tensor, int]:
    """Weight and bias for standardised features ``x``, by L-BFGS from zero, and how many iterations it took.

    The gradient is written out: on a few hundred cells, autograd would take longer than the arithmetic.
    """
    truth = nn.functional.one_hot(classes, num_classes).double()
    share = (truth / truth.sum(0) / num_classes).sum(1, keepdim=True)
    transposed = x.T.contiguous()
    parameters = nn.Parameter(torch.zeros(x.shape[1] + 1, num_classes, dtype=torch.float64))

    def loss() -> Tensor:
        weight, bias = parameters.data[:-1], parameters.data[-1]
        log_likely = (x @ weight + bias).log_softmax(1)
        wrong = (log_likely.exp() - truth) * share
        parameters.grad = torch.cat([transposed @ wrong + l2 * weight, wrong.sum(0, keepdim=True)])
        return l2 / 2 * weight.square().sum() - (share * truth * log_likely).sum()

    optimiser = torch.optim.LBFGS(
        [parameters],
        max_iter=MOST_ITERATIONS,
        tolerance_grad=LARGEST_GRADIENT,
        tolerance_change=0,
        history_size=MEMORY,
        line_search_fn="strong_wolfe",
    )
    optimiser.step(loss)
    iterations: int = optimiser.state[parameters].get("n_iter", 0)
    return parameters.data[:-1].T, parameters.data[-1], iterations
