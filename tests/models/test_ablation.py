"""Switching a part off against a network built so that what follows the part cannot hear it."""

import copy
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import segmodels
from demo.lab import ablation as page
from demo.server import cache
from segmodels import Segmenter, read_photo
from segmodels.inference.label_map import label_map
from segmodels.inference.pictures import label_image
from segmodels.label_files import read_label_map
from segmodels.models import registry
from segmodels.models.ablation import disabled_parts, parts
from segmodels.models.base import SegmentationNetwork
from segmodels.models.heads import ASPP
from segmodels.models.unet import he_initialise

from ..conftest import EXAMPLES
from ..helpers import randomise_norms, shown

CAT = str(EXAMPLES / "cat.jpg")

DEEPLABS = ["deeplabv3_mobilenetv2", "deeplabv3plus_mobilenetv2"]
BRANCHES = ["1x1", "rate r", "rate 2r", "rate 3r", "image pooling"]
HEAD = ["1x1", "image pooling"]
"""An ASPP without atrous branches, as MobileNet v2's paper has it (section 6.3)."""
SKIPS = ["skip 16", "skip 8", "skip 4", "skip 2"]
SCORES = ["score 16", "score 8"]


def network(name: str) -> SegmentationNetwork:
    torch.manual_seed(0)
    built = registry.build(name).eval().requires_grad_(False)
    he_initialise(built)  # so that no signal fades on its way
    randomise_norms(built)
    return built


def features(built: SegmentationNetwork) -> list[Tensor]:
    """Maps of the right shapes, with numbers large enough for every part to matter."""
    return [torch.randn_like(map_) for map_ in built.encode(torch.randn(1, 3, 70, 101))]


def deafened(built: SegmentationNetwork, part: str) -> SegmentationNetwork:
    """A copy in which the weights that read ``part`` are zero, as a reader of the papers would find them."""
    deaf = copy.deepcopy(built)
    decoder: Any = deaf.decoder
    if part in BRANCHES:
        (aspp,) = (module for module in decoder.modules() if isinstance(module, ASPP))
        given = [[conv for conv in branch.modules() if isinstance(conv, nn.Conv2d)][-1] for branch in aspp.convs]
        widths = [conv.out_channels for conv in given]
        place = (HEAD if len(widths) == len(HEAD) else BRANCHES).index(part)
        start = sum(widths[:place])
        project: Any = aspp.project[0]
        project.weight[:, start : start + widths[place]] = 0
    elif part == "low-level path":
        decoder.refine[0][0][0].weight[-decoder.LOW_LEVEL_WIDTH :] = 0
    elif part in SKIPS:
        block = decoder.blocks[SKIPS.index(part)]
        block.convs[0][0].weight[:, block.up.out_channels :] = 0
    else:
        score = decoder.skip_scores[part.removeprefix("score ")][-1]
        nn.init.zeros_(score.weight)
        nn.init.zeros_(score.bias)
    return deaf


CASES = [
    *((name, part) for name in DEEPLABS for part in BRANCHES),
    ("deeplabv3plus_mobilenetv2", "low-level path"),
    *(("deeplabv3_mobilenetv2_google", part) for part in HEAD),
    *(("unet_mobilenetv2", part) for part in HEAD + SKIPS),
    *(("fcn_mobilenetv2", part) for part in HEAD + SCORES),
]


@pytest.mark.parametrize(("name", "part"), CASES)
def test_a_part_that_is_off_equals_weights_that_do_not_read_it(name: str, part: str) -> None:
    built = network(name)
    seen = features(built)
    with disabled_parts(built, [part]):
        found = built.decode(seen)
    torch.testing.assert_close(found, deafened(built, part).decode(seen), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, built.decode(seen), atol=1e-3)


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in CASES))
def test_all_parts_can_be_off_at_once(name: str) -> None:
    built = network(name)
    seen, names = features(built), [part for case, part in CASES if case == name]
    assert list(parts(built)) == names
    deaf = built
    for part in names:
        deaf = deafened(deaf, part)
    with disabled_parts(built, names):
        torch.testing.assert_close(built.decode(seen), deaf.decode(seen), rtol=1e-4, atol=1e-4)


def test_without_branches_and_low_level_features_the_photo_no_longer_matters() -> None:
    built = network("deeplabv3plus_mobilenetv2")
    with disabled_parts(built, [*BRANCHES, "low-level path"]):
        first, second = built.decode(features(built)), built.decode(features(built))
    assert torch.equal(first, second)


