"""What is said of the example photos, by the bundled networks: every question has its answer in the pictures."""

import json
import re
from collections.abc import Callable
from functools import cache

import gradio as gr
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from demo import launch_options
from demo.components.examples import CELLS, FIRST, OFFERED, PHOTOS, label_map_of
from demo.components.markup import readable
from demo.lessons import any_size
from segmodels import Segmenter, load
from segmodels.labels import VOC_CLASSES
from segmodels.models.registry import COMPACT
from tools.measure.examples import Looked, shown

FCN, UNET, V3, V3PLUS = COMPACT
Labels = NDArray[np.uint8]


@cache
def segmenters() -> dict[str, Segmenter]:
    return {name: load(name, device="cpu") for name in COMPACT}


@cache
def looked(photo: str) -> Looked:
    return Looked(shown(PHOTOS[photo]), segmenters())


def share(labels: Labels, name: str) -> float:
    return float((labels == VOC_CLASSES.index(name)).mean())


def shares(photo: str, name: str) -> list[float]:
    """The part of the photo that FCN, U-Net, v3 and v3+ give to a class."""
    return [share(looked(photo).labels(model), name) for model in COMPACT]


def moved(photo: str, rate: int) -> float:
    """The least part of a photo that a DeepLab labels otherwise at another rate."""
    found = looked(photo)
    return min(float((found.labels(model) != found.labels(model, rate)).mean()) for model in (V3, V3PLUS))


def legs() -> float:
    """How much of the dogs FCN's skips change."""
    whole, coarse = (looked("dogs").labels(FCN, off=off) for off in ((), ("score 16", "score 8")))
    return float((whole != coarse).mean()) / share(whole, "dog")


def on_the_cup(model: str, name: str) -> float:
    labels = looked("coffee").labels(model)
    cup = np.asarray(Image.open(label_map_of("coffee")).resize(labels.shape[::-1], Image.Resampling.NEAREST)) == 1
    return share(labels[cup], name)


def differ(photo: str, one: str, other: str) -> float:
    return float((looked(photo).labels(one) != looked(photo).labels(other)).mean())


ANSWERS: dict[str, Callable[[], bool]] = {
    "raft": lambda: (
        min(shares("raft", "boat") + shares("raft", "person")) > 0.05 and differ("raft", FCN, V3PLUS) > 0.05
    ),
    "rider": lambda: min(shares("rider", "horse")) > 0.1 and min(shares("rider", "person")) > 0.015,
    "hug": lambda: np.ptp(shares("hug", "dog")) > 0.01 and min(shares("hug", "person")) > 0.1,
    "motorbikes": lambda: (
        max(shares("motorbikes", "bicycle")[:2]) < 0.01 < 0.1 < min(shares("motorbikes", "bicycle")[2:])
    ),
    "boats": lambda: min(moved("boats", 1), moved("boats", 24)) > 0.1,
    "bear": lambda: min(shares("bear", "dog")[2:]) > 2 * max(shares("bear", "dog")[:2]),
    "dogs": lambda: legs() > 0.05,
    "parrots": lambda: min(shares("parrots", "bird")) > 0.4 and differ("parrots", UNET, V3PLUS) > 0.03,
    "coffee": lambda: min(on_the_cup(model, "diningtable") for model in COMPACT) > 0.5,
    "cat": lambda: np.ptp(shares("cat", "cat")) > 0.05,
}
"""By photo: whether what its question asks for can be seen."""


def test_every_question_is_checked() -> None:
    assert ANSWERS.keys() == OFFERED.keys()


@pytest.mark.parametrize("photo", OFFERED)
def test_the_question_of_an_example_has_an_answer(photo: str) -> None:
    assert ANSWERS[photo]()


def test_the_nuclei_are_counted() -> None:
    """As many as people numbered, within a tenth."""
    assert CELLS.keys() <= PHOTOS.keys()
    numbers = np.asarray(Image.open(PHOTOS["nuclei"].with_name("nuclei_instances.png")))
    there = len(np.unique(numbers)) - 1
    found = len(load("unet_nuclei", device="cpu")(Image.open(PHOTOS["nuclei"])).instances)
    assert abs(found - there) < 0.1 * there


@pytest.mark.parametrize("photo", OFFERED)
def test_the_first_lessons_classifier_says_what_every_network_finds(photo: str) -> None:
    (said,) = re.findall(r"the classifier says ([A-Za-z ]+)", any_size.draw(str(PHOTOS[photo]), 224))
    (name,) = (name for name in VOC_CLASSES if said.startswith(readable(name)))
    assert min(shares(photo, name)) > 0.01


def test_the_crf_tears_the_sail_where_it_has_the_skys_colour() -> None:
    """What lesson 9 shows as the place where the CRF hurts."""
    whole = Looked(looked("boats").photo, segmenters(), crf=False).labels(V3)
    torn = looked("boats").labels(V3)
    height, width = whole.shape
    sail = slice(round(0.28 * height), round(0.42 * height)), slice(round(0.54 * width), round(0.8 * width))
    assert share(whole[sail], "boat") - share(torn[sail], "boat") > 0.02


def test_on_the_first_photo_every_comparison_is_seen() -> None:
    """Networks, rates, strides and parts: ``python -m tools.measure.examples`` chose it."""
    first = looked(FIRST.removesuffix(".jpg"))
    assert first.same_classes()
    assert min(first.changes().values()) > 0.015


def test_the_page_carries_each_picture_once(blocks: gr.Blocks) -> None:
    assert launch_options()["head"].count("data:image/webp") == len(OFFERED | CELLS)
    components = json.dumps(blocks.get_config_file()["components"])
    assert re.findall("data:image/(?:webp|jpeg)", components) == []
