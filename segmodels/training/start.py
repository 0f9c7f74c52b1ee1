"""What a training run starts from: weights, and the settings of its network."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from .. import zoo
from ..inference.bounds import MIN_SIDE
from ..networks import published
from ..networks.backbones import VGG16, MobileNetV2
from ..networks.fcn import FCN, load_vgg16
from ..networks.network import SegmentationNetwork
from ..settings import WORKING_SIZES, apply, check_settings
from ..weights import FetchError, load_mobilenet, load_state, read_state, shown
from ..zoo import Card
from .recipe import Recipe

PRETRAINED = ("backbone.", "decoder.head.")
"""The modules that start from trained weights: the backbone, and FCN's convolutions of the classifier."""


def normaliser(card: Card) -> Callable[[Tensor], Tensor]:
    """From uint8 pixels to what the network called ``card.name`` expects."""
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (card.mean, card.std))
    return lambda photos: (photos.float() - mean.to(photos.device)) / std.to(photos.device)


def start_from(network: SegmentationNetwork, card: Card, start: str | Path | None) -> str:
    """Give ``network`` its starting weights, and say which.

    A file gives the pretrained parts, ``"zoo"`` all but the last layer of the network's own trained weights,
    ``"imagenet"`` the backbone of a classifier, ``"scratch"`` nothing. None stands for the zoo's where the classes are
    others than theirs and there are such weights, else for ImageNet's.

    torchvision's classifiers are fetched. A backbone whose ImageNet weights cannot be had starts random, with a word
    about it on stderr.

    Raises:
        ValueError: if a file has none of the pretrained parts, or the zoo no trained weights.
    """
    if start is None:
        trained = zoo.card(card.name)
        start = "zoo" if card.class_list != trained.class_list and trained.source == "bundled" else "imagenet"
    if start == "zoo":
        return _start_from_zoo(network, card)
    if start == "imagenet":
        return _start_from_imagenet(network, card)
    return "random" if start == "scratch" else _start_from_file(network, Path(start))


def _start_from_file(network: SegmentationNetwork, file: Path) -> str:
    state, own = read_state(file), network.state_dict()
    parts = {
        name: state[name].float()
        for name in own
        if name.startswith(PRETRAINED) and name in state and state[name].shape == own[name].shape
    }
    if not parts:
        raise ValueError(f"{shown(file)} has no weights for the backbone of this network")
    load_state(network, own | parts)
    return file.name


def _start_from_zoo(network: SegmentationNetwork, card: Card) -> str:
    """All weights but those whose shape depends on the number of classes: score layers start from zero (FCN, section 4.1).

    Random ones on features that have learned would say something at random, and loudly, of every pixel.
    """
    trained = zoo.card(card.name)
    state = read_state(trained.weights_file(), trained.measured.get("sha256"))
    if trained.published:
        state = published.translate(card.name, state)
    with torch.device("meta"):
        one, other = (card.builder(count).state_dict() for count in (2, 3))
    kept = {name: state[name] for name in one if one[name].shape == other[name].shape}
    load_state(network, network.state_dict() | kept)
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and f"{path}.weight" not in kept:
            for parameter in module.parameters():
                nn.init.zeros_(parameter)
    return f"{card.name}, trained on {len(trained.classes)} classes, but for its last layer"


def _start_from_imagenet(network: SegmentationNetwork, card: Card) -> str:
    if card.classifier is None:
        return "random"
    try:
        state = read_state(published.classifier_file(card.classifier))
    except FetchError as error:
        print(f"{card.name} starts from random weights, not from ImageNet's: {error}", file=sys.stderr)
        return "random"
    if isinstance(network.backbone, MobileNetV2):
        load_mobilenet(network.backbone, state, card.mean, card.std)
    elif isinstance(network.backbone, VGG16):
        load_vgg16(cast(FCN, network), state)
    else:
        published.load_classifier(cast(nn.Module, network.backbone), state)
    return f"ImageNet (torchvision's {card.classifier})"


def as_trained(card: Card, recipe: Recipe) -> Card:
    """``card`` at the rate and stride of the recipe, at which the network is trained, validated and loaded later.

    A stride alone keeps the field of view: half the stride, twice the rate (DeepLab v3, section 4.1).

    Raises:
        ValueError: for a setting that the network cannot have.
    """
    settings = check_settings(card, recipe.atrous_rate or None, recipe.output_stride or None)
    return replace(card, atrous_rate=settings.atrous_rate, output_stride=settings.output_stride)


def fitted_to(photos: int, card: Card, recipe: Recipe) -> tuple[Card, Recipe]:
    """Crops no larger than the longer side of the ``photos``, in pixels, and working sizes smaller by as much.

    Enlarged photos cost time and show nothing more; and what is trained small must not be validated large.
    """
    crop = max(min(recipe.crop, photos), MIN_SIDE)
    size = max(round(card.working_size * crop / recipe.crop), WORKING_SIZES[0])
    short_side = card.short_side and max(round(card.short_side * crop / recipe.crop), MIN_SIDE)
    return replace(card, working_size=size, short_side=short_side), replace(recipe, crop=crop)


def prepare(network: SegmentationNetwork, card: Card, recipe: Recipe) -> None:
    """Ready for training: at the rate and the stride of ``card``, and with what the recipe does not train frozen."""
    network.train()
    apply(network, card.atrous_rate, card.output_stride)
    if not recipe.backbone_rate:
        cast(nn.Module, network.backbone).requires_grad_(False).eval()  # its batch norms keep their statistics too
    elif isinstance(network.backbone, MobileNetV2):
        network.backbone.freeze_fine_stages()
