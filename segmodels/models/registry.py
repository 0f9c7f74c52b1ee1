"""The registry of networks: their cards by name.

The page, the command line and the documentation read their facts here.
"""

import difflib
from functools import partial
from typing import Any

import torch

from ..checkpoints import paths
from ..labels import CAMVID, NUCLEI
from . import torchvision as published
from .base import SegmentationNetwork
from .card import Card
from .deeplab import (
    deeplabv3_mobilenetv2,
    deeplabv3_mobilenetv2_google,
    deeplabv3plus_mobilenetv2,
    deeplabv3plus_mobilenetv2_separable,
    deeplabv3plus_xception65,
)
from .fcn import fcn8s_vgg16, fcn16s_vgg16, fcn32s_vgg16, fcn_mobilenetv2
from .torchvision import IMAGENET_MEAN, IMAGENET_STD
from .unet import unet, unet_mobilenetv2, unet_resnet18

WEIGHTS = paths.WEIGHTS
"""The bundled weights, ``<name>.safetensors``, each beside ``<name>.json``, what was measured of it."""

IMAGENET: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}


def _published(name: str, title: str, summary: str, output_stride: int, atrous_rate: int | None = None) -> Card:
    return Card(
        name,
        title,
        summary,
        partial(published.build, name),
        atrous_rate,
        output_stride,
        chooses_stride=True,
        working_size=published.SHORT_SIDE * 4 // 3,
        short_side=published.SHORT_SIDE,
        published=True,
        classifier=name.partition("_")[2],
        **IMAGENET,
    )


MOBILENET: dict[str, Any] = {
    "mean": (128.0,) * 3,
    "std": (128.0,) * 3,
    "output_stride": 16,
    "working_size": 513,
    "classifier": "mobilenet_v2",
}
"""What the networks on Google's MobileNet v2 have in common: ``pixel / 128 - 1``, and sizes ``16 k + 1``, at which the last
cell of a map lies on the last pixel."""

_CARDS = (
    Card(
        "fcn_mobilenetv2",
        "FCN",
        "Scores the cells of three feature maps, at strides 32, 16 and 8, and adds them from coarse to fine.",
        fcn_mobilenetv2,
        variants=(("FCN-8s", ()), ("FCN-16s", ("score 8",)), ("FCN-32s", ("score 16", "score 8"))),
        **MOBILENET | {"output_stride": 32},
    ),
    Card(
        "unet_mobilenetv2",
        "U-Net",
        "Climbs from stride 32 back to stride 2, and at each step gets the features it had on the way down.",
        unet_mobilenetv2,
        variants=(
            ("all skips", ()),
            ("skips 16 and 8", ("skip 4", "skip 2")),
            ("no skips", ("skip 16", "skip 8", "skip 4", "skip 2")),
        ),
        **MOBILENET | {"output_stride": 32},
    ),
    Card(
        "deeplabv3_mobilenetv2",
        "DeepLab v3",
        "Looks at one map with convolutions at several atrous rates side by side, then upsamples by 16.",
        deeplabv3_mobilenetv2,
        atrous_rate=6,
        chooses_stride=True,
        variants=(("whole", ()), ("no atrous branches", ("rate r", "rate 2r", "rate 3r"))),
        **MOBILENET,
    ),
    Card(
        "deeplabv3plus_mobilenetv2",
        "DeepLab v3+",
        "The pyramid of DeepLab v3, and a decoder that places the edges with features at stride 4.",
        deeplabv3plus_mobilenetv2,
        atrous_rate=6,
        chooses_stride=True,
        variants=(("whole", ()), ("no low-level path", ("low-level path",))),
        **MOBILENET,
    ),
    Card(
        "deeplabv3_mobilenetv2_google",
        "DeepLab v3 by Google",
        "The published DeepLab v3 on MobileNet v2 that taught the compact zoo: no atrous branches, no skip.",
        deeplabv3_mobilenetv2_google,
        chooses_stride=True,
        **MOBILENET,
    ),
    Card(
        "deeplabv3plus_mobilenetv2_streets",
        "Streets (DeepLab v3+)",
        "DeepLab v3+ trained on CamVid's street scenes: eleven classes from sky to bicyclist, and no background. CC BY-NC 4.0.",
        deeplabv3plus_mobilenetv2_separable,
        atrous_rate=6,
        chooses_stride=True,
        class_list=CAMVID,
        **MOBILENET | {"working_size": 641},
    ),
    Card(
        "fcn32s_vgg16",
        "FCN-32s, VGG16",
        "VGG16 with its fully connected layers as convolutions: one coarse map of scores, upsampled by 32.",
        fcn32s_vgg16,
        classifier="vgg16",
        **IMAGENET,
    ),
    Card(
        "fcn16s_vgg16",
        "FCN-16s, VGG16",
        "FCN-32s with the scores of pool4 added at stride 16.",
        fcn16s_vgg16,
        classifier="vgg16",
        **IMAGENET,
    ),
    Card(
        "fcn8s_vgg16",
        "FCN-8s, VGG16",
        "FCN-16s with the scores of pool3 added at stride 8: the paper's best.",
        fcn8s_vgg16,
        classifier="vgg16",
        **IMAGENET,
    ),
    Card(
        "unet",
        "U-Net",
        "The paper's 64 to 1024 maps down and up again, here padded and with batch norm: to be trained from scratch.",
        unet,
        output_stride=16,
    ),
    Card(
        "unet_width24",
        "U-Net from scratch",
        "The paper's U-Net at 24 to 384 maps, trained from random weights: it scores lower, and shows what a "
        "trained start is worth.",
        partial(unet, width=24),
        output_stride=16,
        working_size=256,
    ),
    Card(
        "unet_nuclei",
        "Cells (U-Net)",
        "The paper's U-Net at 12 to 192 maps, from random weights, for BBBC038's pictures of cell nuclei (CC0).",
        partial(unet, width=12),
        output_stride=16,
        class_list=NUCLEI,
        microscopy=True,
    ),
    Card(
        "unet_resnet18",
        "U-Net, ResNet-18",
        "A U-Net whose contracting path is ResNet-18.",
        unet_resnet18,
        classifier="resnet18",
        **IMAGENET,
    ),
    Card(
        "deeplabv3plus_xception65",
        "DeepLab v3+, Xception-65",
        "The paper's own: modified aligned Xception, depthwise separable convolutions throughout.",
        deeplabv3plus_xception65,
        atrous_rate=6,
        output_stride=16,
        chooses_stride=True,
    ),
    _published(
        "fcn_resnet50",
        "FCN, ResNet-50",
        "torchvision's: a small head on a ResNet-50 dilated to stride 8, without the skips of the FCN paper.",
        8,
    ),
    _published("fcn_resnet101", "FCN, ResNet-101", "torchvision's: the same head on a ResNet-101.", 8),
    _published(
        "deeplabv3_mobilenet_v3_large",
        "DeepLab v3, MobileNetV3",
        "torchvision's: the ASPP on a MobileNetV3-Large, the lightest of the published networks.",
        16,
        published.ATROUS_RATES[0],
    ),
    _published(
        "deeplabv3_resnet50",
        "DeepLab v3, ResNet-50",
        "torchvision's: the ASPP on a ResNet-50 dilated to stride 8.",
        8,
        published.ATROUS_RATES[0],
    ),
    _published(
        "deeplabv3_resnet101",
        "DeepLab v3, ResNet-101",
        "torchvision's best: the ASPP on a ResNet-101 dilated to stride 8.",
        8,
        published.ATROUS_RATES[0],
    ),
)

