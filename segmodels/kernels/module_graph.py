"""Which module of a network takes the output of which other one.

Folding and fusing rely on this alone: a network whose blocks are not described here runs unchanged.
"""

from collections.abc import Iterator
from itertools import pairwise

from torch import nn


def consecutive_layers(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield names of children (first, second) where the second takes the first's output and nothing else does.

    These are neighbours in an ``nn.Sequential``; the ResNets' ``conv1`` and ``bn1``, ``conv2`` and ``bn2`` and so on;
    and the ``depthwise`` and ``activation`` of inverted residuals. Modules that do nothing are skipped.
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
    """Return whether this is a ResNet's bottleneck with folded batch norms: three convolutions, a sum and a ReLU."""
    names = {name for name, _ in module.named_children()}
    return {"conv1", "conv2", "conv3", "bn3", "relu"} <= names and isinstance(module.get_submodule("bn3"), nn.Identity)
