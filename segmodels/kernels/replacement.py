"""What layers share that stand in the place of torch's own convolutions."""

from typing import Any

import torch
from torch import Tensor, nn


def constructor_arguments(conv: nn.Conv2d | nn.ConvTranspose2d) -> dict[str, Any]:
    """What to build a layer with that takes the weights of ``conv`` over: none are made for it."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
    return {name: getattr(conv, name) for name in names} | {"device": "meta"}


def needs_torch(x: Tensor, weight: Tensor) -> bool:
    """Whether torch's own has to run: ``x`` is not on a processor, or a gradient is asked for."""
    return not x.is_cpu or x.is_meta or (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
