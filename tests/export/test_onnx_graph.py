"""A network as an ONNX graph: any photo, any atrous rate, the same answer."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import segmodels
from segmodels.cli import main
from segmodels.export.atrous_rate_input import MovingConv, Rate
from segmodels.inference.pictures import label_image
from segmodels.models import registry
from tools.stress.running import ROOT

from ..conftest import EXAMPLES

onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime, onnx and onnxscript, which are optional")
pytest.importorskip("onnxscript", reason="needs onnxruntime, onnx and onnxscript, which are optional")

EXAMPLE = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(encoding="utf-8"), re.DOTALL)
DEEPLABS = [name for name in registry.compact_models() if registry.card(name).atrous_rate]
PLUS = DEEPLABS[-1]
SHAPES = ((513, 385), (305, 513), (513, 513))
"""(width, height) of photos that the network sees at their own size."""


@pytest.mark.parametrize("groups", [1, 6])
@pytest.mark.parametrize("rate", [1, 2, 5, 30])
def test_taps_that_move_are_an_atrous_convolution(groups: int, rate: int) -> None:
    conv = nn.Conv2d(6, 6, 3, dilation=2 * rate, padding=2 * rate, groups=groups)
    shared = Rate(torch.tensor(rate))
    x = torch.randn(1, 6, 9, 14)
    with torch.no_grad():
        torch.testing.assert_close(MovingConv(conv, shared, 2)(x), conv(x), rtol=1e-4, atol=1e-5)


def exported(folder: Path, name: str) -> Path:
    out = folder / f"{name}.onnx"
    main(["export", name, "--out", str(out)])
    return out


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DeepLab v3+ of the compact zoo, which has depthwise atrous convolutions."""
    return exported(tmp_path_factory.mktemp("graph"), PLUS)


def agreement(graph: Path, name: str, rate: int | None, size: tuple[int, int]) -> float:
    """The share of the pixels of a photo at which the graph says what the Segmenter says in float32."""
    session = onnxruntime.InferenceSession(graph)
    facts = dict(session.get_modelmeta().custom_metadata_map)
    photo = Image.open(EXAMPLES / "cat.jpg").convert("RGB").resize(size)
    segmenter = segmodels.load(name, precision="float32")
    expected = segmenter(photo, rate, working_size=max(size)).labels
    mean, std = (np.array(json.loads(facts[key]), np.float32) for key in ("mean", "std"))
    image = ((np.asarray(photo, np.float32) - mean) / std).transpose(2, 0, 1)[None]
    inputs = {"image": image} | ({} if rate is None else {"atrous_rate": np.array(rate)})
    return float((session.run(None, inputs)[0][0].argmax(0) == expected).mean())


@pytest.mark.parametrize("rate", [1, 3, 6, 12])
def test_any_rate_and_shape_gives_the_pixels_of_the_segmenter(graph: Path, rate: int) -> None:
    assert min(agreement(graph, PLUS, rate, size) for size in SHAPES) >= 0.999


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in registry.bundled_models() if name != PLUS])
def test_every_bundled_network_can_be_exported(tmp_path: Path, name: str) -> None:
    out = exported(tmp_path, name)
    for rate in (1, 3, 6, 12) if registry.card(name).atrous_rate else (None,):
        assert min(agreement(out, name, rate, size) for size in SHAPES) >= 0.999


def test_the_graph_says_what_it_is(graph: Path) -> None:
    session = onnxruntime.InferenceSession(graph)
    facts, card = session.get_modelmeta().custom_metadata_map, registry.card(PLUS)
    assert facts["network"] == PLUS
    assert json.loads(facts["classes"]) == list(card.classes)
    assert json.loads(facts["colours"])[8] == [64, 0, 0]
    assert json.loads(facts["mean"]) == list(card.mean)
    assert (json.loads(facts["atrous_rate"]), json.loads(facts["output_stride"])) == (6, 16)
    assert "photos" in facts["provenance"]
    assert "Apache" in facts["licence"]
    assert [put.name for put in session.get_inputs()] == ["image", "atrous_rate"]


def test_the_example_in_the_docs_runs_as_it_stands(graph: Path, tmp_path: Path) -> None:
    """In a process of its own, where torch cannot be imported."""
    assert EXAMPLE is not None
    code = EXAMPLE[1].replace("net.onnx", str(graph)).replace("photo.jpg", str(EXAMPLES / "cat.jpg"))
    assert len(code.splitlines()) <= 17
    without = "import sys\nsys.modules['torch'] = None\n"
    said = subprocess.run(
        [sys.executable, "-c", without + code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    with Image.open(tmp_path / "labels.png") as image:
        labels = np.asarray(image)
    assert "'cat'" in said
    photo = Image.open(EXAMPLES / "cat.jpg").convert("RGB")
    expected = segmodels.load(PLUS, precision="float32")(photo, 6).labels
    resized = np.asarray(label_image(labels).resize(photo.size, Image.Resampling.NEAREST))
    assert (resized == expected).mean() > 0.98


def test_what_cannot_be_exported_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, sentence in (
        (["export", PLUS, "--out", str(tmp_path / "net.pt")], "written as .onnx"),
        (["export", "unet", "--out", str(tmp_path / "net.onnx")], "no trained weights"),
        (["export", "none.safetensors", "--out", str(tmp_path / "net.onnx")], "is missing"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert sentence in capsys.readouterr().err
