import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

import segmodels
from segmodels import Segmenter
from segmodels.checkpoints.files import read_state, save_state
from segmodels.checkpoints.paths import EXAMPLES
from segmodels.inference.label_map import label_map, mean_confidence
from segmodels.inference.sizes import resize_photo
from segmodels.models import registry
from segmodels.models.fcn import FCNDecoder

DEEPLABS = ["deeplabv3_mobilenetv2", "deeplabv3plus_mobilenetv2"]


@pytest.fixture(scope="module", params=registry.bundled_models())
def segmenter(request: pytest.FixtureRequest) -> Segmenter:
    return segmodels.load(request.param)


@pytest.fixture(scope="module")
def deeplab() -> Segmenter:
    return segmodels.load("deeplabv3plus_mobilenetv2")


def test_finds_the_cat(segmenter: Segmenter, cat: Image.Image) -> None:
    if "cat" in segmenter.card.classes:
        assert segmenter(cat).shares["cat"] > 0.2


@pytest.mark.parametrize("name", registry.compact_models())
def test_finds_the_person(name: str, astronaut: Image.Image) -> None:
    """The compact zoo does; of the U-Net from scratch no more is promised than its score."""
    assert segmodels.load(name)(astronaut).shares["person"] > 0.2


def test_the_result_says_what_it_is(deeplab: Segmenter, cat: Image.Image) -> None:
    result = deeplab(np.asarray(cat), atrous_rate=6)
    assert result.labels.shape == (300, 451)
    assert result.labels.dtype == np.uint8
    assert result.classes[8] == "cat"
    assert sum(result.shares.values()) == pytest.approx(1)
    assert result.shares["cat"] == pytest.approx((result.labels == 8).mean())
    assert {"encode", "decode", "total"} <= result.milliseconds.keys()
    assert all(0 < value <= 1 for value in result.confidence.values())
    assert result.working_size == (513, 337)  # 16 k + 1, nearest to 513 and 513 * 300 / 451 = 341.2
    assert result.notes == ()


@pytest.mark.parametrize(
    "size", [(32, 32), (33, 32), (32, 900), (901, 33), (127, 255), pytest.param((1500, 1100), marks=pytest.mark.slow)]
)
def test_any_size_keeps_the_photos_own(segmenter: Segmenter, cat: Image.Image, size: tuple[int, int]) -> None:
    assert segmenter(cat.resize(size)).labels.shape == size[::-1]


def test_agrees_with_the_bare_network(segmenter: Segmenter, cat: Image.Image) -> None:
    """At the working size, the label map is the argmax of what the network itself says, batch norms, precision and all."""
    card = segmenter.card
    photo = cat.resize(segmenter.input_size(cat.size))
    network = registry.build(card.name).eval()
    network.load_state_dict({name: tensor.float() for name, tensor in read_state(card.weights_file()).items()})
    values = np.array(photo, dtype=np.float32)
    if card.microscopy:
        low, high = np.percentile(values, (1, 99.8))
        values = ((values - low) / (high - low)).clip(0, 1) * 255
    normalised = (values - card.mean) / card.std
    pixels = torch.from_numpy(normalised).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        expected = network(pixels).argmax(1)[0].numpy()
    exact = segmodels.load(card.name, device="cpu", precision="float32")
    assert (exact(photo).labels == expected).mean() > 0.9999
    assert (segmenter(photo).labels == expected).mean() > (0.99 if "cat" in card.classes else 0.98)


def test_other_photos_give_other_labels(segmenter: Segmenter, cat: Image.Image, astronaut: Image.Image) -> None:
    first, second = segmenter(cat.resize((200, 200))), segmenter(astronaut.resize((200, 200)))
    assert (first.labels != second.labels).mean() > 0.2


@pytest.mark.parametrize("name", DEEPLABS)
def test_the_atrous_rate_moves_the_taps_and_says_so(name: str, cat: Image.Image) -> None:
    segmenter = segmodels.load(name)
    trained, other = segmenter(cat), segmenter(cat, atrous_rate=1)
    assert (trained.atrous_rate, trained.output_stride) == (6, 16)
    assert (trained.labels != other.labels).any()
    assert "trained at atrous rate 6" in other.notes[0]
    assert (segmenter(cat).labels == trained.labels).all()


@pytest.mark.parametrize("name", DEEPLABS)
def test_the_answer_depends_on_the_atrous_rate(name: str) -> None:
    """On the first photo that the page offers, a move of the slider can be seen."""
    segmenter = segmodels.load(name)
    with Image.open(EXAMPLES / "raft.jpg") as photo:
        features = segmenter.encode(photo)
    trained = segmenter.decode(features).labels
    for rate in (1, 3):
        assert (segmenter.decode(features, rate).labels != trained).mean() > 0.01


