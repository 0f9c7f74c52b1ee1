"""From a name, and perhaps a file of weights, to a Segmenter."""

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
from ..models.card import Card
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
    """A Segmenter for the network called ``name``, with its trained weights or those in the file ``weights``.

    ``name`` may also be a weights file that says which network it belongs to, as those that ``train`` writes. What such
    a file says of its classes, rate, stride and normalisation is what the Segmenter goes by. A file that holds a decoder
    alone goes with the network's own backbone.

    ``precision`` is ``"float32"``, ``"bfloat16"`` or, on graphics cards, ``"float16"``; by default the fastest that the
    machine does well. Published weights are fetched on first use: ``progress`` is then called with the bytes fetched and
    their total; without it, a terminal shows a bar.

    Raises:
        ValueError: for an unknown name, with the near ones; for a network without trained weights; for published ones
            that cannot be fetched; for a weights file that is damaged or belongs to another network or backbone.
        FileNotFoundError: if the weights file is missing.
    """
    network, card = load_network(name, weights, progress)
    return Segmenter(network, card, device, precision)


def load_network(
    name: str | Path, weights: str | Path | None = None, progress: Progress | None = None
) -> tuple[SegmentationNetwork, Card]:
    """The bare network with its weights, in float32, and what is known of it. Arguments and errors as of ``load``."""
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
    """The network and the weights file meant by ``model``, a name or a weights file that says whose it is.

    Raises:
        ValueError: if such a file does not say it, or there are two files.
        FileNotFoundError: if there is no such file.
    """
    if str(model) in registry.CARDS or not str(model).endswith((".safetensors", ".pth", ".pt")):
        if str(model) not in registry.CARDS and Path(str(model)).suffix:
            raise FileNotFoundError(f"there is no network and no weights file called {model}")
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
    """The card of a weights file that says which network it belongs to, named after the file.

    Weights that are written there later are not loaded by it: classes and settings may be others.

    Raises:
        ValueError: if it is damaged, does not say it, or says what cannot be.
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
    """``card`` with what the weights say of themselves in place of its own facts.

    Raises:
        ValueError: if they are another network's, or say what cannot be.
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
        microscopy=record.microscopy,
        origin=record.origin,
    )


def assemble(card: Card, state: dict[str, Tensor], record: Metadata | None = None) -> SegmentationNetwork:
    """The network of ``card`` with the weights in ``state``; to a decoder alone, its bundled backbone is added.

    Raises:
        ValueError: if the weights belong to another network, or a decoder alone to a backbone that is not bundled.
    """
    if all(name.startswith("decoder.") for name in state):
        state = bundled_backbone(registry.card(card.network or card.name), record) | state
    network = card.builder(len(card.classes))
    load_state(network, state)
    return network


def bundled_backbone(card: Card, record: Metadata | None = None) -> dict[str, Tensor]:
    """The weights of the network's bundled backbone; the one that a decoder alone with this ``record`` was trained on.

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