DEFAULT_MODEL = "deeplabv3plus_mobilenetv2"
"""The network for whoever names none: bundled, with an ASPP and a skip, so that there is most to move."""

CARDS: dict[str, Card] = {card.name: card for card in _CARDS}
"""By name."""


def list_models() -> list[str]:
    """Return the names of all networks, including those without trained weights."""
    return list(CARDS)


def trained_models() -> list[str]:
    """Return the names of the networks that can segment a photo. Published weights are downloaded on first use."""
    return [name for name, card in CARDS.items() if card.trained]


def bundled_models() -> list[str]:
    """Return the names of the networks that work offline: their weights are in this repository or in a file of your
    own.
    """
    return [name for name, card in CARDS.items() if card.source in ("bundled", "own")]


COMPACT = ("fcn_mobilenetv2", "unet_mobilenetv2", "deeplabv3_mobilenetv2", "deeplabv3plus_mobilenetv2")


def compact_models() -> list[str]:
    """Return the compact zoo: the bundled networks on one frozen backbone, which differ in the decoder only."""
    return [name for name in COMPACT if CARDS[name].source == "bundled"]


def register(card: Card) -> None:
    """Add ``card`` to the networks, until the process ends. Use it for weights of your own.

    Args:
        card: the card to add, for example from ``card_from_file``.

    Raises:
        ValueError: if there is a network of that name already.
    """
    if card.name in CARDS:
        raise ValueError(f"there is a model called {card.name} already: give the weights file another name")
    CARDS[card.name] = card


def card(name: str) -> Card:
    """Return the facts about a network.

    Args:
        name: one of ``list_models()``.

    Raises:
        ValueError: for an unknown name; the message suggests similar ones.
    """
    try:
        return CARDS[name]
    except (KeyError, TypeError):
        near = difflib.get_close_matches(str(name), CARDS, n=3, cutoff=0.5) or bundled_models()
        raise ValueError(f"there is no model called {str(name)[:60]!r}; did you mean {' or '.join(near)}?") from None


def build(name: str, num_classes: int | None = None) -> SegmentationNetwork:
    """Build a network with random weights.

    Args:
        name: one of ``list_models()``.
        num_classes: the number of classes; those of the card if None.

    Returns:
        The torch module: normalised pixels (N, 3, H, W) -> logits (N, num_classes, H, W).

    Raises:
        ValueError: for an unknown name, or fewer than one class.
    """
    found = card(name)
    if num_classes is not None and num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    return found.builder(len(found.classes) if num_classes is None else num_classes)


def build_meta(name: str) -> SegmentationNetwork:
    """Build a network on torch's meta device, in eval mode: it has shapes but no numbers, and takes no memory.

    Args:
        name: one of ``list_models()``.

    Raises:
        ValueError: for an unknown name.
    """
    with torch.device("meta"):
        return build(name).eval()