@pytest.mark.parametrize("name", DEEPLABS)
@pytest.mark.parametrize(("stride", "rate"), [(8, 12), (16, 6), (32, 3)])
def test_another_stride_keeps_the_field_of_view(name: str, stride: int, rate: int, cat: Image.Image) -> None:
    result = segmodels.load(name)(cat, output_stride=stride)
    assert (result.output_stride, result.atrous_rate) == (stride, rate)
    assert result.shares["cat"] > 0.2


def test_features_can_be_decoded_again(deeplab: Segmenter, cat: Image.Image) -> None:
    features = deeplab.encode(cat)
    kept = [tensor.clone() for tensor in features.maps]
    for rate in (1, 12, 6):
        assert (deeplab.decode(features, rate).labels == deeplab(cat, rate).labels).all()
    assert all(torch.equal(before, after) for before, after in zip(kept, features.maps, strict=True))


@pytest.mark.parametrize("stride", [8, 16])
def test_a_decoder_of_one_stride_refuses_features_of_another(stride: int, cat: Image.Image) -> None:
    """The compact zoo has one backbone, so their decoders can share features, if these lie where each expects them."""
    encoder, fcn = segmodels.load("deeplabv3_mobilenetv2"), segmodels.load("fcn_mobilenetv2")
    assert (fcn.decode(encoder.encode(cat, output_stride=32)).labels == fcn(cat).labels).all()
    with pytest.raises(ValueError, match=f"end at stride {stride}, and fcn_mobilenetv2 decodes those at 32"):
        fcn.decode(encoder.encode(cat, output_stride=stride))


@pytest.mark.slow
def test_visitors_with_different_settings_do_not_mix(deeplab: Segmenter, cat: Image.Image) -> None:
    photo = cat.resize((160, 120))
    settings = [(rate, stride) for rate in (1, 3, 6) for stride in (8, 16, 32)]
    alone = {setting: deeplab(photo, *setting).labels for setting in settings}
    barrier = threading.Barrier(4)

    def visit(visitor: int) -> bool:
        barrier.wait()
        mine = settings[visitor:] + settings[:visitor]
        return all((deeplab(photo, *setting).labels == alone[setting]).all() for setting in mine)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(visit, range(4)))


@pytest.mark.parametrize("name", ["fcn_mobilenetv2", "unet_mobilenetv2"])
@pytest.mark.parametrize("setting", [{"atrous_rate": 6}, {"output_stride": 16}])
def test_networks_without_atrous_convolutions_refuse_them(name: str, setting: dict[str, Any], cat: Image.Image) -> None:
    with pytest.raises(ValueError, match=r"has no (atrous rate|output stride)"):
        segmodels.load(name)(cat, **setting)


@pytest.mark.parametrize(
    "setting",
    [
        {"atrous_rate": 0},
        {"atrous_rate": -1},
        {"atrous_rate": 65},
        {"atrous_rate": 1.5},
        {"atrous_rate": float("nan")},
        {"atrous_rate": "6"},
        {"atrous_rate": True},
        {"output_stride": 7},
        {"output_stride": "16"},
        {"output_stride": 16.5},
        {"working_size": 10},
        {"working_size": 10**6},
    ],
)
def test_a_wrong_setting_is_refused_in_a_sentence(
    deeplab: Segmenter, cat: Image.Image, setting: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="must be"):
        deeplab(cat, **setting)
    assert deeplab(cat).atrous_rate == 6


