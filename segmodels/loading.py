"""From a name, and perhaps a file of weights, to a Segmenter."""

from pathlib import Path

import torch
from torch import Tensor

from . import zoo
from .networks import published
from .networks.network import SegmentationNetwork
from .segmenter import Segmenter
from .weights import Progress, load_state, read_state
from .zoo import Card


def load(
    name: str,
    weights: str | Path | None = None,
    device: str | torch.device | None = None,
    precision: str | None = None,
    progress: Progress | None = None,
) -> Segmenter:
    """A Segmenter for the network called ``name``, with its trained weights or those in the file ``weights``.

    A file that holds a decoder alone goes with the network's own backbone.

    ``precision`` is ``"float32"`` or ``"bfloat16"``; by default the fastest that the machine does well. Published
    weights are fetched on first use: ``progress`` is then called with the bytes fetched and their total; without it, a
    terminal shows a bar.

    Raises:
        ValueError: for an unknown name, with the near ones; for a network without trained weights; for published ones
            that cannot be fetched; for a weights file that is damaged or belongs to another network.
        FileNotFoundError: if the weights file is missing.
    """
    card = zoo.card(name)
    file = Path(weights) if weights else card.weights_file(progress)
    state = read_state(file, None if weights else card.measured.get("sha256"))
    if card.published:
        state = published.translate(name, state)
    return Segmenter(assemble(card, state), card, device, precision)


def assemble(card: Card, state: dict[str, Tensor]) -> SegmentationNetwork:
    """The network of ``card`` with the weights in ``state``; to a decoder alone, the bundled backbone is added.

    Raises:
        ValueError: if the weights belong to another network.
    """
    if card.source == "bundled" and all(name.startswith("decoder.") for name in state):
        own = read_state(card.weights_file(), card.measured["sha256"])
        state = state | {name: tensor for name, tensor in own.items() if name.startswith("backbone.")}
    network = card.builder(len(card.classes))
    load_state(network, state)
    return network
