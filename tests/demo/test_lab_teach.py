"""Teach a class: what strokes from strangers may be, and what the page makes of them."""

import io
import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import segmodels
from demo.components.brush.strokes import LONGEST, Drawn, read
from demo.components.examples import LABELLED, PHOTOS, label_map_of
from demo.lab import teach as page
from demo.server import cache

from ..conftest import EXAMPLES
from ..helpers import at_once

ASTRONAUT = {"path": str(EXAMPLES / "astronaut.jpg")}
CUP = {"path": str(EXAMPLES / "coffee.jpg")}
SIDE = 512
"""Pixels along the astronaut's sides."""


def stroke(class_: int, *points: tuple[float, float], photo: int = 0, size: Any = 0.03) -> dict[str, Any]:
    """A stroke through points in pixels of the astronaut."""
    return {"photo": photo, "class": class_, "size": size, "points": [v / SIDE for point in points for v in point]}


HELMET = [
    stroke(1, (310, 470), (340, 400), (430, 390)),
    stroke(1, (380, 450), (470, 470)),
    stroke(0, (60, 100), (80, 300)),
    stroke(0, (330, 60), (300, 130)),
    stroke(0, (100, 320), (220, 330), (240, 440)),
]
"""Five strokes: two on the helmet, three beside it."""


def text(*strokes: dict[str, Any], classes: tuple[str, ...] = ("background", "helmet")) -> str:
    return json.dumps({"classes": classes, "strokes": strokes})


def show(
    *strokes: dict[str, Any],
    strides: Any = (32, 16, 8),
    backbone: Any = "compact",
    second: Any = None,
    margins: bool = False,
    truth: Any = None,
    photo: Any = ASTRONAUT,
) -> dict[str, Any]:
    return page.show(photo, second, text(*strokes), list(strides), backbone, margins, truth)


def pixels(address: str) -> NDArray[np.uint8]:
    """The values of a palette PNG in an address."""
    return np.asarray(Image.open(io.BytesIO(b64decode(address.partition(",")[2]))))


# --- What strokes may be -----------------------------------------------------------------------------------------------


def test_strokes_are_drawn_where_they_were_painted_and_later_ones_cover_earlier_ones() -> None:
    drawn = read(
        text(
            stroke(0, (0, 256), (511, 256), size=0.1),
            stroke(1, (256, 256), size=0.1),
            stroke(-1, (0, 256), (60, 256), size=0.2),
            stroke(1, (100, 100), photo=1),
        )
    )
    first, second = (drawn.on(photo, (SIDE, SIDE)) for photo in (0, 1))
    assert first[256, 400] == 0
    assert first[256, 256] == 1
    assert first[256, 30] == 255
    assert first[100, 100] == 255
    assert second[100, 100] == 1
    assert (second != 255).sum() == pytest.approx(np.pi * (0.03 * SIDE / 2) ** 2, rel=0.2)
    assert (drawn.on(0, (2 * SIDE, SIDE))[256, 500:520] == 1).all()


def test_a_dot_of_the_smallest_brush_is_a_pixel_at_least() -> None:
    assert (read(text(stroke(1, (100, 100), size=0.001))).on(0, (64, 48)) == 1).any()


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (None, "must arrive as text"),
        ({"strokes": []}, "must arrive as text"),
        ("", "cannot be understood"),
        ("[]", "cannot be understood"),
        ("{}", "cannot be understood"),
        ("[" * 100_000, "cannot be understood"),
        ("x" * (LONGEST + 1), "more strokes than can be sent"),
        (text(classes=("a",)), "2 to 6 classes"),
        (text(classes=tuple("abcdefg")), "2 to 6 classes"),
        (text(classes=("a", "a")), "two classes are called a"),
        (text(classes=("a", "")), "needs a name"),
        (text(classes=("a", "b" * 31)), "needs a name"),
        (text(classes=("a", "b\n")), "needs a name"),
        (json.dumps({"classes": ["a", 5], "strokes": []}), "needs a name"),
        (json.dumps({"classes": ["a", "b"], "strokes": {}}), "cannot be understood"),
        (json.dumps({"classes": ["a", "b"], "strokes": [[]]}), "a stroke cannot be understood"),
        (text(*[stroke(1, (1, 1))] * 301), "more than 300 strokes"),
        (text(*[stroke(1, *[(0, 0)] * 5000)] * 5), "more than 20,000 points"),
        (text(stroke(2, (1, 1))), "the class of a stroke"),
        (text(stroke(-2, (1, 1))), "the class of a stroke"),
        (text(stroke(1, (1, 1), photo=2)), "the photo of a stroke"),
        (text(stroke(1, (1, 1)) | {"class": True}), "the class of a stroke"),
        (text(stroke(1, (1, 1), size=0.3)), "a brush must be"),
        (text(stroke(1, (1, 1), size="0.03")), "a brush must be"),
        (text(stroke(1, (1, 1), size=float("nan"))), "a brush must be"),
        (text(stroke(1)), "two for each"),
        (text(stroke(1, (1, 1)) | {"points": [0.5]}), "two for each"),
        (text(stroke(1, (1, 1)) | {"points": [0.5, "x"]}), "two for each"),
        (text(stroke(1, (1, 1)) | {"points": [0.5, float("inf")]}), "two for each"),
        (text(stroke(1, (1, 1)) | {"points": [10**400, 0]}), "cannot be understood|two for each"),
        (text(stroke(1, (100_000, 1))), "far outside"),
    ],
)
def test_what_the_page_would_not_send_gets_a_sentence(sent: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read(sent)
    if sent:
        answer = page.show(ASTRONAUT, None, sent, [32], "compact", False, None)
        assert re.search(sentence, answer["problem"], re.IGNORECASE)
        assert "masks" not in answer


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"strides": []}, "Choose one stride at least"),
        ({"strides": [7]}, "The strides must be some of"),
        ({"strides": [True]}, "The strides must be some of"),
        ({"strides": [[8]]}, "The strides must be some of"),
        ({"backbone": "resnet"}, "There is no backbone called"),
        ({"backbone": ["compact"]}, "There is no backbone called"),
    ],
)
def test_settings_that_cannot_be_get_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    assert sentence in show(*HELMET, **settings)["problem"]


