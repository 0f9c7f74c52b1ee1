"""Compare the bundled Google network with TFLite's interpreter: ``python -m tools.weights.check_google FILE.tflite PHOTO...``.

FILE is what ``tools.weights.convert_google`` converted. TFLite rounds the result of every operation to 8 bit, which this zoo does not.
So the share of pixels that are given the same class is printed twice: as the network runs here, and with the same
rounding put into it. Needs ``tflite`` and ``ai-edge-litert``.
"""

import argparse
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import tflite
import torch
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from segmodels.models import registry
from segmodels.models.backbones import InvertedResidual
from segmodels.models.base import SegmentationNetwork
from segmodels.models.heads import ASPP

from .convert_google import NAME, converted

SIDE = 513
"""Pixels: the only size that the file takes."""

Rounding = Callable[[Tensor], Tensor]


def roundings(file: Path) -> dict[int, list[Rounding]]:
    """The rounding of every operation's result, by kind of operation, in order of execution."""
    graph = tflite.Model.GetRootAsModel(file.read_bytes(), 0).Subgraphs(0)
    model = tflite.Model.GetRootAsModel(file.read_bytes(), 0)

    def rounding(index: int) -> Rounding:
        quantisation = graph.Tensors(index).Quantization()
        scale, zero = float(quantisation.ScaleAsNumpy()[0]), int(quantisation.ZeroPointAsNumpy()[0])
        return lambda x: torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)

    found: dict[int, list[Rounding]] = {}
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if kind != tflite.BuiltinOperator.ARG_MAX:
            found.setdefault(kind, []).append(rounding(operator.Outputs(0)))
    return found


def round_everywhere(network: SegmentationNetwork, file: Path) -> None:
    """Put TFLite's roundings behind the modules that do its operations; a clamp at ReLU's 0 and 6 is in their range."""
    known, operators = roundings(file), tflite.BuiltinOperator
    full, depthwise = iter(known[operators.CONV_2D]), iter(known[operators.DEPTHWISE_CONV_2D])
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            _behind(module, next(depthwise) if module.groups > 1 else next(full))
    sums = iter(known[operators.ADD])
    for module in network.modules():
        if isinstance(module, InvertedResidual) and module.adds_input:
            _behind(module, next(sums))
    aspp = cast(ASPP, network.decoder.aspp)
    _behind(aspp.convs[1].get_submodule("0"), known[operators.AVERAGE_POOL_2D][0])
    joined = known[operators.CONCATENATION][0]
    aspp.project.register_forward_pre_hook(lambda _, inputs: (joined(inputs[0]),))
    _behind(network, known[operators.RESIZE_BILINEAR][-1])


def _behind(module: nn.Module, rounding: Rounding) -> None:
    module.register_forward_hook(lambda _, inputs, output: rounding(output))


def fold_bias(network: SegmentationNetwork) -> None:
    """Put the head's biases into its convolutions, so that each rounds its whole result."""
    for sequence in network.decoder.modules():
        children = list(sequence.named_children()) if isinstance(sequence, nn.Sequential) else []
        for (name, conv), (other, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(sequence, name, nn.utils.fusion.fuse_conv_bn_eval(conv, norm))
                setattr(sequence, other, nn.Identity())


def labels(network: SegmentationNetwork, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The (SIDE, SIDE) label map of (SIDE, SIDE, 3) pixels."""
    card = registry.card(NAME)
    with torch.inference_mode():
        x = (torch.from_numpy(pixels).movedim(2, 0)[None].float() - card.mean[0]) / card.std[0]
        return cast("NDArray[np.int64]", network(x)[0].argmax(0).numpy())


def interpreted(file: Path) -> Callable[[NDArray[np.uint8]], NDArray[Any]]:
    """TFLite's own label map of (SIDE, SIDE, 3) pixels."""
    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    (given,), (result, *_) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(pixels: NDArray[np.uint8]) -> NDArray[Any]:
        interpreter.set_tensor(given["index"], pixels[None])
        interpreter.invoke()
        return cast("NDArray[Any]", interpreter.get_tensor(result["index"])[0])

    return run


def agreement(file: Path, photos: Sequence[Path]) -> tuple[float, float]:
    """The mean share of equal pixels, without and with TFLite's roundings."""
    plain, rounded, theirs = converted(file), converted(file), interpreted(file)
    fold_bias(rounded)
    round_everywhere(rounded, file)
    shares = []
    for photo in photos:
        pixels = np.asarray(Image.open(photo).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)).copy()
        truth = theirs(pixels)
        shares.append([(labels(network, pixels) == truth).mean() for network in (plain, rounded)])
    without, with_them = np.mean(shares, axis=0).tolist()
    return without, with_them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    arguments = parser.parse_args()
    without, with_them = agreement(arguments.file, arguments.photos)
    print(
        f"{len(arguments.photos)} photos: {without:.2%} of the pixels as TFLite gives, {with_them:.2%} with its roundings"
    )


if __name__ == "__main__":
    main()
