"""The graphs that ``segmodels export`` writes, under ONNX Runtime, beside a Segmenter: ``python -m tools.measure.exported``.

From a photo of the working size to its label map, in turns, on as many threads as torch has. The graph of a DeepLab has
the atrous rate as an input and is timed at two. Needs ``pip install onnx onnxscript onnxruntime``.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import segmodels
from segmodels.benchmark.tables import Row, table
from segmodels.checkpoints.paths import EXAMPLES
from segmodels.export.onnx_graph import export_model
from segmodels.models import registry

from .interleaved import TURNS, medians

Run = Callable[[Image.Image], NDArray[np.integer]]
"""From a photo to its (H, W) label map."""

RATES = (6, 12)
PHOTO = (1024, 768)


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = [measure(name, rate) for name in registry.compact_models() for rate in _rates(name)]
    print(markdown(rows))


def _rates(name: str) -> tuple[int | None, ...]:
    return RATES if registry.card(name).atrous_rate is not None else (None,)


def measure(name: str, rate: int | None, turns: int = TURNS) -> Row:
    """Medians in milliseconds, and the part of a label map that is as a Segmenter's in float32."""
    exact, fast = (segmodels.load(name, device="cpu", precision=precision) for precision in ("float32", "bfloat16"))
    photo = Image.open(EXAMPLES / "cat.jpg").convert("RGB").resize(exact.input_size(PHOTO))
    engines: dict[str, Run] = {
        "Segmenter, bfloat16": lambda photo: fast(photo, rate).labels,
        "Segmenter, float32": lambda photo: exact(photo, rate).labels,
        "ONNX Runtime, float32": exported(name, rate),
    }
    expected = exact(photo, rate).labels
    agreement = {engine: float((run(photo) == expected).mean()) for engine, run in engines.items()}
    milliseconds = medians({engine: partial(run, photo) for engine, run in engines.items()}, turns)
    return {"model": name, "rate": rate, "milliseconds": milliseconds, "agreement": agreement}


def exported(name: str, rate: int | None) -> Run:
    """The graph of a network, used as ``docs/export.md`` does."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        card = export_model(name, file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    given = {} if rate is None else {"atrous_rate": np.array(rate)}

    def run(photo: Image.Image) -> NDArray[np.integer]:
        image = ((np.asarray(photo, np.float32) - card.mean) / card.std).astype(np.float32).transpose(2, 0, 1)[None]
        labels: NDArray[np.integer] = session.run(["logits"], {"image": image, **given})[0][0].argmax(0)
        return labels

    return run


def markdown(rows: list[Row]) -> str:
    """Return the table."""
    engines = list(rows[0]["milliseconds"])
    return table(
        "Exported graphs: from a photo of the working size to its label map, and pixels as in float32",
        ("network", "atrous rate", *engines),
        [
            (
                f"`{row['model']}`",
                str(row["rate"] or "-"),
                *(f"{row['milliseconds'][engine]:.0f} ms, {row['agreement'][engine]:.2%}" for engine in engines),
            )
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()