# --- What comes back ---------------------------------------------------------------------------------------------------


def test_five_strokes_find_the_helmet() -> None:
    answer = show(*HELMET)
    labels = pixels(answer["flat"])
    assert labels.shape == (SIDE, SIDE)
    assert (labels[400:500, 320:460] == 1).mean() > 0.95
    assert (labels[:300] == 0).mean() > 0.95
    assert (pixels(answer["masks"][0]) == labels).all()
    for words in ("5 strokes", "of background", "of helmet", "iterations", "training accuracy"):
        assert words in answer["facts"]


def test_the_same_layer_runs_on_a_second_photo_and_strokes_there_are_learned() -> None:
    alone, other = (pixels(mask) for mask in show(*HELMET, second=CUP)["masks"])
    assert alone.shape != other.shape
    more = show(*HELMET, stroke(1, (240, 200), (300, 210), photo=1), second=CUP)
    assert "6 strokes" in more["facts"]
    learned = pixels(more["masks"][1])
    height, width = learned.shape
    assert (learned[int(height * 0.4), int(width * 0.5)]) == 1
    assert (learned == 1).sum() > (other == 1).sum()


@pytest.mark.parametrize("backbone", page.BACKBONES)
def test_every_backbone_at_every_stride_answers(backbone: str) -> None:
    for strides in ((32,), (16,), (8,), (4,), page.STRIDES):
        answer = show(*HELMET, strides=strides, backbone=backbone)
        assert answer["problem"] == ""
        assert pixels(answer["flat"]).shape == (SIDE, SIDE)


def test_one_class_alone_has_the_whole_photo_and_it_is_said_why() -> None:
    answer = show(*HELMET[:2])
    assert (pixels(answer["flat"]) == 1).all()
    assert "until another class is painted" in answer["facts"]
    assert "until another class is painted" not in show(*HELMET)["facts"]


def test_a_margin_map_in_place_of_the_label_map() -> None:
    answer = show(*HELMET, margins=True)
    assert "undecided" in answer["shows"]
    assert len(np.unique(pixels(answer["flat"]))) > 50


def test_a_label_map_scores_the_layer(tmp_path: Path) -> None:
    labels = pixels(show(*HELMET)["flat"])
    Image.fromarray(labels).save(tmp_path / "truth.png")
    assert show(*HELMET, truth={"path": str(tmp_path / "truth.png")})["score"] == 1
    Image.fromarray(1 - labels).save(tmp_path / "wrong.png")
    assert show(*HELMET, truth={"path": str(tmp_path / "wrong.png")})["score"] == 0
    Image.fromarray(labels[:100]).save(tmp_path / "other.png")
    answer = show(*HELMET, truth={"path": str(tmp_path / "other.png")})
    assert "another photo" in answer["problem"]
    assert answer["score"] is None
    Image.fromarray(labels + np.uint8(7)).save(tmp_path / "strange.png")
    assert "classes go from 0 to 1" in show(*HELMET, truth={"path": str(tmp_path / "strange.png")})["problem"]


@pytest.mark.parametrize("name", LABELLED)
def test_an_example_s_label_map_is_of_its_size_and_knows_where_it_cannot_tell(name: str) -> None:
    with Image.open(PHOTOS[name]) as photo, Image.open(label_map_of(name)) as labels:
        assert labels.size == photo.size
        assert np.unique(np.asarray(labels)).tolist() == [0, 1, 255]
    assert LABELLED[name] in json.loads((EXAMPLES / "credits.json").read_text())[f"{name}.jpg"]


def test_the_class_of_an_example_s_own_label_map_is_scored() -> None:
    truth = np.asarray(Image.open(EXAMPLES / "astronaut_labels.png"))
    answer = show(*HELMET)
    found, there, known = pixels(answer["flat"]) == 1, truth == 1, truth != 255
    iou = (found & there).sum() / ((found | there) & known).sum()
    assert answer["score"] == pytest.approx(iou)
    assert iou > 0.8
    assert answer["measure"] == "IoU of helmet"
    assert page.photos(ASTRONAUT, {"path": str(EXAMPLES / "cat.jpg")})["photos"][0]["named"] == "helmet"


