"""Load a network by its name, or from a weights file, as a Segmenter."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints.download import Progress
from ..checkpoints.files import load_state, read_state, read_weights
from ..checkpoints.metadata import Metadata, backbone_hash
from ..files import display_path
from ..models import registry
from ..models import torchvision as published
from ..models.base import SegmentationNetwork
from ..models.registry import Card
from ..models.taught import taught_card
from .bounds import MIN_SIDE
from .segmenter import Segmenter
from .settings import WORKING_SIZES, check_integer, check_settings


def load(
    name: str | Path,
    weights: str | Path | None = None,
    device: str | torch.device | None = None,
    precision: str | None = None,
    progress: Progress | None = None,
) -> Segmenter:
    """Load a network with trained weights.

    Args:
        name: one of ``trained_models()``, or a weights file that names its network, as those that ``train`` writes. The
            classes, rate, stride and normalisation then come from that file.
        weights: a weights file to load in place of the network's own. A file with a decoder alone is combined with the
            network's bundled backbone.
        device: such as ``"cpu"`` or ``"cuda"``; the best one of this machine if None.
        precision: ``"float32"``, ``"bfloat16"`` or, on GPUs, ``"float16"``; the fastest without loss if None.
        progress: called with the bytes received so far and the total, while published weights are downloaded; without
            it, a terminal shows a progress bar.

    Returns:
        A Segmenter, to call with photos.

    Raises:
        ValueError: for an unknown name, a network without trained weights, published weights that cannot be downloaded,
            and a weights file that is damaged or belongs to another network.
        FileNotFoundError: if the weights file is missing.
    """
    network, card = load_network(name, weights, progress)
    return Segmenter(network, card, device, precision)


def load_network(
    name: str | Path, weights: str | Path | None = None, progress: Progress | None = None
) -> tuple[SegmentationNetwork, Card]:
    """Load the bare torch module in float32, and its card. Arguments and errors are those of ``load``."""
    name, weights = resolve_name(name, weights)
    card = registry.card(name)
    file = Path(weights) if weights else card.weights_file(progress)
    state, record = read_weights(file, None if weights else card.sha256 or card.measured.get("sha256"))
    if card.published:
        state = published.translate(name, state)
    try:
        card = card if record is None else card_with_metadata(card, record)
        return assemble(card, state, record), card
    except ValueError as error:
        raise ValueError(f"{display_path(file)}: {error}") from error


def resolve_name(model: str | Path, weights: str | Path | None = None) -> tuple[str, str | Path | None]:
    """Return the network and the weights file that ``model`` stands for.

    Args:
        model: the name of a network, or a weights file that names its network.
        weights: a weights file, if ``model`` is a name.

    Returns:
        The network's name, and the weights file or None.

    Raises:
        ValueError: if the file does not name its network, or there are two files.
        FileNotFoundError: if there is no such file.
    """
    if str(model) in registry.CARDS or not str(model).endswith((".safetensors", ".pth", ".pt")):
        return str(model), weights
    if weights:
        raise ValueError(f"there are two weights files, {model} and {weights}: leave one out")
    _, record = read_weights(Path(model))
    if record is None:
        raise ValueError(
            f"{model} does not say which network it belongs to: name the network, and give the file as its weights"
        )
    return record.network, model


def card_from_file(file: Path) -> Card:
    """Return a card for a weights file that names its network. The card is called after the file.

    The card keeps the file's hash: if the file changes later, it is refused, because its classes and settings may have
    changed.

    Args:
        file: a weights file written by this package.

    Raises:
        ValueError: if the file is damaged, does not name its network, or has impossible settings.
        FileNotFoundError: if there is no such file.
    """
    network = registry.card(resolve_name(str(file))[0])
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    _, record = read_weights(file, sha256)
    assert record is not None
    title = f"{file.stem[:40]} ({network.title})"
    names = ", ".join(record.class_list.names[:4]) + (", ..." if len(record.class_list.names) > 4 else "")
    return replace(
        card_with_metadata(network, record),
        name=re.sub(r"[^a-z0-9]+", "_", file.stem.lower()).strip("_")[:40] or "own",
        title=title,
        summary=f"Weights of your own for {network.name}: {len(record.class_list.names)} classes ({names}).",
        published=False,
        network=network.name,
        file=file.resolve(),
        sha256=sha256,
    )


def card_with_metadata(card: Card, record: Metadata) -> Card:
    """Return ``card`` with the classes, settings and normalisation that the weights' metadata states.

    Args:
        card: the network's card.
        record: the metadata of the weights.

    Raises:
        ValueError: if the weights belong to another network, or state an impossible setting.
    """
    network = card.network or card.name
    if record.network == network and record.score_strides is not None:
        card = taught_card(card, record.class_list, record.score_strides)
    if record.network != network:
        raise ValueError(f"these are weights of {record.network}, not of {network}")
    if (record.atrous_rate is None) != (card.atrous_rate is None):
        raise ValueError(f"these weights give {network} the atrous rate {record.atrous_rate}, which it cannot have")
    if not card.chooses_stride and record.output_stride != card.output_stride:
        raise ValueError(
            f"these weights are for output stride {record.output_stride}, and {network} has {card.output_stride}"
        )
    stride = record.output_stride if card.chooses_stride else None
    check_settings(card, record.atrous_rate, stride, record.working_size)
    if record.short_side is not None:
        check_integer("the shorter side", record.short_side, MIN_SIDE, WORKING_SIZES[1])
    return replace(
        card,
        class_list=record.class_list,
        atrous_rate=record.atrous_rate,
        output_stride=record.output_stride,
        mean=record.mean,
        std=record.std,
        working_size=record.working_size,
        short_side=record.short_side,
        origin=record.origin,
    )


def assemble(card: Card, state: dict[str, Tensor], record: Metadata | None = None) -> SegmentationNetwork:
    """Build the network of ``card`` with the weights in ``state``. A decoder alone gets its bundled backbone.

    Args:
        card: the network's card.
        state: the weights.
        record: their metadata, which says which backbone a decoder belongs to.

    Raises:
        ValueError: if the weights belong to another network, or a decoder to a backbone that is not bundled.
    """
    if all(name.startswith("decoder.") for name in state):
        state = bundled_backbone(registry.card(card.network or card.name), record) | state
    network = card.builder(len(card.classes))
    load_state(network, state)
    return network


def bundled_backbone(card: Card, record: Metadata | None = None) -> dict[str, Tensor]:
    """Return the weights of the network's bundled backbone.

    Args:
        card: the network's card.
        record: the metadata of a decoder, to find the backbone that it was trained on.

    Raises:
        ValueError: if there is none.
    """
    bundled = [
        one for one in registry.CARDS.values() if card.name in (one.name, one.network) and one.source == "bundled"
    ]
    if not bundled:
        raise ValueError(f"this is a decoder alone, and no backbone is bundled for {card.name}")
    for one in bundled:
        state = read_state(one.weights_file(), one.measured["sha256"])
        if record is None or record.backbone == backbone_hash(state):
            return {name: tensor for name, tensor in state.items() if name.startswith("backbone.")}
    raise ValueError(
        f"this is a decoder alone, and was trained on another backbone than the one bundled for {card.name}"
    )
