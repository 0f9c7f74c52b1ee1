"""MobileNet v2 in oneDNN's own layout, with eight channels side by side, from one convolution to the next.

Without AVX-512, oneDNN's convolutions in float32 are faster on such maps than on maps with the channels last, depthwise ones
above all. Each stage takes an ordinary map and gives an ordinary map, so that nothing outside of the backbone sees it.
"""

import copy
import functools
from collections.abc import Collection

import torch
from torch import Tensor, nn

from ..models.backbones import InvertedResidual, MobileNetV2
from .fused import FusedConv2d, fuse_activations
from .replacement import needs_torch


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


def prefers_blocked_layout(flags: Collection[str]) -> bool:
    """Whether a processor with these instruction sets is faster in the layout: with AVX2 and without AVX-512.

    It was measured on a Zen 3. With AVX-512, oneDNN has other convolutions for maps with the channels last.
    """
    return "avx2" in flags and "avx512f" not in flags and _says_the_same()


@functools.cache
def _says_the_same() -> bool:
    """Whether a block of MobileNet v2 gives the same in the layout. It takes private operators of torch's, so it is tried."""
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            plain = nn.Sequential(InvertedResidual(8, 8, 3, 1, 6)).eval().requires_grad_(False)
            fuse_activations(plain)
            blocked = copy.deepcopy(plain)
            _enter_at(blocked)
            blocked.register_forward_hook(_leave)
            x = torch.randn(1, 8, 6, 5)
            expected = plain(x)
            return float((blocked(x) - expected).abs().max()) <= 1e-4 * float(expected.abs().max())
    except Exception:  # an operator that is gone or was changed says so in many ways
        return False
