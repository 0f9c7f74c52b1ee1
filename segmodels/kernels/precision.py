"""Making a trained network fast on the machine at hand, without changing its answer."""

import copy
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..models.base import SegmentationNetwork
from .fused import can_fuse, fuse_activations
from .module_graph import consecutive_layers

PRECISIONS = ("float32", "bfloat16", "float16")


def best_precision(device: torch.device) -> str:
    """The fastest that loses nothing: bfloat16 where it is multiplied faster than float32 (CUDA, AVX-512 BF16, AMX).

    On Apple's MPS it is float32: float16 is there to be asked for.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    fast = device.type == "cpu" and bool({"avx512_bf16", "amx_bf16"} & cpu_flags()) and can_fuse(torch.bfloat16)
    return "bfloat16" if fast else "float32"


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
    if device.type == "cpu" and can_fuse(dtype):
        fuse_activations(network)
    return network.to(device=device, dtype=dtype).to(memory_format=memory_format(device))


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
