"""What a network costs: parameters and multiply-accumulates (MACs), layer by layer.

A multiply-accumulate is one multiplication and one addition, so FLOPs are twice the MACs. Only convolutions and fully
connected layers count, as is usual; batch norms, activations, poolings and interpolations are small beside them.
"""

import copy
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from .receptive_field import FieldTracer


@dataclass(frozen=True)
class Layer:
    """One layer of a network, as it runs on one photo."""

    name: str
    """The module's path, such as ``backbone.stem.0``."""
    kind: str
    """Such as ``3x3 convolution, stride 2``."""
    shape: tuple[int, ...]
    """The output's without the batch: (channels, height, width)."""
    parameters: int
    macs: int
    """For one photo."""
    receptive_field: float
    """How many pixels of the input a position sees, along an edge; infinite if all."""


@dataclass(frozen=True)
class Cost:
    """A network's totals for one photo of a given size, and its layers in the order in which they run."""

    parameters: int
    macs: int
    layers: tuple[Layer, ...]


def count(network: nn.Module, height: int, width: int, channels: int = 3) -> Cost:
    """Count what ``network``, in eval mode, costs on one photo.

    A copy of it runs on torch's meta device: nothing is allocated or computed, and another thread may use the network
    meanwhile.

    Args:
        network: the network.
        height: of the photo, in pixels.
        width: of the photo, in pixels.
        channels: of the photo.
    """
    skeleton = _without_numbers(network)
    tensors = [*skeleton.parameters(), *skeleton.buffers()]
    dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
    x = torch.empty(1, channels, height, width, device="meta", dtype=dtype)
    tracer = FieldTracer(x)
    layers: list[Layer] = []
    for name, module in skeleton.named_modules():
        if not any(module.children()) and not isinstance(module, nn.Identity):
            module.register_forward_hook(_recorder(name, layers, tracer))
    with torch.no_grad(), tracer:
        skeleton(x)
    parameters = sum(parameter.numel() for parameter in skeleton.parameters())
    return Cost(parameters, sum(layer.macs for layer in layers), tuple(layers))


def _without_numbers(network: nn.Module) -> nn.Module:
    """A copy in eval mode whose parameters and buffers are on the meta device."""
    memo: dict[int, Any] = {
        id(parameter): nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
        for parameter in network.parameters()
    }
    memo |= {id(buffer): torch.empty_like(buffer, device="meta") for buffer in network.buffers()}
    return copy.deepcopy(network, memo).eval()


def _recorder(name: str, layers: list[Layer], tracer: FieldTracer) -> Any:
    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        field = tracer.of(output)
        layers.append(
            Layer(
                name=name,
                kind=describe(module),
                shape=tuple(output.shape[1:]),
                parameters=sum(parameter.numel() for parameter in module.parameters()),
                macs=layer_macs(module, inputs[0], output),
                receptive_field=field.size if field else 0,
            )
        )

    return record


def layer_macs(module: nn.Module, x: Tensor, output: Tensor) -> int:
    """Return the multiply-accumulates of one layer for the whole batch; 0 if it has no kernel.

    A convolution applies its kernel once for each output position, a transposed one once for each input position.

    Args:
        module: the layer.
        x: its input.
        output: its output.
    """
    if isinstance(module, nn.ConvTranspose2d):
        return x.numel() * prod(module.weight.shape[1:])
    if isinstance(module, nn.Conv2d | nn.Linear):
        return output.numel() * prod(module.weight.shape[1:])
    return 0


def describe(module: nn.Module) -> str:
    """Describe a layer in words, such as ``3x3 depthwise convolution, stride 2``."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return _describe_convolution(module)
    if isinstance(module, nn.MaxPool2d):
        return f"{module.kernel_size}x{module.kernel_size} max pooling, stride {module.stride}"
    names: dict[type[nn.Module], str] = {
        nn.BatchNorm2d: "batch norm",
        nn.AdaptiveAvgPool2d: "image pooling",
        nn.Linear: "fully connected",
        nn.Dropout: "dropout",
    }
    return names.get(type(module), type(module).__name__)


def _describe_convolution(module: nn.Conv2d | nn.ConvTranspose2d) -> str:
    kind = "transposed " if isinstance(module, nn.ConvTranspose2d) else ""
    if module.groups > 1:
        kind += "depthwise " if module.groups == module.in_channels else f"{module.groups}-group "
    words = f"{module.kernel_size[0]}x{module.kernel_size[1]} {kind}convolution"
    if module.stride[0] > 1:
        words += f", stride {module.stride[0]}"
    if module.dilation[0] > 1 and module.kernel_size[0] > 1:
        words += f", rate {module.dilation[0]}"
    return words


def convolution_multiplications(height: int, width: int, in_channels: int, out_channels: int, kernel: int) -> int:
    """Return the multiplications of a plain convolution with an output of (height, width) cells."""
    return height * width * kernel**2 * in_channels * out_channels


def separable_multiplications(height: int, width: int, in_channels: int, out_channels: int, kernel: int) -> int:
    """Return the multiplications of the depthwise separable version: one filter for each channel, then a 1x1
    convolution.
    """
    return height * width * in_channels * (kernel**2 + out_channels)
