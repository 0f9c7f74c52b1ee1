"""Making a trained network fast on the machine at hand, without changing its answer."""

import copy
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..models.backbones import InvertedResidual
from ..models.base import SegmentationNetwork
from .blocked import prefers_blocked_layout, use_blocked_layout
from .fused import can_fuse, fuse_activations
from .module_graph import consecutive_layers

PRECISIONS = ("float32", "bfloat16", "float16")


VARIABLE = "SEGMODELS_PRECISION"
"""The environment variable that chooses the precision in place of a measurement."""

MARGIN = 1.15
"""How many times as fast as float32 bfloat16 must be to be chosen: float32 is exact."""

PROBE_SECONDS = 0.045
"""How long both precisions together are measured."""

BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
"""Instructions without which a processor emulates bfloat16, which is never faster."""


@dataclass(frozen=True)
class PrecisionChoice:
    """The precision that networks run in on a device, and why."""

    precision: str
    reason: str
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    """What the measured layers took in each precision; empty where nothing was measured."""


def best_precision(device: torch.device) -> str:
    """Return the precision that is fastest on ``device`` without loss: see ``choose_precision``."""
    return choose_precision(device).precision


@cache
def choose_precision(device: torch.device) -> PrecisionChoice:
    """Choose between float32 and bfloat16 for ``device``, once a process.

    ``SEGMODELS_PRECISION`` in the environment decides if it is set. On a processor with bfloat16 instructions both are
    measured on layers of the compact networks' shapes: the instructions alone do not tell, since a hypervisor may hide
    the fast ones. On Apple's MPS it is float32.

    Raises:
        ValueError: if the environment names a precision that ``device`` does not have.
    """
    if wanted := os.environ.get(VARIABLE):
        check_precision(device, wanted)
        return PrecisionChoice(wanted, f"{VARIABLE} is set to {wanted}")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported():
            return PrecisionChoice("bfloat16", "the GPU supports bfloat16")
        return PrecisionChoice("float32", "the GPU does not support bfloat16")
    if device.type != "cpu":
        return PrecisionChoice("float32", f"float32 is the default on {device.type}")
    if not BFLOAT16_FLAGS & cpu_flags() or not can_fuse(torch.bfloat16):
        return PrecisionChoice("float32", "the processor has no bfloat16 instructions that torch uses")
    return faster_precision(measure_precisions())


def faster_precision(milliseconds: Mapping[str, float]) -> PrecisionChoice:
    """Choose bfloat16 if it is clearly faster, by what the same layers took in each precision."""
    gain = milliseconds["float32"] / milliseconds["bfloat16"]
    measured = f"bfloat16 was measured {gain:.2f} times as fast as float32"
    if gain >= MARGIN:
        return PrecisionChoice("bfloat16", measured, milliseconds)
    return PrecisionChoice("float32", f"{measured}, which is less than {MARGIN} times", milliseconds)


@torch.inference_mode()
def measure_precisions() -> dict[str, float]:
    """Measure layers of the compact networks in float32 and in bfloat16, in turns.

    Returns:
        The milliseconds that one pass took in each precision, at the best of all turns.
    """
    layers = _probe_layers()
    passes = {}
    for name in ("float32", "bfloat16"):
        dtype: torch.dtype = getattr(torch, name)
        runs = []
        for layer, x in layers:
            fused = copy.deepcopy(layer)
            if can_fuse(dtype):
                fuse_activations(fused)
            runs.append((fused.to(dtype), x.to(dtype).contiguous(memory_format=torch.channels_last)))
        passes[name] = runs
    best = dict.fromkeys(passes, math.inf)
    deadline = time.perf_counter() + PROBE_SECONDS
    turn = 0
    while turn < 2 or time.perf_counter() < deadline:
        for name, runs in passes.items():
            started = time.perf_counter()
            for module, x in runs:
                module(x)
            if turn:  # oneDNN compiles in the first turn
                best[name] = min(best[name], 1000 * (time.perf_counter() - started))
        turn += 1
    return best


