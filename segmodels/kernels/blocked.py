"""MobileNet v2 in oneDNN's own layout, with eight channels side by side, from one convolution to the next.

Without AVX-512, oneDNN's convolutions in float32 are faster on such maps than on maps with the channels last, depthwise ones
above all. Each stage takes an ordinary map and gives an ordinary map, so that nothing outside of the backbone sees it.
"""

import copy
import functools
import math
import time

import torch
from torch import Tensor, nn

from ..models.backbones import InvertedResidual, MobileNetV2
from .fused import FusedConv2d, fuse_activations
from .replacement import needs_torch

PROBE_SECONDS = 0.03
"""How long both layouts together are measured."""

MARGIN = 1.05
"""How many times as fast the layout must be to be chosen."""


def use_blocked_layout(network: nn.Module) -> None:
    """Run the MobileNet v2 in ``network``, if there is one, in oneDNN's layout, where no gradient is asked for.

    Dense 3x3 convolutions do not gain by it, so decoders stay as they are. The network must be in float32 and its
    activations fused. Its weights must not be laid out again.
    """
    for backbone in network.modules():
        if isinstance(backbone, MobileNetV2):
            _enter_at(backbone.stem)
            for index, stage in enumerate(backbone.stages):
                _enter_at(stage)
                if index in backbone.LEVELS:
                    stage.register_forward_hook(_leave)


def _enter_at(chain: nn.Module) -> None:
    """Change the layout where ``chain`` begins."""
    for conv in chain.modules():
        if isinstance(conv, FusedConv2d):
            conv.weight.data = conv.weight.data.contiguous()  # with channels last, oneDNN would leave its layout
    chain.register_forward_pre_hook(_enter)


def _enter(chain: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    (x,) = inputs
    if x.is_mkldnn or x.dtype != torch.float32 or needs_torch(x, next(chain.parameters())):
        return None
    return (x.to_mkldnn(),)


def _leave(chain: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
    return output.to_dense() if output.is_mkldnn else None


@functools.cache
def blocked_is_faster() -> bool:
    """Whether the layout says the same on this machine and is measured to be faster, once a process."""
    try:
        return _times_faster() >= MARGIN
    except Exception:  # the operators are torch's private ones: one that is gone or was changed says so in many ways
        return False


@torch.inference_mode()
def _times_faster() -> float:
    """How many times as fast two blocks of MobileNet v2 are in the layout, at the best of all turns; 0 if they differ."""
    runs = []
    with torch.random.fork_rng(devices=[]):
        for channels, height, width in ((24, 97, 129), (64, 25, 33)):
            plain = nn.Sequential(InvertedResidual(channels, channels, 3, 1, 6)).eval().requires_grad_(False)
            fuse_activations(plain)
            blocked = copy.deepcopy(plain)
            _enter_at(blocked)
            blocked.register_forward_hook(_leave)
            x = torch.randn(1, channels, height, width).contiguous(memory_format=torch.channels_last)
            runs.append((plain.to(memory_format=torch.channels_last), x, blocked, x.contiguous()))
    for plain, x, blocked, same in runs:
        expected = plain(x)
        if float((blocked(same) - expected).abs().max()) > 1e-4 * float(expected.abs().max()):
            return 0.0
    best, deadline = [math.inf, math.inf], time.perf_counter() + PROBE_SECONDS
    while math.inf in best or time.perf_counter() < deadline:
        for way in (0, 1):
            started = time.perf_counter()
            for run in runs:
                run[2 * way](run[2 * way + 1])
            best[way] = min(best[way], time.perf_counter() - started)
    return best[0] / best[1]
