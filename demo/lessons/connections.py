"""Which cells of its input each cell of a layer's output is made of, asked of the layer itself."""

import torch
from torch import Tensor, nn


def connections(layer: nn.Module, height: int, width: int) -> Tensor:
    """(height, width, ...): ``[row, column]`` is what ``layer`` gives, without batch, for a map that is 1 there alone.

    ``layer`` takes (N, 1, H, W). Convolutions should have all weights 1: then a number says how often the input cell
    is read for the output cell, and 0 that it is not.

    Raises:
        ValueError: in torch's words, if the layer cannot take such a map.
    """
    cells = height * width
    try:
        with torch.no_grad():
            outputs: Tensor = layer(torch.eye(cells).reshape(cells, 1, height, width))
    except RuntimeError as error:
        raise ValueError(f"torch says: {error}") from None
    return outputs.reshape(height, width, *outputs.shape[1:])


def ones_everywhere(layer: nn.Module) -> nn.Module:
    """The same layer with every weight 1."""
    for parameter in layer.parameters():
        nn.init.ones_(parameter)
    return layer
