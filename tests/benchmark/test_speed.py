"""Whether the measurements run and say what they should; never how fast."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segmodels.benchmark import rival
from segmodels.benchmark import speed as bench
from segmodels.benchmark.neighbours import busy_neighbours
from segmodels.benchmark.tables import markdown
from segmodels.cli import main
from segmodels.kernels.cpus import runnable_threads

from ..cli.test_cli import fails


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return bench.bench(["deeplabv3plus_mobilenetv2", "deeplabv3_mobilenet_v3_large"], quick=True)


@pytest.mark.slow
def test_every_row_is_there_with_both_sides(report: dict[str, Any]) -> None:
    (same,) = report["same_network"]
    (compact,) = report["compact_zoo"]
    assert (same["model"], compact["model"]) == ("deeplabv3_mobilenet_v3_large", "deeplabv3plus_mobilenetv2")
    assert (same["input"], compact["input"]) == ([128, 96], [129, 97])  # with cells on corners, 16 k + 1
    for row in (same, compact):
        assert row["ours"] > 0
        assert row["theirs"] > 0
    assert {row["model"] for row in report["atrous_rate"]} == {row["model"] for row in report["peak"]}
    assert all(row["share"] > 0 and row["gmacs"] > 0 for row in report["peak"])
    assert [row["megapixels"] for row in report["growth"]] == [0.25, 1.0]
    (beside,) = report["neighbours"]
    assert len(beside["ours"]) == len(beside["theirs"]) == len(beside["targets"]) == 3  # alone, beside one, beside two
    assert report["crf"][0]["times"] > 0
    assert report["crf"][0]["agreement"] > 0.98
    assert report["machine"]["gflops"].keys() == {"float32", "bfloat16"}


@pytest.mark.slow
def test_both_sides_do_the_same(report: dict[str, Any]) -> None:
    assert report["compact_zoo"][0]["agreement"] >= 0.99  # at 129 pixels much is border
    # Random weights on a small photo: where two classes are as good, rounding decides. test_published has the logits.
    assert report["same_network"][0]["agreement"] >= 0.9


@pytest.mark.slow
def test_the_tables_name_every_network(report: dict[str, Any]) -> None:
    text = markdown(report)
    for name in ("deeplabv3plus_mobilenetv2", "deeplabv3_mobilenet_v3_large"):
        assert text.count(f"`{name}`") >= 3
    assert text.count("160 x 120 photo") == 3  # the one that was taken
    widths = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert len(widths) > 10


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what runs")
def test_neighbours_run_until_they_are_not_needed() -> None:
    with busy_neighbours(2):
        running = runnable_threads()
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert running is not None
    assert running >= 3
    left = [child for child in children if Path("/proc", child).exists()]
    assert len(left) == len(children) - 2


@pytest.mark.slow
def test_a_peak_is_this_process_own() -> None:
    """A child does not count the memory of its parent, and counts its own."""
    script = """
import numpy
from segmodels.benchmark.growth import peak_gigabytes
before = peak_gigabytes()
numpy.ones(50_000_000)
print(before, peak_gigabytes() - before)
"""
    ballast = np.ones(250_000_000)  # 2 GB
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, grown = map(float, done.stdout.split())
    assert before < 1 < ballast.nbytes / 2**30
    assert grown == pytest.approx(0.37, abs=0.05)


def test_the_reference_is_torchvisions_own_way(cat: Image.Image) -> None:
    """Beside the transforms that torchvision publishes with its weights, at the size they choose."""
    from torchvision.models.segmentation import DeepLabV3_MobileNet_V3_Large_Weights as Weights

    torch.manual_seed(0)
    model = rival.torchvision_network("deeplabv3_mobilenet_v3_large")
    photo = cat.resize((240, 180))
    transform = Weights.COCO_WITH_VOC_LABELS_V1.transforms(resize_size=96)
    with torch.inference_mode():
        expected = model(transform(photo)[None])["out"].argmax(1)[0].numpy()
    ours = rival.torchvision_way(model, (128, 96))(photo)
    assert ours.shape == (180, 240)
    small = np.asarray(Image.fromarray(ours).resize((128, 96), Image.Resampling.NEAREST))
    assert (small == expected).mean() > 0.97  # the nearest pixels, twice


@pytest.mark.slow
def test_what_was_not_made_for_speed_is_not_beside_what_was() -> None:
    report = bench.bench(["unet_width24"], quick=True)
    assert report["compact_zoo"] == []
    assert [row["model"] for row in report["peak"]] == ["unet_width24"]
    assert "LRASPP" not in markdown(report)


@pytest.mark.slow
def test_bench_prints_json_and_refuses_a_network_without_weights(capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "--quick", "--model", "fcn_mobilenetv2", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["compact_zoo"][0]["model"] == "fcn_mobilenetv2"
    assert report["same_network"] == report["atrous_rate"] == []
    assert "no trained weights" in fails(capsys, "bench", "--model", "unet_resnet18")
