"""Google's DeepLab v3 on MobileNet v2 as weights of this zoo: ``python -m tools.weights.convert_google FILE.tflite``.

The file is ``deeplabv3_mnv2_pascal_quant.tflite``, as published with the Coral test data under Apache-2.0. Its 55
convolutions stand in order of execution, their batch norms folded, weights and biases in 8 and 32 bit:
``(stored - zero point) * scale`` gives the numbers that training saw (Jacob et al. 2017: arXiv 1712.05877, equation 1).
Needs the package ``tflite``, which reads the format.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import tflite
import torch
from torch import Tensor, nn

from segmodels.checkpoints.files import save_state
from segmodels.models import registry
from segmodels.models.base import SegmentationNetwork

NAME = "deeplabv3_mobilenetv2_google"
TYPES = {tflite.TensorType.UINT8: np.uint8, tflite.TensorType.INT32: np.int32}


def convolutions(file: Path) -> Iterator[tuple[Tensor, Tensor]]:
    """Kernel (out, in, h, w) and bias (out,) of every convolution, dequantised, in order of execution."""
    model = tflite.Model.GetRootAsModel(file.read_bytes(), 0)
    graph = model.Subgraphs(0)

    def numbers(index: int) -> Tensor:
        tensor = graph.Tensors(index)
        stored = model.Buffers(tensor.Buffer()).DataAsNumpy().view(TYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
        (scale,), (zero,) = tensor.Quantization().ScaleAsNumpy(), tensor.Quantization().ZeroPointAsNumpy()
        return torch.from_numpy((stored.astype(np.float64) - zero) * np.float64(scale)).float()

    orders = {
        tflite.BuiltinOperator.CONV_2D: (0, 3, 1, 2),  # from (out, h, w, in)
        tflite.BuiltinOperator.DEPTHWISE_CONV_2D: (3, 0, 1, 2),  # from (1, h, w, channels)
    }
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        order = orders.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
        if order:
            yield numbers(operator.Inputs(1)).permute(order), numbers(operator.Inputs(2))


def converted(file: Path) -> SegmentationNetwork:
    """The network of this zoo with the weights in ``file``.

    Raises:
        ValueError: if the file holds another network.
    """
    network = registry.build(NAME).eval()
    norms = {
        f"decoder.aspp.{conv}": network.get_submodule(f"decoder.aspp.{norm}")
        for conv, norm in (("convs.0.0", "convs.0.1"), ("convs.1.1", "convs.1.2"), ("project.0", "project.1"))
    }
    ours = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    theirs = list(convolutions(file))
    with torch.no_grad():
        for (name, conv), (kernel, bias) in zip(ours, theirs, strict=True):
            if name == "decoder.aspp.project.0":  # theirs reads image pooling first
                kernel = torch.cat(kernel.chunk(2, dim=1)[::-1], dim=1)
            if conv.weight.shape != kernel.shape:
                raise ValueError(f"{file} holds another network: {tuple(kernel.shape)} for {tuple(conv.weight.shape)}")
            conv.weight.copy_(kernel)
            if conv.bias is not None:
                conv.bias.copy_(bias)
            else:  # a norm that adds the bias and nothing else
                norm = cast(nn.BatchNorm2d, norms[name])
                assert norm.running_var is not None
                norm.running_var.fill_(1 - norm.eps)
                norm.bias.copy_(bias)
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    record = registry.card(NAME).metadata(file.name, {})
    save_state(converted(file), registry.WEIGHTS / f"{NAME}.safetensors", record=record)


if __name__ == "__main__":
    main()
