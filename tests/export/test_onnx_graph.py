"""A network as an ONNX graph: any photo, any atrous rate, the same answer."""

import json
import re
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch import nn

import segmodels
from segmodels.cli import main
from segmodels.export import weight_types
from segmodels.export.atrous_rate_input import MovingConv, Rate
from segmodels.export.onnx_graph import save, to_onnx
from segmodels.inference.loading import load_network
from segmodels.labels import ClassList
from segmodels.models import registry
from segmodels.models.base import configure
from segmodels.models.taught import taught_card
from tools.measure import runtimes
from tools.measure.runtimes import Runtime
from tools.stress.running import ROOT

from ..conftest import EXAMPLES

onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime, onnx and onnxscript, which are optional")
pytest.importorskip("onnxscript", reason="needs onnxruntime, onnx and onnxscript, which are optional")

EXAMPLE = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(encoding="utf-8"), re.DOTALL)
DEEPLABS = [name for name in registry.compact_models() if registry.card(name).atrous_rate]
PLUS = DEEPLABS[-1]
SHAPES = ((513, 385), (305, 513))
"""(width, height) of photos that the network sees at their own size."""
INSTALLED = [runtime for runtime in runtimes.RUNTIMES if runtime.version and "as it is" not in runtime.remark]
"""The runtimes that are here, in float32."""


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
    pixels = np.asarray(photo, np.float32)
    if contrast := json.loads(facts["contrast"]):
        low, high = np.percentile(pixels, contrast)
        pixels = ((pixels - low) * 255 / (high - low)).clip(0, 255)
    image = ((pixels - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
    inputs = {"image": image} | ({} if rate is None else {"atrous_rate": np.array(rate)})
    return float((session.run(None, inputs)[0][0].argmax(0) == expected).mean())


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1, 12])
def test_any_rate_and_shape_gives_the_pixels_of_the_segmenter(graph: Path, rate: int) -> None:
    assert min(agreement(graph, PLUS, rate, size) for size in SHAPES) >= 0.999


@pytest.mark.slow
@pytest.mark.parametrize("runtime", INSTALLED, ids=[runtime.package for runtime in INSTALLED])
def test_runtimes_give_torchs_pixels_at_sizes_that_are_not_16_k_plus_1(graph: Path, runtime: Runtime) -> None:
    network, card = load_network(PLUS)
    run = runtime.open(graph)
    for image in runtimes.images(card, [(64, 47), (240, 176)]):
        assert runtimes.agreement(run, network.eval(), image, 3) >= 0.9999


@pytest.mark.slow
def test_a_rate_below_1_counts_as_1(graph: Path) -> None:
    run = runtimes.onnx_runtime(graph)
    (image,) = (image.numpy() for image in runtimes.images(registry.card(PLUS), [(97, 65)]))
    assert (run(image, 0) == run(image, 1)).all()
    assert (run(image, -6) == run(image, 1)).all()
    assert (run(image, 6) != run(image, 1)).any()


@pytest.mark.slow
def test_a_graph_does_not_say_where_it_was_made(graph: Path) -> None:
    content = graph.read_bytes()
    for told in (str(ROOT), str(Path.home()), "site-packages", "forward(", ".py"):
        assert told.encode() not in content


@pytest.mark.slow
def test_one_rate_label_maps_and_half_the_size(graph: Path, tmp_path: Path) -> None:
    """A network whose weights are stored in float16 loses nothing by it, but for what batch norms make of them."""
    out = tmp_path / "small.onnx"
    main(["export", PLUS, "--out", str(out), "--rate", "3", "--argmax", "--half"])
    assert out.stat().st_size < 0.6 * graph.stat().st_size
    session = onnxruntime.InferenceSession(out)
    assert [put.name for put in session.get_inputs()] == ["image"]
    assert [(put.name, put.type) for put in session.get_outputs()] == [("labels", "tensor(uint8)")]
    assert json.loads(session.get_modelmeta().custom_metadata_map["fixed_rate"]) == 3
    small, whole = runtimes.onnx_runtime(out), runtimes.onnx_runtime(graph)
    for image in runtimes.images(registry.card(PLUS), [(257, 193), (224, 150)]):
        assert (small(image.numpy(), None) == whole(image.numpy(), 3)).mean() >= 0.998


