"""One ONNX graph of a network: photos of any size and, for the DeepLabs, any atrous rate."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .. import __version__
from ..files import atomic_write
from ..inference.loading import load_network
from ..models.base import SegmentationNetwork, configure
from ..models.heads import ASPP
from ..models.registry import Card
from .atrous_rate_input import MovingConv, Rate

if TYPE_CHECKING:
    import onnx

OPSET = 20
LEAST_SIDE, MOST_SIDE = 32, 4096
"""Pixels that a side of the graph's input may have."""


class Graph(nn.Module):
    """What is exported: (1, 3, H, W) normalised pixels -> (1, num_classes, H, W) logits."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(image)
        return logits


class RatedGraph(Graph):
    """The same with a second input, the atrous rate: (), int64; 6 means 6, 12, 18."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__(network)
        self.rate = Rate()
        aspp = network.decoder.aspp
        assert isinstance(aspp, ASPP)
        for times, branch in enumerate(list(aspp.convs)[1:-1], start=1):
            _replace(branch, self.rate, times)

    def forward(self, image: Tensor, atrous_rate: Tensor) -> Tensor:  # type: ignore[override]
        self.rate.value = atrous_rate
        return super().forward(image)


def _replace(branch: nn.Module, rate: Rate, times: int) -> None:
    """Put a ``MovingConv`` in the place of every 3x3 convolution."""
    for parent in list(branch.modules()):
        for name, module in parent.named_children():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                setattr(parent, name, MovingConv(module, rate, times))


def export_model(name: str, out: Path, weights: Path | None = None) -> Card:
    """Write ``out``, the ONNX graph of the network called ``name``, in float32; returns its card.

    Inputs are ``image``, (1, 3, H, W) normalised pixels, and for a DeepLab ``atrous_rate``, (), int64; the output is
    ``logits``, (1, num_classes, H, W). The graph's metadata has what is needed to use it: ``metadata``.

    Raises:
        ModuleNotFoundError: if onnx and onnxscript are not installed.
        ValueError: if ``out`` is no ``.onnx`` file; and as of ``load``.
        OSError: if it cannot be written.
    """
    if out.suffix != ".onnx":
        raise ValueError(f"the graph is written as .onnx, so --out cannot be {out.name}")
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"export needs {error.name}: pip install onnx onnxscript") from None
    network, card = load_network(name, weights)
    model = to_onnx(network, card)
    with atomic_write(out) as partial:
        onnx.save(model, str(partial))
    return card


def to_onnx(network: SegmentationNetwork, card: Card) -> "onnx.ModelProto":
    """The graph of ``network``, which is altered by this and of no further use."""
    from onnx import helper

    network.eval().requires_grad_(False)
    configure(network, card.atrous_rate, card.output_stride)
    rated = card.atrous_rate is not None
    graph = RatedGraph(network) if rated else Graph(network)
    example: tuple[Tensor, ...] = (torch.zeros(1, 3, 193, 257),)
    sides = {axis: _side(name, network.align_corners) for axis, name in ((2, "rows"), (3, "columns"))}
    shapes: tuple[Any, ...] = (sides,)
    if rated:
        example, shapes = (*example, torch.tensor(card.atrous_rate)), (*shapes, None)
    with _quiet():
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            verbose=False,
            input_names=["image", "atrous_rate"][: len(example)],
            output_names=["logits"],
        )
    assert program is not None
    model = program.model_proto
    helper.set_model_props(model, metadata(card, network.align_corners))
    return model


def _side(name: str, align_corners: bool) -> Any:
    """The lengths that a side of the input may have: with ``align_corners`` 16 k + 1 pixels, as a Segmenter has it, else any."""
    if not align_corners:
        return torch.export.Dim(name, min=LEAST_SIDE, max=MOST_SIDE)
    return 16 * torch.export.Dim(name, min=LEAST_SIDE // 16, max=MOST_SIDE // 16) + 1


def metadata(card: Card, align_corners: bool) -> dict[str, str]:
    """What goes with the graph; all but the texts as JSON."""
    training = card.measured.get("training", {})
    facts = {
        "network": card.network or card.name,
        "classes": card.classes,
        "colours": card.class_list.colours,
        "mean": card.mean,
        "std": card.std,
        "align_corners": str(align_corners).lower(),
        "working_size": card.working_size,
        "short_side": card.short_side,
        "atrous_rate": card.atrous_rate,
        "output_stride": card.output_stride,
        "provenance": card.origin or training.get("summary") or "unknown",
        "licence": card.measured.get("licence", ""),
        "made_by": f"segmodels {__version__}",
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in facts.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """What the exporter says to those who develop it."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
