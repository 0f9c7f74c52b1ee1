"""What ``segmodels export`` writes, in the runtimes that are installed: ``python -m tools.measure.runtimes``.

The label maps of exported graphs beside torch's, in float32, on an example photo at sizes and rates of ``SIZES`` and
``RATES``. Prints the table of ``docs/export.md``. Needs ``pip install onnx onnxscript onnxruntime openvino
opencv-python-headless``, or some of the last three.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segmodels.checkpoints.paths import EXAMPLES
from segmodels.export.onnx_graph import export_model
from segmodels.inference.loading import load_network
from segmodels.models import registry
from segmodels.models.base import SegmentationNetwork, configure
from segmodels.models.card import Card

SIZES = ((513, 385), (224, 224), (320, 240))
"""(width, height) in pixels: one of 16 k + 1, and two that are not."""
RATES = (1, 6, 12)

Labels = NDArray[np.integer]
Run = Callable[[NDArray[np.float32], int | None], Labels]
"""From (1, 3, H, W) normalised pixels and a rate, None without one, to an (H, W) label map."""


@dataclass(frozen=True)
class Runtime:
    """A runtime that reads ONNX."""

    name: str
    package: str
    """Its name on PyPI."""
    open: Callable[[Path], Run]
    remark: str = ""

    @property
    def version(self) -> str | None:
        """The installed one; None if there is none."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None


def onnx_runtime(graph: Path) -> Run:
    """ONNX Runtime on the processor."""
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return lambda image, rate: labels_of(session.run(None, _given(image, rate))[0])


def openvino(graph: Path, precision: str | None = "f32") -> Run:
    """OpenVINO on the processor; without a ``precision``, in the one that it chooses."""
    from openvino import Core

    hint = {} if precision is None else {"INFERENCE_PRECISION_HINT": precision}
    compiled = Core().compile_model(str(graph), "CPU", hint)
    return lambda image, rate: labels_of(compiled(_given(image, rate))[0])


def opencv(graph: Path) -> Run:
    """OpenCV's own engine."""
    import cv2

    def run(image: NDArray[np.float32], rate: int | None) -> Labels:
        network = cv2.dnn.readNetFromONNX(str(graph))
        network.setInput(image, "image")
        if rate is not None:
            network.setInput(np.array([rate], np.int64), "atrous_rate")
        return labels_of(network.forward())

    return run


RUNTIMES = (
    Runtime("ONNX Runtime", "onnxruntime", onnx_runtime),
    Runtime("OpenVINO", "openvino", openvino, "with `INFERENCE_PRECISION_HINT` `f32`"),
    Runtime("OpenVINO", "openvino", partial(openvino, precision=None), "as it is: bfloat16 where the processor has it"),
    Runtime("OpenCV", "opencv-python-headless", opencv, "a network is read again for each size"),
)


def _given(image: NDArray[np.float32], rate: int | None) -> dict[str, NDArray[np.generic]]:
    return {"image": image} if rate is None else {"image": image, "atrous_rate": np.array(rate)}


def labels_of(output: NDArray[np.generic]) -> Labels:
    """Return the label map of an output, which may be one already."""
    return output[0].argmax(0) if output.ndim == 4 else output[0]


def agreement(run: Run, network: SegmentationNetwork, image: torch.Tensor, rate: int | None) -> float:
    """Return the part of the pixels that get torch's class."""
    configure(network, rate)
    with torch.inference_mode():
        expected = network(image)[0].argmax(0).numpy()
    return float((run(image.numpy(), rate) == expected).mean())


def images(card: Card, sizes: Sequence[tuple[int, int]] = SIZES) -> Iterator[torch.Tensor]:
    """Yield an example photo at each size, as the network of ``card`` takes it."""
    photo = Image.open(EXAMPLES / "cat.jpg").convert("RGB")
    for size in sizes:
        pixels = torch.from_numpy(np.array(photo.resize(size), np.float32))
        yield ((pixels - torch.tensor(card.mean)) / torch.tensor(card.std)).permute(2, 0, 1)[None]


def measure(name: str, runtimes: Sequence[Runtime], half: bool = False) -> Iterator[str]:
    """Yield a line of the table for each of ``runtimes``."""
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder, "net.onnx")
        export_model(name, graph, half=half)
        megabytes = graph.stat().st_size / 1e6
        network, card = load_network(name)
        network.eval()
        configure(network, card.atrous_rate, card.output_stride)
        rates = (None,) if card.atrous_rate is None else RATES
        options = "`--half`" if half else ""
        for runtime in runtimes:
            run = runtime.open(graph)
            equal = min(agreement(run, network, image, rate) for image in images(card) for rate in rates)
            yield (
                f"| {runtime.name} {runtime.version} | `{name}` {options} | {megabytes:.1f} MB | "
                f"{equal:.3%} | {runtime.remark} |"
            )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=registry.compact_models(), metavar="NAME")
    names = parser.parse_args().model
    runtimes = [runtime for runtime in RUNTIMES if runtime.version]
    print("| runtime | network | graph | pixels as torch's, at least | |\n|---|---|---|---|---|")
    for name in names:
        for line in measure(name, runtimes):
            print(line, flush=True)
    for line in measure(names[-1], runtimes[:1], half=True):
        print(line, flush=True)


if __name__ == "__main__":
    main()
