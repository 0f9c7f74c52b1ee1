"""One ONNX graph of a network: photos of any size and, for the DeepLabs, any atrous rate."""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .. import __version__
from ..files import atomic_write
from ..inference.contrast import PERCENTILES
from ..inference.loading import load_network
from ..inference.settings import check_settings
from ..models.base import SegmentationNetwork, configure
from ..models.card import Card
from ..models.heads import ASPP
from . import weight_types
from .atrous_rate_input import MovingConv, Rate

if TYPE_CHECKING:
    import onnx

OPSET = 20
LEAST_SIDE, MOST_SIDE = 33, 4097
"""Pixels that a side of the graph's input may have."""
EXAMPLE = (193, 257)
"""Height and width, in pixels, of the input with which the network is traced."""


class Graph(nn.Module):
    """What is exported: (1, 3, H, W) normalised pixels -> (1, num_classes, H, W) logits.

    With ``argmax`` it gives the label map instead, (1, H, W) uint8.
    """

    def __init__(self, network: SegmentationNetwork, argmax: bool = False) -> None:
        super().__init__()
        self.network = network
        self.argmax = argmax

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(image)
        return logits.argmax(1).to(torch.uint8) if self.argmax else logits


class RatedGraph(Graph):
    """The same with a second input, the atrous rate: (), int64; 6 means 6, 12, 18."""

    def __init__(self, network: SegmentationNetwork, argmax: bool = False) -> None:
        super().__init__(network, argmax)
        self.rate = move_taps(network)

    def forward(self, image: Tensor, atrous_rate: Tensor) -> Tensor:  # type: ignore[override]
        self.rate.set(atrous_rate)
        return super().forward(image)


def move_taps(network: SegmentationNetwork) -> Rate:
    """Put a ``MovingConv`` in the place of every 3x3 convolution of the ASPP; return where they find their rate."""
    rate = Rate()
    aspp = network.decoder.aspp
    assert isinstance(aspp, ASPP)
    for times, branch in enumerate(list(aspp.convs)[1:-1], start=1):
        for parent in list(branch.modules()):
            for name, module in parent.named_children():
                if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                    setattr(parent, name, MovingConv(module, rate, times))
    return rate


def export_model(
    name: str,
    out: Path,
    weights: Path | None = None,
    rate: int | None = None,
    argmax: bool = False,
    half: bool = False,
    photos: Sequence[Path] = (),
) -> Card:
    """Write ``out``, the ONNX graph of the network called ``name``; return its card.

    Inputs are ``image``, (1, 3, H, W) normalised pixels, and for a DeepLab ``atrous_rate``, (), int64; the output is
    ``logits``, (1, num_classes, H, W). The graph's metadata has what is needed to use it: ``metadata``.

    Args:
        name: a network of the zoo.
        out: the ``.onnx`` file.
        weights: other weights for the network.
        rate: the one atrous rate of a graph that has no such input, for runtimes that cannot look up cells by indices.
        argmax: the output is ``labels``, (1, H, W) uint8, instead.
        half: weights are stored in float16, at half the size; all is computed in float32.
        photos: weights and activations are 8-bit numbers, whose ranges are those that the network has on these photos.

    Raises:
        ModuleNotFoundError: if onnx and onnxscript are not installed, or with ``photos`` onnxruntime.
        ValueError: if ``out`` is no ``.onnx`` file; for a ``rate`` that the network cannot have; for ``half`` with
            ``photos``; and as of ``load``.
        OSError: if it cannot be written.
    """
    if out.suffix != ".onnx":
        raise ValueError(f"the graph is written as .onnx, so --out cannot be {out.name}")
    if half and photos:
        raise ValueError("weights are stored in 16 bits or in 8: leave out --half or --uint8")
    check_tools()
    network, card = load_network(name, weights)
    if rate is not None:
        check_settings(card, rate)
    align_corners = network.align_corners
    model = to_onnx(network, card, rate, argmax)
    if half:
        weight_types.store_as_half(model)
    if photos:
        with _quiet():
            model = weight_types.quantised(model, card, align_corners, photos)
    save(model, out)
    return card


def check_tools() -> None:
    """Raise ModuleNotFoundError, with what to do, if onnx and onnxscript are not installed."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"export needs {error.name}: pip install onnx onnxscript") from None


def save(model: "onnx.ModelProto", out: Path) -> None:
    """Write a graph. Raises OSError if it cannot be written."""
    import onnx

    with atomic_write(out) as partial:
        onnx.save(model, str(partial))


def to_onnx(
    network: SegmentationNetwork, card: Card, rate: int | None = None, argmax: bool = False
) -> "onnx.ModelProto":
    """Return the graph of ``network``, which is altered by this and of no further use. Arguments as of ``export_model``."""
    from onnx import helper

    network.eval().requires_grad_(False)
    configure(network, rate or card.atrous_rate, card.output_stride)
    rated = card.atrous_rate is not None and rate is None
    graph = RatedGraph(network, argmax) if rated else Graph(network, argmax)
    sides = {
        axis: torch.export.Dim(side, min=LEAST_SIDE, max=MOST_SIDE) for axis, side in ((2, "rows"), (3, "columns"))
    }
    examples: tuple[Any, ...] = (torch.zeros(1, 3, *EXAMPLE),)
    shapes: tuple[Any, ...] = (sides,)
    if rated:
        examples, shapes = (*examples, torch.tensor(card.atrous_rate)), (*shapes, None)
    names = ["image", "atrous_rate"][: len(examples)]
    model = traced(graph, examples, shapes, names, ["labels" if argmax else "logits"])
    helper.set_model_props(model, metadata(card, network.align_corners, rate))
    return model


def traced(
    graph: nn.Module, examples: tuple[Any, ...], shapes: tuple[Any, ...], inputs: Sequence[str], outputs: Sequence[str]
) -> "onnx.ModelProto":
    """Return ``graph`` as torch's exporter writes it, without what it says of the machine where it was made.

    Args:
        graph: the module.
        examples: what it is traced with.
        shapes: the lengths of these that are free, as of ``torch.export.export``.
        inputs: their names.
        outputs: the names of what it returns.
    """
    with _quiet():
        program = torch.onnx.export(
            torch.export.export(
                graph, examples, dynamic_shapes=shapes, prefer_deferred_runtime_asserts_over_guards=True
            ),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            input_names=list(inputs),
            output_names=list(outputs),
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _strip(model)
    return model


def _strip(model: "onnx.ModelProto") -> None:
    """Drop stack traces, which have paths of this machine in them, and inner shapes.

    The exporter names inner lengths by symbols that have nothing to do with those of the inputs, which strict readers
    refuse; every reader infers shapes itself.
    """
    graph = model.graph
    inner = [node for function in model.functions for node in function.node]
    for part in (model, graph, *graph.node, *inner, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    del graph.value_info[:]


def metadata(card: Card, align_corners: bool, rate: int | None = None) -> dict[str, str]:
    """What goes with the graph; all but the texts as JSON."""
    training = card.measured.get("training", {})
    facts = {
        "network": card.network or card.name,
        "classes": card.classes,
        "colours": card.class_list.colours,
        "mean": card.mean,
        "std": card.std,
        "contrast": PERCENTILES if card.microscopy else None,
        "align_corners": str(align_corners).lower(),
        "working_size": card.working_size,
        "short_side": card.short_side,
        "atrous_rate": card.atrous_rate,
        "fixed_rate": rate,
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
