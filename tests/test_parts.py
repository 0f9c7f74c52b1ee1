"""Switching a part off against a network built so that what follows the part cannot hear it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import segmodels
from segmodels import Segmenter, zoo
from segmodels.network import SegmentationNetwork
from segmodels.parts import parts, without
from segmodels.unet import he_initialise

from .helpers import randomise_norms

DEEPLABS = ["deeplabv3_lite0", "deeplabv3plus_lite0"]
BRANCHES = ["1x1", "rate r", "rate 2r", "rate 3r", "image pooling"]
SKIPS = ["skip 16", "skip 8", "skip 4", "skip 2"]
SCORES = ["score 16", "score 8"]


def network(name: str) -> SegmentationNetwork:
    torch.manual_seed(0)
    built = zoo.build(name).eval().requires_grad_(False)
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
        width = decoder.aspp.project[0].out_channels
        start = BRANCHES.index(part) * width
        decoder.aspp.project[0].weight[:, start : start + width] = 0
    elif part == "low-level path":
        decoder.refine[0][0][0].weight[128:] = 0
    elif part in SKIPS:
        block = decoder.blocks[SKIPS.index(part)]
        block.convs[0][0].weight[:, block.up.out_channels :] = 0
    else:
        score = getattr(decoder, part.replace(" ", ""))
        nn.init.zeros_(score.weight)
        nn.init.zeros_(score.bias)
    return deaf


CASES = [
    *((name, part) for name in DEEPLABS for part in BRANCHES),
    ("deeplabv3plus_lite0", "low-level path"),
    *(("unet_lite0", part) for part in SKIPS),
    *(("fcn_lite0", part) for part in SCORES),
]


@pytest.mark.parametrize(("name", "part"), CASES)
def test_a_part_that_is_off_equals_weights_that_do_not_read_it(name: str, part: str) -> None:
    built = network(name)
    seen = features(built)
    with without(built, [part]):
        found = built.decode(seen)
    torch.testing.assert_close(found, deafened(built, part).decode(seen), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, built.decode(seen), atol=1e-3)


@pytest.mark.parametrize("name", [*DEEPLABS, "unet_lite0", "fcn_lite0"])
def test_all_parts_can_be_off_at_once(name: str) -> None:
    built = network(name)
    seen, names = features(built), [part for case, part in CASES if case == name]
    assert list(parts(built)) == names
    deaf = built
    for part in names:
        deaf = deafened(deaf, part)
    with without(built, names):
        torch.testing.assert_close(built.decode(seen), deaf.decode(seen), rtol=1e-4, atol=1e-4)


def test_without_branches_and_low_level_features_the_photo_no_longer_matters() -> None:
    built = network("deeplabv3plus_lite0")
    with without(built, [*BRANCHES, "low-level path"]):
        first, second = built.decode(features(built)), built.decode(features(built))
    assert torch.equal(first, second)


@pytest.mark.parametrize("leave", [lambda: None, lambda: (_ for _ in ()).throw(KeyError)])
def test_all_is_as_before_afterwards(leave: Callable[[], None]) -> None:
    built = network("unet_lite0")
    seen = features(built)
    before = built.decode(seen)
    try:
        with without(built, SKIPS):
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
        built = zoo.build(name)
    assert list(parts(built)) == expected


def test_an_unknown_part_is_refused_and_nothing_stays_off() -> None:
    built = network("unet_lite0")
    seen = features(built)
    before = built.decode(seen)
    with pytest.raises(ValueError, match="no part called 'image pooling' here; there are: skip 16, skip 8"):  # noqa: SIM117
        with without(built, ["skip 8", "image pooling"]):
            pass
    assert torch.equal(built.decode(seen), before)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return segmodels.load("deeplabv3plus_lite0", device="cpu", precision="float32")


def test_a_segmenter_does_the_same_with_trained_and_folded_weights(segmenter: Segmenter) -> None:
    """Zeroed behind the ReLU, not before its bias: the folded convolutions have biases."""
    torch.manual_seed(0)
    photo = torch.randint(0, 256, (70, 101, 3), dtype=torch.uint8).numpy()
    seen = segmenter.encode(photo, working_size=128)
    for part in [*BRANCHES, "low-level path"]:
        expected = deafened(segmenter.network, part).decode(list(seen.maps))[0]
        torch.testing.assert_close(segmenter.logits(seen, off=[part]), expected, rtol=1e-4, atol=1e-4)
    full = segmenter.logits(seen)
    assert (full.argmax(0) == segmenter.network.decode(list(seen.maps))[0].argmax(0)).all()


def test_a_segmenter_refuses_an_unknown_part(segmenter: Segmenter) -> None:
    seen = segmenter.encode(torch.zeros(64, 64, 3, dtype=torch.uint8).numpy())
    with pytest.raises(ValueError, match="no part called 'skip 8'"):
        segmenter.logits(seen, off=["skip 8"])
