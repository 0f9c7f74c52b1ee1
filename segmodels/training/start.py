"""What a training run starts from: weights, and the settings of its network."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ..checkpoints.files import load_state, read_weights
from ..inference.bounds import MIN_SIDE
from ..inference.loading import load_network, resolve_name
from ..inference.settings import WORKING_SIZES, check_settings
from ..models.backbones import MobileNetV2
from ..models.base import SegmentationNetwork, configure
from ..models.card import Card
from ..models.pretrained import load_all_but_scores
from ..models.registry import card
from .recipe import Recipe


def to_train(model: str) -> tuple[Card, Path | None]:
    """Return the card of a network to train, by its name or by a weights file that says whose it is, and that file.

    Of such a file the atrous rate, stride and normalisation are kept.

    Raises:
        ValueError: if there is no such network, or the file does not say it.
        FileNotFoundError: if there is no such file.
    """
    name, weights = resolve_name(model)
    if weights is None:
        return card(name), None
    _, record = read_weights(Path(weights))
    if record is None or record.score_strides is not None:
        raise ValueError(f"{model} holds classes that were taught, which are no network to train further")
    return replace(
        card(name), atrous_rate=record.atrous_rate, output_stride=record.output_stride, mean=record.mean, std=record.std
    ), Path(weights)


def start_from_weights(network: SegmentationNetwork, own: Card, file: Path) -> str:
    """Give ``network`` the weights in ``file``, its last layer too if the classes are the same; and say so.

    Raises:
        ValueError: if they are damaged or belong to another network.
    """
    trained, theirs = load_network(file)
    if theirs.classes == own.classes:
        load_state(network, trained.state_dict())
        return file.name
    load_all_but_scores(network, own, trained.state_dict())
    return f"{file.name}, trained on {len(theirs.classes)} classes, but for its last layer"


def normaliser(card: Card) -> Callable[[Tensor], Tensor]:
    """From uint8 pixels to what the network called ``card.name`` expects."""
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (card.mean, card.std))
    return lambda photos: (photos.float() - mean.to(photos.device)) / std.to(photos.device)


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
    configure(network, card.atrous_rate, card.output_stride)
    if not recipe.backbone_rate:
        cast(nn.Module, network.backbone).requires_grad_(False).eval()  # its batch norms keep their statistics too
    elif isinstance(network.backbone, MobileNetV2):
        network.backbone.freeze_fine_stages()
