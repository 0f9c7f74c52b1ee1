"""What the layers share that replace torch's own convolutions."""

from typing import Any

import torch
from torch import Tensor, nn


def constructor_arguments(conv: nn.Conv2d | nn.ConvTranspose2d) -> dict[str, Any]:
    """Return the arguments for a layer that takes over the weights of ``conv``. No new weights are allocated."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
    return {name: getattr(conv, name) for name in names} | {"device": "meta"}


def needs_torch(x: Tensor, weight: Tensor) -> bool:
    """Return whether torch's own layer has to run: ``x`` is not on a processor, or a gradient is needed."""
    return not x.is_cpu or x.is_meta or (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