@pytest.mark.parametrize("leave", [lambda: None, lambda: (_ for _ in ()).throw(KeyError)])
def test_all_is_as_before_afterwards(leave: Callable[[], None]) -> None:
    built = network("unet_mobilenetv2")
    seen = features(built)
    before = built.decode(seen)
    try:
        with disabled_parts(built, SKIPS):
            leave()
    except KeyError:
        pass
    assert torch.equal(built.decode(seen), before)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unet", ["skip 8", "skip 4", "skip 2", "skip 1"]),
        ("fcn32s_vgg16", []),
        ("fcn16s_vgg16", ["score 16"]),
        ("fcn_resnet50", []),
        ("deeplabv3_resnet50", BRANCHES),
    ],
)
def test_other_networks_have_the_parts_that_their_papers_draw(name: str, expected: list[str]) -> None:
    with torch.device("meta"):
        built = registry.build(name)
    assert list(parts(built)) == expected


def test_an_unknown_part_is_refused_and_nothing_stays_off() -> None:
    built = network("unet_mobilenetv2")
    seen = features(built)
    before = built.decode(seen)
    with pytest.raises(ValueError, match="no part called 'rate r' here; there are: 1x1, image pooling, skip 16"):  # noqa: SIM117
        with disabled_parts(built, ["skip 8", "rate r"]):
            pass
    assert torch.equal(built.decode(seen), before)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return segmodels.load("deeplabv3plus_mobilenetv2", device="cpu", precision="float32")


def test_a_segmenter_does_the_same_with_trained_and_folded_weights(segmenter: Segmenter) -> None:
    """Zeroed behind the ReLU, not before its bias: the folded convolutions have biases."""
    torch.manual_seed(0)
    photo = torch.randint(0, 256, (70, 101, 3), dtype=torch.uint8).numpy()
    seen = segmenter.encode(photo, working_size=128)
    for part in [*BRANCHES, "low-level path"]:
        with segmenter.exclusive() as network, torch.inference_mode():
            expected = deafened(network, part).decode(list(seen.maps))[0]
        torch.testing.assert_close(segmenter.logits(seen, disabled=[part]), expected, rtol=1e-4, atol=1e-4)
    with segmenter.exclusive() as network, torch.inference_mode():
        full = network.decode(list(seen.maps))[0]
    assert (segmenter.logits(seen).argmax(0) == full.argmax(0)).all()


def test_a_segmenter_refuses_an_unknown_part(segmenter: Segmenter) -> None:
    seen = segmenter.encode(torch.zeros(64, 64, 3, dtype=torch.uint8).numpy())
    with pytest.raises(ValueError, match="no part called 'skip 8'"):
        segmenter.logits(seen, disabled=["skip 8"])


def test_the_page_s_label_map_without_a_part_is_the_segmenter_s() -> None:
    card = registry.card("deeplabv3plus_mobilenetv2")
    usual = cache.segmenter(card.name)
    seen = usual.encode(read_photo(CAT).image)
    for off in ([], ["1x1"], ["low-level path", "rate r"]):
        logits = usual.logits(seen, disabled=off)
        expected = label_map(logits, (300, 451), aligned_size=seen.aligned_size)
        assert (page.labels_without(CAT, card, off, (451, 300)) == expected).all()


def test_the_full_network_is_what_the_segment_tab_shows() -> None:
    for name in registry.bundled_models():
        expected = cache.segmenter(name)(read_photo(CAT).image).labels
        assert (page.labels_without(CAT, registry.card(name), [], (451, 300)) == expected).all()


def test_an_fcn_s_own_predictions_are_those_of_its_decoder_built_for_that_stride(astronaut: Image.Image) -> None:
    segmenter = segmodels.load("fcn_mobilenetv2")
    features = segmenter.encode(astronaut)
    path, card = str(EXAMPLES / "astronaut.jpg"), registry.card("fcn_mobilenetv2")
    found = page.fcn_predictions(path, card, (512, 512))
    assert list(found) == ["FCN-32s", "FCN-16s"]
    with segmenter.exclusive() as network:
        decoder: Any = network.decoder
    for strides in ((32, 16), (32,)):
        decoder.strides, decoder.levels = strides, decoder.levels[: len(strides)]
        assert (segmenter.decode(features).labels == found[f"FCN-{strides[-1]}s"]).mean() > 0.999
    assert page.fcn_predictions(path, registry.card("unet_mobilenetv2"), (512, 512)) == {}


