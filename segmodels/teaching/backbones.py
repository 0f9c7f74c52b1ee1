"""A backbone that has learned nothing, to see what learned features are worth."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from ..inference.segmenter import Segmenter
from ..models import registry

SEED = 0
NOISE_SIDE = 128
"""Pixels along each side of the noise on which random weights are scaled."""


def random_backbone(name: str, precision: str | None = None) -> Segmenter:
    """A Segmenter for the network called ``name`` whose backbone has random weights, the same every time; for ``fit_head``.

    Gaussian weights are scaled so that every convolution answers noise with deviation 1, as batch norms would see to;
    otherwise what reaches the last layers of a deep network is next to nothing.

    Raises:
        ValueError: for an unknown name, with the near ones.
    """
    card = registry.card(name)
    numbers = torch.Generator().manual_seed(SEED)  # torch's own is every thread's: another may draw from it meanwhile
    rescale = partial(_rescale, numbers)
    with torch.no_grad():
        network = card.builder(len(card.classes)).eval()
        hooks = [module.register_forward_hook(rescale) for module in network.modules() if isinstance(module, nn.Conv2d)]
        network.encode(torch.randn(1, 3, NOISE_SIDE, NOISE_SIDE, generator=numbers))
        for hook in hooks:
            hook.remove()
    random = replace(card, name=f"{name}_random", title=f"{card.title}, random weights", network=name)
    return Segmenter(network, random, precision=precision)


def _rescale(numbers: torch.Generator, conv: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Draw the weights of ``conv`` and scale them; what it answers with them."""
    assert isinstance(conv, nn.Conv2d)
    nn.init.normal_(conv.weight, generator=numbers)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    answer = conv._conv_forward(inputs[0], conv.weight, conv.bias)
    conv.weight.div_(answer.std())
    return answer.div_(answer.std())
