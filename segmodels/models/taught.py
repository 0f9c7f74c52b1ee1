"""Score layers on another network's backbone, as a network of their own: the card and the builder."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import torch

from ..labels import ClassList
from .base import SegmentationNetwork
from .card import Card
from .score_layers import ScoreLayers

COARSEST = 32
SIDE = 256
"""Pixels of an input that every stride divides."""


@dataclass(frozen=True)
class BackboneMaps:
    """The feature maps of a backbone without dilation, from fine to coarse.

    Attributes:
        channels: the channels of each map.
        strides: the stride of each map, in pixels.
        align_corners: where the cells lie, see ``segmodels.models.layers``.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    align_corners: bool

    def layers(self, strides: Sequence[int], num_classes: int) -> ScoreLayers:
        """Build score layers on the maps at ``strides``.

        Args:
            strides: one or more of ``self.strides``.
            num_classes: the number of classes.

        Raises:
            ValueError: for a stride that the backbone does not have.
        """
        return ScoreLayers(self.channels, self.strides, strides, num_classes, self.align_corners)


@lru_cache(maxsize=64)
def backbone_maps(base: Card) -> BackboneMaps:
    """Return the feature maps of the backbone of ``base``. Its weights are not read."""
    with torch.device("meta"):
        backbone = _undilated(base, 2).backbone
        maps = backbone(torch.empty(1, 3, SIDE, SIDE))
    return BackboneMaps(backbone.out_channels, tuple(SIDE // map_.shape[-1] for map_ in maps), backbone.align_corners)


def taught_card(base: Card, class_list: ClassList, strides: Sequence[int]) -> Card:
    """Return the card of score layers on the backbone of ``base``.

    Args:
        base: the network whose backbone is used.
        class_list: the classes that are scored.
        strides: the strides of the feature maps to score.

    Raises:
        ValueError: for a stride that the backbone does not have.
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
    """Build the network with random weights: the backbone of ``base`` and score layers at ``strides``."""
    return SegmentationNetwork(_undilated(base, num_classes).backbone, backbone_maps(base).layers(strides, num_classes))


def _undilated(base: Card, num_classes: int) -> SegmentationNetwork:
    """The bare network of ``base`` with as coarse a last map as it can have: weights trained with dilations find there
    what they found before, at every second cell."""
    network = base.builder(num_classes)
    with suppress(ValueError):  # some have but one stride
        network.backbone.set_output_stride(COARSEST)
    return network