def test_the_page_says_what_is_zero_and_what_changes() -> None:
    names = list(page._parts(registry.card("unet_mobilenetv2")))
    said = "".join(
        shown(page.show, {"path": CAT}, "unet_mobilenetv2", [name for name in names if name != "skip 8"], None).values()
    )
    full, rest = (
        page.labels_without(CAT, registry.card("unet_mobilenetv2"), off, (451, 300)) for off in ([], ["skip 8"])
    )
    assert "Without skip at stride 8" in said
    assert "features at stride 8, as they enter the concatenation" in said
    assert f"{(full != rest).mean():.1%} of the pixels change" in said
    assert "All parts are on" in "".join(shown(page.show, {"path": CAT}, "unet_mobilenetv2", names, None).values())
    only_pooling = [name for name in names if name != "1x1"]
    said = "".join(shown(page.show, {"path": CAT}, "unet_mobilenetv2", only_pooling, None).values())
    assert "the head's 1x1 convolution" in unescape(said)  # there is no ASPP
    overview = page.show_each(CAT, "fcn_mobilenetv2", None)
    assert all(name in overview for name in ("without scores at stride 8", "FCN-32s", "FCN-16s"))


def save_labels(file: Path, labels: np.ndarray, mode: str = "P") -> dict[str, str]:
    image = Image.fromarray(labels)
    if mode == "P":
        image = label_image(labels)
    elif mode != image.mode:
        image = image.convert(mode)
    image.save(file)
    return {"path": str(file)}


@pytest.mark.parametrize("mode", ["P", "L"])
def test_the_photo_s_own_label_map_gives_the_miou(tmp_path: Path, mode: str) -> None:
    """Half of the photo is truly cat, the rest void: the IoU of cat is the share of that half that was found to be cat, and
    each other class that is found there counts as 0."""
    truth = np.full((300, 451), 255, dtype=np.uint8)
    truth[:, :200] = 8
    upload = save_labels(tmp_path / "truth.png", truth, mode)
    names = list(page._parts(registry.card("fcn_mobilenetv2")))
    said = "".join(shown(page.show, {"path": CAT}, "fcn_mobilenetv2", names, upload).values())
    labels = page.labels_without(CAT, registry.card("fcn_mobilenetv2"), [], (451, 300))
    miou = (labels[:, :200] == 8).mean() / len(np.union1d(labels[:, :200], 8))
    assert f"Full network: mIoU {miou:.3f}" in said
    assert "mIoU" in page.show_each(CAT, "fcn_mobilenetv2", upload)


def test_a_smaller_label_map_of_the_same_shape_is_brought_to_size(tmp_path: Path) -> None:
    upload = save_labels(tmp_path / "small.png", np.full((150, 226), 8, dtype=np.uint8))
    truth = page.read_truth(upload, (451, 300), (451, 300), 21)
    assert truth.labels is not None
    assert truth.labels.shape == (300, 451)
    assert (truth.labels == 8).all()


@pytest.mark.parametrize(
    ("labels", "mode", "sentence"),
    [
        (np.full((300, 451), 21, dtype=np.uint8), "P", "has the value 21"),
        (np.zeros((300, 451), dtype=np.uint8), "RGB", "saved in colours"),
        (np.full((300, 451), 300, dtype=np.uint16), "I;16", "has the value 300"),
        (np.zeros((451, 300), dtype=np.uint8), "P", "another photo"),
        (np.full((300, 451), 255, dtype=np.uint8), "L", "nothing to score"),
    ],
)
def test_a_wrong_label_map_is_answered_with_a_sentence_beside_the_pictures(
    tmp_path: Path, labels: np.ndarray, mode: str, sentence: str
) -> None:
    said = "".join(
        shown(
            page.show, {"path": CAT}, "fcn_mobilenetv2", [], save_labels(tmp_path / "truth.png", labels, mode)
        ).values()
    )
    assert sentence in said
    assert "Full network" in said
    assert "mIoU" not in said


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n broken"])
def test_a_label_map_that_is_no_png_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "truth.png").write_bytes(content)
    with pytest.raises(ValueError, match="no PNG that can be read"):
        read_label_map(tmp_path / "truth.png")


@pytest.mark.parametrize(
    ("model", "on", "sentence"),
    [
        ("none", [], "There is no model"),
        ("unet", [], "cannot be taken apart here"),
        ("unet_mobilenetv2", "skip 8", "must be a list of names"),
        ("unet_mobilenetv2", [["skip 8"]], "must be a list of names"),
        ("unet_mobilenetv2", None, "must be a list of names"),
    ],
)
def test_wrong_choices_are_answered_with_a_sentence(model: Any, on: Any, sentence: str) -> None:
    assert sentence in "".join(shown(page.show, {"path": CAT}, model, on, None).values())
