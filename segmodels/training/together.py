"""The compact zoo learns together: one backbone, four decoders on its features, each photo seen by all at once.

What differs between the four networks afterwards is the decoder and nothing else: they share every weight of the
backbone, every crop and every step. It is also cheaper than four runs, since the backbone runs once.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ..labels import VOID
from ..models import registry
from ..models.base import SegmentationNetwork
from .data import SegmentationFolder


class Together(SegmentationNetwork):
    """Several networks with one backbone. Training supervises all their predictions; there is no single output."""

    def __init__(self, networks: Mapping[str, SegmentationNetwork]) -> None:
        first, *_ = networks.values()
        super().__init__(first.backbone, nn.ModuleDict({name: network.decoder for name, network in networks.items()}))
        for network in networks.values():
            network.backbone = self.backbone
        self._networks = dict(networks)  # in a dict, so that no weight is registered twice

    def side_logits(self, features: list[Tensor]) -> list[Tensor]:
        """The predictions of every network, one network after the other."""
        return [logits for network in self._networks.values() for logits in network.side_logits(features)]


def apart(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Of the state dict of networks ``Together``, that of the one called ``name``."""
    own = f"decoder.{name}."
    decoder = {f"decoder.{key.removeprefix(own)}": tensor for key, tensor in state.items() if key.startswith(own)}
    return {key: tensor for key, tensor in state.items() if key.startswith("backbone.")} | decoder


def freeze_norms(network: nn.Module) -> None:
    """Keep the statistics of all batch norms as they are: with them a network begins exactly where it was put."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


class Unlabelled(SegmentationFolder):
    """Every ``every``-th photo of a folder, without its label map: a teacher alone says what is on it."""

    def __init__(self, root: Path, split: str, every: int = 1) -> None:
        super().__init__(root, split)
        self.stems = self.stems[::every]

    def __getitem__(self, index: int) -> tuple[Image.Image, NDArray[np.uint8]]:
        photo, labels = super().__getitem__(index)
        return photo, np.full_like(labels, VOID)


CALIBRATED_BY = 24
"""Photos on which the statistics of batch norms are set."""


def photos_to_calibrate_by(folder: SegmentationFolder, card: registry.Card) -> Tensor:
    """(24, 3, h, w) normalised photos, evenly out of ``folder``, squeezed into squares of three quarters of the working size."""
    side = card.working_size * 3 // 4 // 16 * 16 + 1
    evenly = range(0, len(folder), len(folder) // CALIBRATED_BY)[:CALIBRATED_BY]
    chosen = [folder[index][0].resize((side, side)) for index in evenly]
    pixels = torch.from_numpy(np.stack([np.array(photo) for photo in chosen])).movedim(3, 1).float()
    return (pixels - card.mean[0]) / card.std[0]
