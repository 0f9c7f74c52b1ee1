"""What is known of how networks are put together: which module takes what another gives.

Folding and fusing go by it, and by nothing else: a network whose blocks are not described here runs as it is.
"""

from collections.abc import Iterator
from itertools import pairwise

from torch import nn


def consecutive_layers(module: nn.Module) -> Iterator[tuple[str, str]]:
    """The names of children (first, second) of which the second takes what the first gives, and nobody else does.

    Those are neighbours in an ``nn.Sequential``, the ResNets' ``conv1`` and ``bn1``, ``conv2`` and ``bn2`` and so on, and
    the ``depthwise`` and ``activation`` of inverted residuals. What does nothing is passed over.
    """
    names = [name for name, child in module.named_children() if not isinstance(child, nn.Identity)]
    if isinstance(module, nn.Sequential):
        yield from pairwise(names)
        return
    for first in names:
        second = "activation" if first == "depthwise" else first.replace("conv", "bn")
        if second != first and second in names:
            yield first, second


def is_bottleneck(module: nn.Module) -> bool:
    """Whether this is a ResNet's bottleneck, its batch norms folded: three convolutions, a sum and a ReLU."""
    names = {name for name, _ in module.named_children()}
    return {"conv1", "conv2", "conv3", "bn3", "relu"} <= names and isinstance(module.get_submodule("bn3"), nn.Identity)