@pytest.mark.parametrize("smoothness", [1, 12])
@pytest.mark.parametrize("shape", [(4, 7, 9, 50, 61), (21, 48, 64, 300, 401), (3, 30, 40, 20, 30), (2, 1, 5, 7, 100)])
def test_label_map_is_the_argmax_of_interpolated_logits(
    shape: tuple[int, int, int, int, int], smoothness: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise, where all of the map is borders, and large blobs, where most of it is not; in several strips."""
    monkeypatch.setattr("segmodels.inference.label_map.STRIP_VALUES", 40_000)
    torch.manual_seed(0)
    channels, h, w, height, width = shape
    coarse = torch.randn(1, channels, -(-h // smoothness), -(-w // smoothness))
    logits = interpolate(coarse, size=(h, w), mode="bilinear")[0]
    present = logits.argmax(0).unique()
    best = interpolate(logits[present][None], size=(height, width), mode="bilinear", align_corners=False)[0].argmax(0)
    assert (label_map(logits, (height, width)) == present[best].numpy()).mean() > 0.999


@pytest.mark.parametrize("size", [(512, 341), (100, 67), (40, 32)])
def test_a_photo_is_made_smaller_as_by_pillow(cat: Image.Image, size: tuple[int, int]) -> None:
    expected = np.asarray(cat.resize(size, Image.Resampling.BILINEAR)).astype(int)
    pixels = resize_photo(cat, size).numpy()
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).mean() < 1
    large = 4 * cat.width // size[0] < 4  # beyond that it is reduced first, which blurs a little
    assert np.abs(pixels - expected).max() <= (1 if large else 40)


def test_no_class_is_invented_between_two_others() -> None:
    logits = torch.tensor([[3.0, 0.0], [2.0, 2.0], [0.0, 3.0]])[:, None, :]  # class 1 would win half-way
    assert set(np.unique(label_map(logits, (4, 40)))) == {0, 2}


def test_mean_confidence_of_a_case_computed_by_hand() -> None:
    logits = torch.tensor([[[0.8, 0.6, 0.3]], [[0.2, 0.4, 0.7]]]).log()
    assert mean_confidence(logits, ("a", "b")) == pytest.approx({"a": 0.7, "b": 0.7})


def test_a_small_working_size_is_quicker_and_coarser(deeplab: Segmenter, cat: Image.Image) -> None:
    assert deeplab(cat, working_size=128).working_size == (129, 81)


def test_other_weights_can_be_loaded(tmp_path: Path, cat: Image.Image) -> None:
    network = registry.build("fcn_mobilenetv2")
    save_state(network, tmp_path / "mine.safetensors")
    torch.save(network.state_dict(), tmp_path / "mine.pt")
    theirs = segmodels.load("fcn_mobilenetv2")(cat).labels
    for file in ("mine.safetensors", "mine.pt"):
        assert (segmodels.load("fcn_mobilenetv2", weights=tmp_path / file)(cat).labels != theirs).mean() > 0.1


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not of unet_mobilenetv2"):
        segmodels.load("unet_mobilenetv2", weights=registry.card("fcn_mobilenetv2").weights_file())
    with pytest.raises(FileNotFoundError, match="missing"):
        segmodels.load("unet_mobilenetv2", weights=tmp_path / "none.safetensors")
    for name in ("bad.safetensors", "bad.pt"):
        (tmp_path / name).write_bytes(b"no weights at all")
        with pytest.raises(ValueError, match="no weights that can be read"):
            segmodels.load("unet_mobilenetv2", weights=tmp_path / name)


PEAKS = """
import json, os, sys
import numpy as np, segmodels
from segmodels.benchmark.growth import peak_gigabytes

def peak(name):
    segmenter = segmodels.load(name)
    segmenter(np.zeros((64, 64, 3), dtype=np.uint8))
    idle = peak_gigabytes()
    photo = np.random.default_rng(0).integers(0, 255, (5000, 8000, 3), dtype=np.uint8)
    assert segmenter(photo).labels.shape == (5000, 8000)
    return peak_gigabytes() - idle

for name in sys.argv[1:]:
    if not (child := os.fork()):
        print(json.dumps([name, peak(name)]), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


TILED = ["unet_nuclei"]
"""Networks that see a picture at its own size: forty megapixels take them two minutes."""


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(
            [name for name in registry.bundled_models() if name not in TILED], id="whole", marks=pytest.mark.slow
        ),
        pytest.param(TILED, id="tiled", marks=pytest.mark.long),
    ],
)
def test_forty_megapixels_stay_within_memory(names: list[str]) -> None:
    """Each network in a process of its own: peak memory over that of the idle process, photo included."""
    done = subprocess.run([sys.executable, "-c", PEAKS, *names], capture_output=True, text=True, check=True)
    peaks = dict(json.loads(line) for line in done.stdout.splitlines())
    assert peaks.keys() == set(names)
    assert max(peaks.values()) < 1.5, peaks  # GB; the float32 logits alone would be 3.4


def test_fcn_without_its_finer_scores_is_fcn_16s_and_32s(cat: Image.Image) -> None:
    fcn = segmodels.load("fcn_mobilenetv2", precision="float32")
    features = fcn.encode(cat)
    with fcn.exclusive() as network, torch.inference_mode():
        assert isinstance(network.decoder, FCNDecoder)
        predictions = network.decoder.all_strides(fcn.feature_maps(features))
    for stride, disabled in ((8, ()), (16, ("score 8",)), (32, ("score 16", "score 8"))):
        result = fcn.decode(features, disabled=disabled)
        logits = predictions[stride][0]
        if stride == 32:  # the fixed interpolation is the same at once and in two steps
            expected = label_map(logits, cat.size[::-1], aligned_size=features.aligned_size)
            assert (result.labels == expected).mean() > 0.995
        assert len(result.notes) == len(disabled)
        assert result.shares["cat"] > 0.2
