"""What a network is made of: its path as a graph, with what every part gives, costs and sees.

The graph is read off a run of the real network on torch's meta device, which allocates and computes nothing, so no
network needs a drawing of its own.
"""

import copy
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ..inference.settings import check_settings
from ..models import registry
from ..models.base import SegmentationNetwork, configure
from .cost import Cost, Layer, count
from .receptive_field import POINTWISE, FieldTracer, ReceptiveField, largest_field

Kind = Literal["input", "backbone", "decoder", "join", "up", "output"]


@dataclass(frozen=True)
class Part:
    """One station on the way from the photo to the logits."""

    kind: Kind
    """``join`` adds or concatenates, ``up`` enlarges a map; ``backbone`` runs up to the next feature map handed out."""
    name: str
    """Modules as in the table of layers (``backbone.stages.3-4``), or the operation where there are none (``add``)."""
    sources: tuple[int, ...]
    """The parts it takes its maps from, by index."""
    shape: tuple[int, int, int]
    """What it gives: (channels, height, width)."""
    receptive_field: float
    """In pixels of the input, along an edge; infinite if it sees the whole photo."""
    layers: tuple[Layer, ...] = ()

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)


@dataclass(frozen=True)
class Anatomy:
    """A network at one input size and setting. ``parts`` are in the order they run, the output last."""

    name: str
    title: str
    height: int
    width: int
    output_stride: int | None
    """None for a network that has but one."""
    atrous_rate: int | None
    """None for a network without an ASPP."""
    cost: Cost
    parts: tuple[Part, ...]

    @property
    def receptive_field(self) -> float:
        """The output's: how many pixels a pixel's class depends on, along an edge, at most."""
        return self.parts[-1].receptive_field


@functools.lru_cache(maxsize=256)
def anatomy(
    name: str, height: int, width: int, output_stride: int | None = None, atrous_rate: int | None = None
) -> Anatomy:
    """The network called ``name`` on a photo of (height, width) pixels; as trained, where a setting is None.

    Raises:
        ValueError: for an unknown name or an impossible setting.
    """
    card = registry.card(name)
    settings = check_settings(card, atrous_rate, output_stride)
    network = _network(name, settings.output_stride, settings.atrous_rate)
    cost = count(network, height, width)
    *before, output = _parts(network, height, width, cost.layers)
    if output.receptive_field < math.inf:
        output = replace(output, receptive_field=_largest_field(name, settings.output_stride, settings.atrous_rate))
    stride = settings.output_stride if card.chooses_stride else None
    return Anatomy(name, card.title, height, width, stride, settings.atrous_rate, cost, (*before, output))


@functools.lru_cache(maxsize=64)
def _network(name: str, output_stride: int | None, atrous_rate: int | None) -> SegmentationNetwork:
    """A network without numbers. It is shared: those who change it take a copy."""
    network = registry.build_meta(name)
    configure(network, atrous_rate, output_stride)
    return network


@functools.lru_cache(maxsize=256)
def _largest_field(name: str, output_stride: int | None, atrous_rate: int | None) -> float:
    return largest_field(copy.deepcopy(_network(name, output_stride, atrous_rate)))


def _parts(network: SegmentationNetwork, height: int, width: int, layers: Sequence[Layer]) -> tuple[Part, ...]:
    x = torch.empty(1, 3, height, width, device="meta")
    tracer = _PathTracer(x, layers)
    network = copy.deepcopy(network)
    tracer.watch(network)
    with torch.no_grad(), tracer:
        logits = network(x)
    tracer.add("output", "output", (len(tracer.parts) - 1,), logits)
    return tuple(tracer.parts)


