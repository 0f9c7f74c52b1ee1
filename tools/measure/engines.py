"""The compact zoo under ONNX Runtime and OpenVINO: ``python -m tools.measure.engines``.

Network alone, from the input to the logits, in turns with ours, alone and beside a program that keeps a processor busy;
then whether the label map is that of float32. OpenVINO is measured twice: as one graph compiled for this input size, and
as a Segmenter would have to run it, so that any photo and any atrous rate is answered at once: backbone and decoder
apart, of any input size, the features handed over.

Needs ``pip install onnx onnxruntime openvino``, which nothing else here does.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import segmodels
from segmodels.benchmark.neighbours import medians_beside
from segmodels.benchmark.tables import Row, table
from segmodels.checkpoints.files import load_state, read_state
from segmodels.checkpoints.paths import EXAMPLES
from segmodels.kernels.precision import BFLOAT16_FLAGS, cpu_flags, fold_batch_norms
from segmodels.kernels.threads import FORGOTTEN
from segmodels.models import registry
from segmodels.models.base import SegmentationNetwork

Run = Callable[[Tensor], NDArray[np.float32]]
"""From the (1, 3, H, W) input in float32 to the (C, h, w) logits."""


class ToLogits(nn.Module):
    """A network up to its logits at the decoder's stride, as one module to be exported."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.decode(self.network.encode(x))


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(markdown(bench_engines()))


def bench_engines() -> list[Row]:
    """All of the compact zoo."""
    return [measure(name) for name in registry.compact_models()]


def measure(name: str) -> Row:
    """Medians in milliseconds by engine, alone and beside a busy program, and the part of a label map that is as in float32."""
    photo = Image.open(EXAMPLES / "cat.jpg").convert("RGB").resize((1024, 768))
    exact = segmodels.load(name, device="cpu", precision="float32")
    x = exact.pixels(photo).contiguous()
    engines = {f"ours, {precision}": ours(name, precision) for precision in precisions()} | others(name, x)
    with exact.exclusive() as network, torch.inference_mode():
        expected = network.decode(network.encode(x))[0].argmax(0).numpy()
    agreement = {engine: float((run(x).argmax(0) == expected).mean()) for engine, run in engines.items()}
    return {
        "model": name,
        "milliseconds": medians_beside(
            {engine: partial(run, x) for engine, run in engines.items()}, turns=3, counts=(0, 1), rest=1.2 * FORGOTTEN
        ),
        "agreement": {engine: round(value, 4) for engine, value in agreement.items()},
    }


def precisions() -> dict[str, str]:
    """Precisions to measure, and OpenVINO's names for them: without its instructions bfloat16 is emulated."""
    return {"float32": "f32"} | ({"bfloat16": "bf16"} if BFLOAT16_FLAGS & cpu_flags() else {})


def ours(name: str, precision: str) -> Run:
    """The network as a Segmenter has it."""
    segmenter = segmodels.load(name, device="cpu", precision=precision)

    def run(x: Tensor) -> NDArray[np.float32]:
        with segmenter.exclusive() as network, torch.inference_mode():
            prepared = x.to(getattr(torch, precision)).contiguous(memory_format=torch.channels_last)
            return network.decode(network.encode(prepared))[0].float().numpy()

    return run


def others(name: str, x: Tensor) -> dict[str, Run]:
    """The same network, batch norms folded, under the other engines on as many threads as torch has."""
    import onnxruntime
    import openvino

    network = registry.build(name).eval().requires_grad_(False)
    load_state(network, read_state(registry.card(name).weights_file()))
    fold_batch_norms(network)
    in_halves = _halves(network, x)  # before the ONNX exporter, which does not leave every network as it was
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        torch.onnx.export(ToLogits(network), (x,), file, input_names=["x"], output_names=["logits"], dynamo=False)
        model = file.read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    runs: dict[str, Run] = {"ONNX Runtime, float32": lambda x: session.run(None, {"x": x.numpy()})[0][0]}
    core = openvino.Core()
    for precision, hint in precisions().items():
        settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        began = time.perf_counter()
        compiled = core.compile_model(core.read_model(model, b""), "CPU", settings)
        print(f"{name}: OpenVINO compiled in {time.perf_counter() - began:.1f} s", file=sys.stderr)
        runs[f"OpenVINO, {precision}"] = partial(_openvino, compiled)
    halves = [core.compile_model(half, "CPU", settings) for half in in_halves]
    runs[f"OpenVINO, {precision}, in two halves"] = partial(_openvino_in_halves, *halves)
    return runs


def _halves(network: SegmentationNetwork, x: Tensor) -> list[Any]:
    """Backbone and decoder as OpenVINO's models of any input size."""
    import openvino

    halves = ((Encode(network), (x,)), (Decode(network), tuple(network.encode(x))))
    return [openvino.convert_model(torch.jit.trace(half, inputs, check_trace=False)) for half, inputs in halves]


class Encode(nn.Module):
    """A backbone as a module to be traced: (N, 3, H, W) -> its features."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.encode(x))


class Decode(Encode):
    """A decoder as a module to be traced: all features -> (N, C, h, w) logits."""

    def forward(self, *features: Tensor) -> Tensor:  # type: ignore[override]
        return self.network.decode(list(features))


def _openvino_in_halves(encode: Any, decode: Any, x: Tensor) -> NDArray[np.float32]:
    features = encode(x.numpy())
    logits: NDArray[np.float32] = decode([features[index] for index in range(len(features))])[0][0]
    return logits


def _openvino(compiled: Any, x: Tensor) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = compiled(x.numpy())[0][0]
    return logits


def markdown(report: list[Row]) -> str:
    """The table of ``docs/performance.md``."""
    engines = list(report[0]["milliseconds"])
    rows = [
        (
            f"`{row['model']}`",
            *(
                f"{' / '.join(f'{time:.0f}' for time in row['milliseconds'][engine])} ms, {row['agreement'][engine]:.1%}"
                for engine in engines
            ),
        )
        for row in report
    ]
    return table(
        "Other engines: the network alone / beside a busy program, and pixels as in float32",
        ("network", *engines),
        rows,
    )


if __name__ == "__main__":
    main()