def test_a_class_by_another_name_a_photo_without_a_label_map_and_an_uploaded_one(tmp_path: Path) -> None:
    strokes = text(*HELMET, classes=("background", "visor"))
    assert page.show(ASTRONAUT, None, strokes, [32], "compact", False, None)["score"] is None
    assert show(*HELMET, photo={"path": str(EXAMPLES / "cat.jpg")})["score"] is None
    # As the third of three classes it is found too; what is called helmet counts, whatever its number.
    turned = text(*(one | {"class": 2 * one["class"]} for one in HELMET), classes=("background", "suit", "helmet"))
    assert page.show(ASTRONAUT, None, turned, [32, 16, 8], "compact", False, None)["score"] == pytest.approx(
        show(*HELMET)["score"], abs=0.02
    )
    Image.fromarray(np.zeros((SIDE, SIDE), dtype=np.uint8)).save(tmp_path / "truth.png")
    uploaded = show(*HELMET, truth={"path": str(tmp_path / "truth.png")})
    assert uploaded["measure"] == "mIoU"
    assert uploaded["score"] == pytest.approx((pixels(uploaded["flat"]) == 0).mean())


def test_nothing_to_fit_is_no_mistake_and_a_broken_photo_is_a_sentence(tmp_path: Path) -> None:
    assert show() == {}
    assert page.show(None, None, text(*HELMET), [32], "compact", False, None) == {}
    assert page.show(ASTRONAUT, None, None, [32], "compact", False, None) == {}
    (tmp_path / "broken.jpg").write_text("not a photo")
    broken = {"path": str(tmp_path / "broken.jpg")}
    assert "not a photo" in show(*HELMET, photo=broken)["problem"]
    assert "not a photo" in page.photos(broken, None)["problem"]
    assert page.photos(None, None) == {"photos": [None, None]}
    # All that was painted was erased again.
    assert "nothing was painted" in show(HELMET[0], HELMET[0] | {"class": -1, "size": 0.2})["problem"].lower()


def test_names_are_shown_as_text() -> None:
    sent = text(*HELMET, classes=("<b>x</b>", "<img src=x>"))
    facts = page.show(ASTRONAUT, None, sent, [32], "compact", False, None)["facts"]
    assert "<img" not in facts
    assert "&lt;img" in facts


def test_downloads_are_the_label_map_at_the_photo_s_size_and_a_network(tmp_path: Path, astronaut: Image.Image) -> None:
    large = tmp_path / "large.png"
    astronaut.resize((1500, 1500)).save(large)
    settings = (text(*HELMET), [32, 16, 8], "compact", None)
    page.write_labels(str(large), tmp_path / "labels.png", *settings)
    labels = np.asarray(Image.open(tmp_path / "labels.png"))
    assert labels.shape == (1500, 1500)
    page.write_layer(str(large), tmp_path / "layer.safetensors", *settings)
    again = segmodels.load(tmp_path / "layer.safetensors")
    assert again.card.classes == ("background", "helmet")
    assert (again(Image.open(large)).labels == labels).mean() > 0.995
    with pytest.raises(ValueError, match="nothing was painted"):
        page.write_layer(str(large), tmp_path / "layer.safetensors", None, [32], "compact", None)


def test_eight_visitors_at_once_see_only_their_own() -> None:
    found: dict[int, tuple[str, NDArray[np.uint8]]] = {}

    def visit(visitor: int) -> None:
        strokes = [one | {"class": (one["class"] + visitor) % 2} for one in HELMET]
        answer = page.show(
            ASTRONAUT, None, text(*strokes, classes=(f"a{visitor}", f"b{visitor}")), [32, 16], "compact", False, None
        )
        found[visitor] = answer["facts"], pixels(answer["flat"])

    at_once(visit, 8)
    for visitor in range(8):
        facts, labels = found[visitor]
        assert set(re.findall(r"\b[ab](\d)\b", facts)) == {str(visitor)}
        assert (labels == found[visitor % 2][1]).all()
        assert labels[450, 400] == (1 + visitor) % 2


def test_the_first_visitors_who_choose_random_weights_at_once_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the features that one leaves behind would be another network's to all who come later."""
    monkeypatch.setattr(cache, "_untrained", cache.LRUCache(1))
    monkeypatch.setattr(page, "_features", cache.LRUCache(2))
    answers: list[dict[str, Any]] = []
    at_once(lambda _: answers.append(show(*HELMET, backbone="random")), 3)
    assert [answer["problem"] for answer in answers] == [""] * 3
    assert len({answer["flat"] for answer in answers}) == 1


def test_strokes_of_a_photo_that_is_not_there_are_left_out() -> None:
    drawn = Drawn(("a", "b"), read(text(stroke(1, (5, 5), photo=1))).strokes)
    assert (drawn.on(0, (64, 64)) == 255).all()