def blocks(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts that ``module`` is drawn as: single layers and plain sequences of them, whatever holds them opened."""
    inside = [part for part in module.modules() if any(part.children())]
    if all(isinstance(part, nn.Sequential) for part in inside):
        yield name, module
        return
    for child_name, child in module.named_children():
        yield from blocks(f"{name}.{child_name}", child)


class _PathTracer(FieldTracer):
    """Follows which part every map comes from: blocks announce what they give, joins and resizings are seen between.

    ``layers`` are those of ``cost.count``; a part's are the ones that run between its beginning and its end.
    """

    def __init__(self, x: Tensor, layers: Sequence[Layer]) -> None:
        super().__init__(x)
        self.parts: list[Part] = []
        self._layers = layers
        self._started = 0  # how many layers have begun
        self._begin = 0  # how many had when the block that runs now began
        self._inside = False
        self._origins: dict[int, int] = {}
        self._born: dict[int, int] = {}
        self.add("input", "photo", (), x)

    def watch(self, network: SegmentationNetwork) -> None:
        """Put hooks on ``network``: on its blocks to know where they begin and end, on its layers to count them."""
        assert isinstance(network.backbone, nn.Module)
        network.backbone.register_forward_pre_hook(self._enter)
        network.backbone.register_forward_hook(self._leave_backbone)
        for name, block in blocks("decoder", network.decoder):
            block.register_forward_pre_hook(self._enter)
            block.register_forward_hook(self._leave_block(name))
        for module in network.modules():  # last, so that a block of one layer begins before its layer does
            if not any(module.children()) and not isinstance(module, nn.Identity):
                module.register_forward_pre_hook(self._count)

    def add(
        self, kind: Kind, name: str, sources: tuple[int, ...], output: Tensor, layers: Sequence[Layer] = ()
    ) -> None:
        """One more part, which made ``output`` of what ``sources`` give."""
        field = self.of(output) or ReceptiveField()
        self._origins[id(output)] = len(self.parts)
        self.parts.append(Part(kind, name, sources, _shape(output), field.size, tuple(layers)))

    def _sources(self, inputs: Any) -> tuple[int, ...]:
        found = [self._origins[id(leaf)] for leaf in tree_leaves(inputs) if id(leaf) in self._origins]
        return tuple(dict.fromkeys(found))

    def _count(self, module: nn.Module, inputs: Any) -> None:
        self._started += 1

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        self._inside, self._begin = True, self._started

    def _leave_backbone(self, module: nn.Module, inputs: Any, features: list[Tensor]) -> None:
        """A backbone is a chain, handed out at some of its links: each begins where the one before was born.

        One that hands out its end alone is cut where its map gets smaller.
        """
        self._inside = False
        begin = self._begin
        for feature in features:
            layers = self._layers[begin : self._born[id(feature)]]
            begin += len(layers)
            *before, last = _by_map_size(layers) if len(features) == 1 else [tuple(layers)]
            for link in before:
                end = link[-1]
                self.parts.append(
                    Part(
                        "backbone", _names(link), (len(self.parts) - 1,), _triple(end.shape), end.receptive_field, link
                    )
                )
            self.add("backbone", _names(last), (len(self.parts) - 1,), feature, last)

    def _leave_block(self, name: str) -> Any:
        def leave(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._inside = False
            layers = self._layers[self._begin : self._started]
            sources = self._sources(inputs)
            if isinstance(module, POINTWISE) and self.parts[sources[0]].kind == "decoder":
                self._extend(sources[0], output, layers)
                return
            kind: Kind = "up" if isinstance(module, nn.ConvTranspose2d) else "decoder"
            self.add(kind, name, sources, output, layers)

        return leave

    def _extend(self, index: int, output: Tensor, layers: Sequence[Layer]) -> None:
        """A lone ReLU or batch norm belongs to the part before it."""
        part = self.parts[index]
        self.parts[index] = replace(part, layers=(*part.layers, *layers))
        self._origins[id(output)] = index

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = super().__torch_dispatch__(func, types, args, kwargs)
        for result in tree_leaves(out):
            if isinstance(result, Tensor):
                self._born[id(result)] = self._started
                if not self._inside:
                    self._between(func.overloadpacket, args, result)
        return out

    def _between(self, operation: Any, args: tuple[Any, ...], result: Tensor) -> None:
        """An operation outside of all blocks: a part of its own if it joins or enlarges maps, else passed through."""
        aten = torch.ops.aten
        sources = self._sources(args)
        if operation in (aten.cat, aten.add, aten.add_) and len(sources) > 1:
            self.add("join", "concatenate" if operation is aten.cat else "add", sources, result)
        elif operation is aten.upsample_bilinear2d and _shape(result) != _shape(args[0]):
            between = int(args[2])  # cells on corners: there is one step less than there are cells
            factor = round((result.shape[-2] - between) / max(args[0].shape[-2] - between, 1))
            self.add("up", f"bilinear ×{factor}", sources, result)
        elif sources:
            self._origins[id(result)] = sources[0]


def _shape(tensor: Tensor) -> tuple[int, int, int]:
    return _triple(tuple(tensor.shape[1:]))


def _triple(shape: tuple[int, ...]) -> tuple[int, int, int]:
    channels, height, width = shape
    return channels, height, width


def _unit(layer: Layer) -> str:
    """The backbone's larger module that a layer is of: ``stages.3``, or ``layer1``, or ``stem``."""
    first, *rest = layer.name.removeprefix("backbone.").split(".")
    is_list = bool(rest) and rest[0].isdigit() and not first[-1].isdigit() and first != "stem"
    return f"{first}.{rest[0]}" if is_list else first


def _by_map_size(layers: Sequence[Layer]) -> list[tuple[Layer, ...]]:
    """A chain of layers, cut where a larger module gives another size of map than the one before it."""
    units = [tuple(group) for _, group in itertools.groupby(layers, _unit)]
    cut = itertools.groupby(units, lambda unit: unit[-1].shape[1:])
    return [tuple(itertools.chain.from_iterable(group)) for _, group in cut]


def _names(layers: Sequence[Layer]) -> str:
    """The larger modules that ``layers`` are of, short: ``backbone.stem, stages.0-1``; norms and ReLUs do not count."""
    found: dict[str, list[str]] = {}
    for unit in dict.fromkeys(_unit(layer) for layer in layers if layer.macs or "pool" in layer.kind):
        name = unit.rstrip("0123456789")
        found.setdefault(name, []).append(unit.removeprefix(name))
    spans = (
        f"{name}{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else name + numbers[0]
        for name, numbers in found.items()
    )
    return "backbone." + ", ".join(spans)