def _probe_layers() -> list[tuple[nn.Module, Tensor]]:
    """Layers of a photo's way through MobileNet v2 at 513 x 385 pixels and through a ResNet, each with an input."""
    with torch.random.fork_rng(devices=[]):
        shapes = ((24, 33, 49), (96, 25, 33), (160, 13, 17))
        layers: list[tuple[nn.Module, Tensor]] = [
            (InvertedResidual(channels, channels, 3, 1, 6), torch.randn(1, channels, height, width))
            for channels, height, width in shapes
        ]
        head = nn.Sequential(nn.Conv2d(320, 256, 1), nn.ReLU())
        dense = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())
        layers += [(head, torch.randn(1, 320, 25, 33)), (dense, torch.randn(1, 64, 33, 33))]
    return [(layer.eval().requires_grad_(False), x) for layer, x in layers]


def training_precision(device: torch.device) -> str:
    """bfloat16 where training gains by it: CUDA and processors with AMX. AVX-512 BF16 alone gains nothing."""
    if device.type == "cuda":
        return best_precision(device)
    return "bfloat16" if device.type == "cpu" and "amx_bf16" in cpu_flags() else "float32"


def memory_format(device: torch.device) -> torch.memory_format:
    """How maps lie in memory where convolutions are fastest: channels last, but not by MPS."""
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def cpu_flags() -> set[str]:
    """The instruction sets that Linux lists for the first processor; nothing elsewhere."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return set()
    for line in info.read_text().splitlines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()


def optimise(network: SegmentationNetwork, device: torch.device, precision: str) -> SegmentationNetwork:
    """A copy in eval mode, batch norms folded into the convolutions, channels last, in ``precision``, on ``device``.

    Raises:
        ValueError: for a precision that there is not on ``device``.
    """
    check_precision(device, precision)
    dtype: torch.dtype = getattr(torch, precision)
    network = copy.deepcopy(network).eval().requires_grad_(False)
    fold_batch_norms(network)
    if precision == "bfloat16":
        round_kernels(network)
    fuses = device.type == "cpu" and can_fuse(dtype)
    if fuses:
        fuse_activations(network)
    network = network.to(device=device, dtype=dtype).to(memory_format=memory_format(device))
    if fuses and dtype == torch.float32 and prefers_blocked_layout(cpu_flags()):
        use_blocked_layout(network)
    return network


def check_precision(device: torch.device, precision: str) -> None:
    """Raise ValueError for a precision that there is not on ``device``: float16 is a graphics card's."""
    known = PRECISIONS[:2] if device.type == "cpu" else PRECISIONS
    if precision not in known:
        raise ValueError(f"the precision on {device.type} must be one of {', '.join(known)}, not {precision!r}")


def round_kernels(network: nn.Module) -> None:
    """Round the kernels of all convolutions to bfloat16 so that the taps of each still sum to what they did.

    Neighbours on a map are much alike, so a kernel's sum matters more than its taps. Each tap is rounded together with
    the error of those before it, the largest first. Simply rounded, the compact zoo before this one, on
    EfficientNet-Lite0, named one pixel in a hundred otherwise; half of that came from the depthwise kernels.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
            taps = module.weight.detach().float().flatten(2).clone()
            order = taps.abs().argsort(2, descending=True)
            error = torch.zeros_like(taps[..., 0])
            for index in order.unbind(2):
                wanted = taps.gather(2, index[..., None])[..., 0] + error
                rounded = wanted.bfloat16().float()
                error = wanted - rounded
                taps.scatter_(2, index[..., None], rounded[..., None])
            module.weight.copy_(taps.reshape(module.weight.shape))


def keep_depthwise_in_float32(network: nn.Module) -> None:
    """Under autocast, run the depthwise convolutions of ``network`` in float32 all the same.

    Their bfloat16 gradient is so slow on a processor that it costs more than bfloat16 saves everywhere else. A copy of
    the network made afterwards would share its forward: copy first.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
            module.forward = torch.autocast("cpu", enabled=False)(module.forward)  # type: ignore[method-assign]


def fold_batch_norms(module: nn.Module) -> None:
    """Replace a convolution and the batch norm that follows it by one convolution, everywhere inside ``module``."""
    for child in module.children():
        fold_batch_norms(child)
    for first, second in consecutive_layers(module):
        conv, norm = getattr(module, first), getattr(module, second)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, first, fuse_conv_bn_eval(conv, norm))
            setattr(module, second, nn.Identity())
