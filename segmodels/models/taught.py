"""Score layers on another network's backbone as a network of its own: how one is described and built."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import torch

from ..labels import ClassList
from .base import SegmentationNetwork
from .registry import Card
from .score_layers import ScoreLayers

COARSEST = 32
SIDE = 256
"""Pixels of an input that every stride divides."""


@dataclass(frozen=True)
class BackboneMaps:
    """What a backbone hands out, from fine to coarse, without any dilation."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    align_corners: bool

    def layers(self, strides: Sequence[int], num_classes: int) -> ScoreLayers:
        """Score layers on the maps at ``strides``. Raises ValueError for one that there is not."""
        return ScoreLayers(self.channels, self.strides, strides, num_classes, self.align_corners)


@lru_cache(maxsize=64)
def backbone_maps(base: Card) -> BackboneMaps:
    """The maps of the backbone of ``base``, found out without its weights."""
    with torch.device("meta"):
        backbone = _undilated(base, 2).backbone
        maps = backbone(torch.empty(1, 3, SIDE, SIDE))
    return BackboneMaps(backbone.out_channels, tuple(SIDE // map_.shape[-1] for map_ in maps), backbone.align_corners)


def taught_card(base: Card, class_list: ClassList, strides: Sequence[int]) -> Card:
    """The card of score layers at ``strides`` on the backbone of ``base``.

    Raises:
        ValueError: for strides that the backbone does not have.
    """
    maps = backbone_maps(base)
    with torch.device("meta"):
        maps.layers(strides, 2)
    network = base.network or base.name
    return replace(
        base,
        name=f"{network}_taught",
        title="FCN, taught by strokes",
        summary=f"1x1 convolutions at stride {', '.join(map(str, strides))} on the backbone of {network}.",
        builder=partial(build_taught, base, tuple(strides)),
        atrous_rate=None,
        output_stride=max(maps.strides),
        chooses_stride=False,
        class_list=class_list,
        published=False,
        classifier=None,
        network=network,
        file=None,
    )


def build_taught(base: Card, strides: tuple[int, ...], num_classes: int) -> SegmentationNetwork:
    """The bare network: the backbone of ``base`` and score layers at ``strides``, with random weights."""
    return SegmentationNetwork(_undilated(base, num_classes).backbone, backbone_maps(base).layers(strides, num_classes))


def _undilated(base: Card, num_classes: int) -> SegmentationNetwork:
    """The bare network of ``base`` with as coarse a last map as it can have: weights trained with dilations find there
    what they found before, at every second cell."""
    network = base.builder(num_classes)
    with suppress(ValueError):  # some have but one stride
        network.backbone.set_output_stride(COARSEST)
    return network
