"""Several visitors, one network: nobody sees what another chose, and nobody reaches the network outside of a turn."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import segmodels
from demo.lessons import any_size, aspp, skips
from demo.server import cache
from segmodels import Segmenter
from segmodels.models import registry
from segmodels.models.ablation import parts

from ..conftest import EXAMPLES

CAT = str(EXAMPLES / "cat.jpg")
ROOT = Path(__file__).resolve().parents[2]


def meanwhile(disturb: Callable[[], object], look: Callable[[], object]) -> None:
    """Run ``look`` while another thread runs ``disturb`` again and again."""
    stop = threading.Event()

    def keep_disturbing() -> None:
        while not stop.is_set():
            disturb()

    with ThreadPoolExecutor(1) as pool:
        disturbing = pool.submit(keep_disturbing)
        try:
            look()
        finally:
            stop.set()
        disturbing.result()


def everything_off(model: str) -> Callable[[], object]:
    """What the Lab does while a visitor has unticked all parts, at another rate where there is one."""
    segmenter, features = cache.segmenter(model), cache.features(CAT, model, None)
    rate = None if segmenter.card.atrous_rate is None else 2
    names = list(parts(registry.build_meta(model)))
    return lambda: segmenter.logits(features, rate, disabled=names)


def test_lesson_3_shows_the_whole_network_while_the_lab_switches_its_parts_off() -> None:
    alone = skips.predictions(CAT)

    def look() -> None:
        for _ in range(40):
            for stride, logits in skips.predictions(CAT).items():
                assert torch.equal(logits, alone[stride])

    meanwhile(everything_off(skips.MODEL), look)


def test_lesson_7_shows_the_whole_network_at_its_own_rate_while_the_lab_switches_its_parts_off() -> None:
    rates = (1, 3, 6, 9)
    alone = {rate: aspp.run(CAT, rate) for rate in rates}

    def look() -> None:
        for rate in rates * 5:
            maps, logits = aspp.run(CAT, rate)
            assert torch.equal(logits, alone[rate][1])
            assert all(map(torch.equal, maps, alone[rate][0]))

    meanwhile(everything_off(aspp.MODEL), look)


def test_lesson_1_reads_the_whole_network_while_the_lab_switches_its_parts_off() -> None:
    alone = any_size.last_map(CAT, 192)

    def look() -> None:
        for _ in range(5):
            cache.LRUCache.__init__(any_size._maps, 1)  # forget, so that it is computed again
            assert torch.equal(any_size.last_map(CAT, 192), alone)

    meanwhile(everything_off(any_size.MODEL), look)


def test_nobody_reaches_a_network_but_by_a_turn() -> None:
    sources = [file for folder in ("demo", "segmodels", "tools") for file in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 50
    reaching = [file.name for file in sources if re.search(r"\._network\b", file.read_text(encoding="utf-8"))]
    assert reaching == ["segmenter.py"]


@pytest.fixture(scope="module")
def deeplab() -> Segmenter:
    return segmodels.load(registry.DEFAULT_MODEL, device="cpu", precision="float32")


def test_a_thread_that_holds_the_network_is_refused_instead_of_waiting_for_itself(deeplab: Segmenter) -> None:
    with deeplab.exclusive(), pytest.raises(RuntimeError, match="already holds"):
        deeplab(np.zeros((64, 64, 3), dtype=np.uint8))
    assert deeplab(np.zeros((64, 64, 3), dtype=np.uint8)).shares


def test_a_failure_inside_leaves_the_network_whole_and_free(deeplab: Segmenter) -> None:
    features = deeplab.encode(np.full((64, 96, 3), 90, dtype=np.uint8))
    before = deeplab.logits(features)
    with pytest.raises(ZeroDivisionError), deeplab.exclusive(3, 16, ["1x1"]):
        1 / 0  # noqa: B018
    assert torch.equal(deeplab.logits(features), before)


def test_features_are_decoded_by_their_own_network_alone() -> None:
    """Two DeepLabs whose features have the same shapes, one of them with weights of its own."""
    first = segmodels.load(registry.DEFAULT_MODEL, device="cpu")
    second = Segmenter(registry.build(registry.DEFAULT_MODEL), first.card, "cpu", first.precision)
    photo = np.full((64, 96, 3), 90, dtype=np.uint8)
    features = first.encode(photo)
    assert [map_.shape for map_ in features.maps] == [map_.shape for map_ in second.encode(photo).maps]
    for decode in (second.decode, second.logits, second.feature_maps):
        with pytest.raises(ValueError, match="features are another network's"):
            decode(features)
    again = segmodels.load(first.card.name, device="cpu")  # loaded anew, it is the same network
    assert (again.decode(features).labels == first.decode(features).labels).all()


def test_two_segmenters_of_one_network_leave_it_and_each_other_alone() -> None:
    torch.manual_seed(0)
    card = registry.card("unet_resnet18")  # with batch norms to be folded
    network = registry.build(card.name)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    photo = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    first = Segmenter(network, card, "cpu", "float32")
    expected = first.logits(first.encode(photo))
    second = Segmenter(network, card, "cpu", "bfloat16")
    assert torch.equal(first.logits(first.encode(photo)), expected)
    assert second.precision == "bfloat16"
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.slow
def test_a_channels_last_network_can_be_taken_in_any_precision() -> None:
    card = registry.card(registry.DEFAULT_MODEL)
    network = registry.build(card.name).to(memory_format=torch.channels_last)
    for precision in ("float32", "bfloat16"):
        assert Segmenter(network, card, "cpu", precision)(np.zeros((64, 64, 3), dtype=np.uint8)).shares
