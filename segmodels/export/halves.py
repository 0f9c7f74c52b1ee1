"""A network as two graphs: from a photo to feature maps, and from those to logits.

So a page can move the atrous rate without running the backbone again, as a ``Segmenter`` does.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..models.base import SegmentationNetwork, configure
from ..models.card import Card
from .atrous_rate_input import Rate
from .onnx_graph import EXAMPLE, LEAST_SIDE, MOST_SIDE, move_taps, traced

if TYPE_CHECKING:
    import onnx


class Encoder(nn.Module):
    """(1, 3, H, W) normalised pixels -> the backbone's feature maps, from fine to coarse."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> list[Tensor]:
        return self.network.encode(image)


class Decoder(nn.Module):
    """Feature maps, and for a DeepLab the atrous rate, (), int64 -> (1, num_classes, h, w) logits at its own stride."""

    def __init__(self, network: SegmentationNetwork, rate: Rate | None) -> None:
        super().__init__()
        self.network = network
        self.rate = rate

    def forward(self, maps: list[Tensor], atrous_rate: Tensor | None = None) -> Tensor:
        if self.rate is not None and atrous_rate is not None:
            self.rate.set(atrous_rate)
        return self.network.decode(maps)


def split(network: SegmentationNetwork, card: Card) -> "tuple[onnx.ModelProto, onnx.ModelProto]":
    """Return the graphs of the encoder and of the decoder of ``network``, which is altered by this.

    The encoder takes ``image`` and gives ``map0``, ``map1`` and so on, those that the decoder needs. The decoder takes
    these, and ``atrous_rate`` if there is one, and gives ``logits``.
    """
    network.eval().requires_grad_(False)
    configure(network, card.atrous_rate, card.output_stride)
    image = torch.zeros(1, 3, *EXAMPLE)
    sides = {
        axis: torch.export.Dim(side, min=LEAST_SIDE, max=MOST_SIDE) for axis, side in ((2, "rows"), (3, "columns"))
    }
    with torch.no_grad():
        maps = network.encode(image)
    names = [f"map{index}" for index in range(len(maps))]
    encoder = traced(Encoder(network), (image,), (sides,), ["image"], names)
    free = torch.export.Dim.DYNAMIC
    shapes = ([{2: free, 3: free} for _ in maps],)
    if card.atrous_rate is None:
        decoder = traced(Decoder(network, None), (maps,), shapes, names, ["logits"])
    else:
        rated, rate = Decoder(network, move_taps(network)), torch.tensor(card.atrous_rate)
        decoder = traced(rated, (maps, rate), (*shapes, None), [*names, "atrous_rate"], ["logits"])
    _drop_unused(encoder, decoder)
    return encoder, decoder


def _drop_unused(encoder: "onnx.ModelProto", decoder: "onnx.ModelProto") -> None:
    """Leave out the maps that the decoder does not look at."""
    used = {name for node in decoder.graph.node for name in node.input}
    for puts in (encoder.graph.output, decoder.graph.input):
        kept = [put for put in puts if put.name in used]
        del puts[:]
        puts.extend(kept)