@pytest.mark.slow
def test_weights_in_8_bits_are_a_quarter_of_the_size(graph: Path) -> None:
    """Calibrated on one photo and asked about it."""
    import onnx

    card = replace(registry.card(PLUS), working_size=257)
    photo = EXAMPLES / "cat.jpg"
    model = weight_types.quantised(onnx.load(graph), card, True, [photo])
    content = model.SerializeToString()
    assert len(content) < 0.35 * graph.stat().st_size
    small = onnxruntime.InferenceSession(content)
    image = weight_types.as_input(photo, card, True)
    assert small.get_modelmeta().custom_metadata_map["network"] == PLUS
    labels = small.run(None, {"image": image, "atrous_rate": np.array(6)})[0][0].argmax(0)
    assert (labels == runtimes.onnx_runtime(graph)(image, 6)).mean() > 0.95


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in registry.bundled_models() if name != PLUS])
def test_every_bundled_network_can_be_exported(tmp_path: Path, name: str) -> None:
    out = exported(tmp_path, name)
    for rate in (1, 3, 6, 12) if registry.card(name).atrous_rate else (None,):
        assert min(agreement(out, name, rate, size) for size in SHAPES) >= 0.999


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, card in registry.CARDS.items() if not card.published])
def test_every_network_of_the_zoo_runs_in_every_runtime(tmp_path: Path, name: str) -> None:
    """At six sizes and four rates; those without trained weights, with random ones."""
    torch.manual_seed(0)
    card, graph = registry.card(name), tmp_path / "net.onnx"
    network = load_network(name)[0] if card.trained else registry.build(name)
    configure(network.eval(), card.atrous_rate, card.output_stride)
    save(to_onnx(deepcopy(network), card), graph)
    sizes = [(33, 33), (64, 47), (257, 193), (224, 224), (240, 320), (500, 333)]
    for runtime in INSTALLED:
        run = runtime.open(graph)
        for image in runtimes.images(card, sizes):
            for rate in (1, 3, 6, 12) if card.atrous_rate else (None,):
                assert runtimes.agreement(run, network, image, rate) >= 0.999, (runtime.name, image.shape, rate)


@pytest.mark.long
def test_taught_layers_at_three_strides_run_at_any_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    card = taught_card(registry.card(PLUS), ClassList(("ground", "sky", "tree")), (32, 16, 8))
    network, graph = card.builder(3).eval(), tmp_path / "taught.onnx"
    save(to_onnx(deepcopy(network), card), graph)
    run = runtimes.onnx_runtime(graph)
    for image in runtimes.images(card, [(513, 337), (513, 385), (224, 224), (100, 77)]):
        assert runtimes.agreement(run, network, image, None) >= 0.9999


@pytest.mark.slow
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


def _saved(kind: str, folder: Path) -> Path:
    """The cat as files may have it."""
    photo = Image.open(EXAMPLES / "cat.jpg").convert("RGB")
    if kind == "transparent":
        alpha = Image.new("L", photo.size, 255)
        alpha.paste(0, (0, 0, photo.width // 2, photo.height))
        photo.putalpha(alpha)
        photo.save(folder / "photo.png")
        return folder / "photo.png"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    turned = photo.transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "photo.jpg", quality=95, exif=exif)
    return folder / "photo.jpg"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["turned", "transparent"])
def test_the_example_in_the_docs_runs_as_it_stands(graph: Path, tmp_path: Path, kind: str) -> None:
    """In a process of its own, where torch cannot be imported."""
    assert EXAMPLE is not None
    file = _saved(kind, tmp_path)
    code = EXAMPLE[1].replace("net.onnx", str(graph)).replace("photo.jpg", str(file))
    assert len(code.splitlines()) <= 22
    without = "import sys\nsys.modules['torch'] = None\n"
    said = subprocess.run(
        [sys.executable, "-c", without + code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    with Image.open(tmp_path / "labels.png") as image:
        labels = np.asarray(image)
    assert "'cat'" in said
    expected = segmodels.load(PLUS, precision="float32")(segmodels.read_photo(file).image, 6).labels
    assert (labels == expected).mean() > 0.99


def test_what_cannot_be_exported_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, sentence in (
        (["export", PLUS, "--out", str(tmp_path / "net.pt")], "written as .onnx"),
        (["export", PLUS, "--page", str(tmp_path / "net.htm")], "written as .html"),
        (["export", PLUS, "--page", str(tmp_path / "net.html"), "--argmax"], "leave them out"),
        (["export", PLUS, "--out", str(tmp_path / "net.onnx"), "--half", "--uint8", "a.jpg"], "in 16 bits or in 8"),
        (["export", "fcn_mobilenetv2", "--out", str(tmp_path / "net.onnx"), "--rate", "6"], "no atrous rate"),
        (["export", PLUS, "--out", str(tmp_path / "net.onnx"), "--rate", "0"], "from 1 to 64"),
        (["export", "unet", "--out", str(tmp_path / "net.onnx")], "no trained weights"),
        (["export", "none.safetensors", "--out", str(tmp_path / "net.onnx")], "is missing"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert sentence in capsys.readouterr().err
