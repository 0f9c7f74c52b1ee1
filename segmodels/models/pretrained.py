"""Starting weights for training: ImageNet classifiers, the bundled zoo, or a file."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ..checkpoints.download import FetchError
from ..checkpoints.files import load_state, read_state
from ..files import display_path
from . import registry
from . import torchvision as published
from .backbones import VGG16, MobileNetV2
from .base import SegmentationNetwork
from .card import Card
from .fcn import FCN, load_vgg16
from .torchvision import IMAGENET_MEAN, IMAGENET_STD


def fold_batch_norm(
    weight: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Fold a batch norm into the convolution before it.

    Args:
        weight: the convolution's kernel, (out, in, h, w); it has no bias.
        scale: the batch norm's weight, (out,).
        shift: the batch norm's bias, (out,).
        mean: its running mean, (out,).
        variance: its running variance, (out,).
        eps: what is added to the variance.

    Returns:
        The kernel and the bias of one convolution with the same output.
    """
    factor = scale * torch.rsqrt(variance + eps)
    return weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), shift - mean * factor


def load_mobilenet(
    backbone: MobileNetV2, state: Mapping[str, Tensor], mean: Sequence[float], std: Sequence[float]
) -> None:
    """Load torchvision's ImageNet weights of ``mobilenet_v2`` into ``backbone``, with the batch norms folded.

    The weights expect pixels normalised by ImageNet's mean and deviation, and the backbone gets pixels normalised by
    ``mean`` and ``std``. The first convolution is changed to make up for that, except for the zeros that pad the photo,
    which are grey here.

    Args:
        backbone: the backbone to load into.
        state: the state dict of torchvision's ``mobilenet_v2``.
        mean: subtracted from the pixels, which are 0 to 255.
        std: divides the pixels after that.
    """
    tensors = [tensor for name, tensor in state.items() if name.startswith("features.") and "num_batches" not in name]
    convs = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    eps = nn.BatchNorm2d(1).eps
    starts = range(0, len(tensors), 5)
    folded = [
        fold_batch_norm(weight, scale, shift, average, variance, eps)
        for weight, scale, shift, average, variance in (tensors[start : start + 5] for start in starts)
    ]
    folded = folded[: len(convs)]  # the last one leads to the classifier
    with torch.no_grad():
        for conv, (weight, bias) in zip(convs, folded, strict=True):
            assert conv.bias is not None
            conv.weight.copy_(weight)
            conv.bias.copy_(bias)
        first = convs[0]
        assert first.bias is not None
        scale = torch.tensor(std) / torch.tensor(IMAGENET_STD)
        shift = (torch.tensor(mean) - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
        first.bias += (first.weight * shift[:, None, None]).sum((1, 2, 3))
        first.weight *= scale[:, None, None]


PRETRAINED = ("backbone.", "decoder.head.")
"""The modules that start from trained weights: the backbone, and FCN's convolutions of the classifier."""


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
        trained = registry.card(card.name)
        start = "zoo" if card.class_list != trained.class_list and trained.source == "bundled" else "imagenet"
    if start == "zoo":
        return _start_from_zoo(network, card)
    if start == "imagenet":
        return _start_from_imagenet(network, card)
    return "random" if start == "scratch" else _start_from_file(network, Path(start))


def _start_from_file(network: SegmentationNetwork, file: Path) -> str:
    state, own = read_state(file), network.state_dict()
    parts = {
        name: state[name].to(own[name].dtype)  # counts stay counts
        for name in own
        if name.startswith(PRETRAINED) and name in state and state[name].shape == own[name].shape
    }
    if not parts:
        raise ValueError(f"{display_path(file)} has no weights for the backbone of this network")
    load_state(network, own | parts)
    return file.name


def _start_from_zoo(network: SegmentationNetwork, card: Card) -> str:
    trained = registry.card(card.name)
    state = read_state(trained.weights_file(), trained.measured.get("sha256"))
    if trained.published:
        state = published.translate(card.name, state)
    load_all_but_scores(network, card, state)
    return f"{card.name}, trained on {len(trained.classes)} classes, but for its last layer"


def load_all_but_scores(network: SegmentationNetwork, card: Card, state: Mapping[str, Tensor]) -> None:
    """Load all weights except those whose shape depends on the number of classes; these start at zero (FCN, section
    4.1).

    Random score layers on trained features would predict random classes with high confidence.

    Args:
        network: the network to load into.
        card: its card.
        state: the trained weights.

    Raises:
        ValueError: if the weights belong to another network.
    """
    with torch.device("meta"):
        one, other = (card.builder(count).state_dict() for count in (2, 3))
    kept = {name: state[name] for name in one if one[name].shape == other[name].shape and name in state}
    load_state(network, network.state_dict() | kept)
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and f"{path}.weight" not in kept:
            for parameter in module.parameters():
                nn.init.zeros_(parameter)


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
