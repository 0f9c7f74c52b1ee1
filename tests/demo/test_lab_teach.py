"""Teach a class: what strokes from strangers may be, and what the page makes of them."""

import io
import itertools
import json
import re
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import segmodels
from demo.components.brush.painting import MAX_BYTES
from demo.components.brush.painting import read as read_painting
from demo.components.examples import LABELLED, PHOTOS, label_map_of
from demo.lab import teach as page
from demo.server import cache
from demo.server.messages import error_message

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


def painting(
    *strokes: dict[str, Any], classes: tuple[str, ...] = ("background", "helmet"), photos: Sequence[Any] = (ASTRONAUT,)
) -> dict[str, Any]:
    """What the page sends of strokes: the label map of each photo that they make, as runs."""
    maps = []
    for number, photo in enumerate(photos):
        width, height = cache.display(photo["path"]).photo.size
        image = Image.new("L", (width, height), 255)
        pen = ImageDraw.Draw(image)
        for one in strokes:
            if one["photo"] == number:
                places = [(x * width, y * height) for x, y in zip(one["points"][::2], one["points"][1::2], strict=True)]
                brush, value = round(one["size"] * max(width, height)), one["class"] % 256
                pen.line(places, fill=value, width=brush, joint="curve")
                for x, y in (places[0], places[-1]):
                    pen.ellipse((x - brush / 2, y - brush / 2, x + brush / 2, y + brush / 2), fill=value)
        maps.append({"photo": photo["path"], "runs": runs(np.asarray(image))})
    return {"classes": list(classes), "strokes": len(strokes), "maps": maps}


def runs(labels: NDArray[np.uint8]) -> list[int]:
    """A label map as label, length, label, length and so on."""
    return [part for label, group in itertools.groupby(labels.ravel().tolist()) for part in (label, len(list(group)))]


def ask(*values: Any) -> dict[str, Any]:
    """What the page is answered, or the problem that it is told."""
    try:
        return page.show({"values": list(values), "step": 0})
    except (ValueError, OSError) as error:
        return {"problem": error_message(error)}


def show(
    *strokes: dict[str, Any],
    strides: Any = (32, 16, 8),
    backbone: Any = "compact",
    second: Any = None,
    margins: bool = False,
    truth: Any = None,
    photo: Any = ASTRONAUT,
    classes: tuple[str, ...] = ("background", "helmet"),
    crf: Any = False,
) -> dict[str, Any]:
    photos = [one for one in (photo, second) if one]
    painted = painting(*strokes, classes=classes, photos=photos)
    return ask(photo, second, list(strides), backbone, margins, truth, crf, painted)


def pixels(address: str) -> NDArray[np.uint8]:
    """The values of a palette PNG in an address."""
    return np.asarray(Image.open(io.BytesIO(b64decode(address.partition(",")[2]))))


# --- What a painting may be --------------------------------------------------------------------------------------------


def test_a_painting_is_the_label_map_that_was_sent() -> None:
    labels = np.random.default_rng(0).choice(np.array([0, 1, 255], dtype=np.uint8), (48, 64))
    sent = {"classes": ["a", "b"], "strokes": 3, "maps": [{"photo": "first", "runs": runs(labels)}]}
    for form in (sent, json.dumps(sent)):
        read = read_painting(form)
        np.testing.assert_array_equal(read.on("first", (64, 48)), labels)
        assert (read.on("another", (64, 48)) == 255).all()
        assert (read.classes, read.strokes) == (("a", "b"), 3)
    with pytest.raises(ValueError, match="does not fit the photo"):
        read_painting(sent).on("first", (64, 49))


GOOD = {"classes": ["a", "b"], "strokes": 1, "maps": [{"photo": "p", "runs": [255, 10]}]}


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (None, "cannot be understood"),
        ("", "cannot be understood"),
        ([], "cannot be understood"),
        ("{}", "cannot be understood"),
        ("[" * 100_000, "cannot be understood"),
        ("x" * (MAX_BYTES + 1), "cannot be understood"),
        (GOOD | {"classes": ["a"]}, "2 to 6 classes"),
        (GOOD | {"classes": list("abcdefg")}, "2 to 6 classes"),
        (GOOD | {"classes": ["a", "a"]}, "two classes are called a"),
        (GOOD | {"classes": ["a", ""]}, "needs a name"),
        (GOOD | {"classes": ["a", "b" * 31]}, "needs a name"),
        (GOOD | {"classes": ["a", "b\n"]}, "needs a name"),
        (GOOD | {"classes": ["a", 5]}, "needs a name"),
        (GOOD | {"strokes": True}, "cannot be understood"),
        (GOOD | {"strokes": -1}, "cannot be understood"),
        (GOOD | {"maps": {}}, "cannot be understood"),
        (GOOD | {"maps": 3 * GOOD["maps"]}, "cannot be understood"),  # type: ignore[operator]
        (GOOD | {"maps": [[]]}, "cannot be understood"),
        (GOOD | {"maps": [{"photo": 5, "runs": [0, 1]}]}, "cannot be understood"),
        *(
            (GOOD | {"maps": [{"photo": "p", "runs": wrong}]}, sentence)
            for wrong, sentence in (
                ([], "cannot be understood"),
                ([0], "cannot be understood"),
                ([2, 5], "of the classes 0 to 1"),
                ([-1, 5], "of the classes 0 to 1"),
                ([256, 5], "of the classes 0 to 1"),
                ([True, 5], "of the classes 0 to 1"),
                (["0", 5], "of the classes 0 to 1"),
                ([0, 0], "cannot be understood"),
                ([0, 1.5], "cannot be understood"),
                ([0, 10**30], "cannot be understood"),
                ([0, 2**24, 1, 2**24], "cannot be understood"),
            )
        ),
    ],
)
def test_what_the_page_would_not_send_gets_a_sentence(sent: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_painting(sent)
    answer = ask(ASTRONAUT, None, [32], "compact", False, None, False, sent)
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
    assert [one and one["named"] for one in answer["photos"]] == ["helmet", None]


def test_a_class_by_another_name_a_photo_without_a_label_map_and_an_uploaded_one(tmp_path: Path) -> None:
    assert show(*HELMET, classes=("background", "visor"))["score"] is None
    assert show(*HELMET, photo={"path": str(EXAMPLES / "cat.jpg")})["score"] is None
    # As the third of three classes it is found too; what is called helmet counts, whatever its number.
    turned = [one | {"class": 2 * one["class"]} for one in HELMET]
    answer = show(*turned, classes=("background", "suit", "helmet"))
    assert answer["score"] == pytest.approx(show(*HELMET)["score"], abs=0.02)
    Image.fromarray(np.zeros((SIDE, SIDE), dtype=np.uint8)).save(tmp_path / "truth.png")
    uploaded = show(*HELMET, truth={"path": str(tmp_path / "truth.png")})
    assert uploaded["measure"] == "mIoU"
    # The other class is found where there is none, which counts as 0 in the mean.
    assert uploaded["score"] == pytest.approx((pixels(uploaded["flat"]) == 0).mean() / 2)


def test_nothing_to_fit_is_no_mistake_and_a_broken_photo_is_a_sentence(tmp_path: Path) -> None:
    assert show().keys() == {"photos"}
    assert ask(None, None, [32], "compact", False, None, False, painting(*HELMET)) == {"photos": [None, None]}
    of_another = painting(*HELMET, photos=[CUP])
    assert ask(ASTRONAUT, None, [32], "compact", False, None, False, of_another).keys() == {"photos"}
    (tmp_path / "broken.jpg").write_text("not a photo")
    broken = {"path": str(tmp_path / "broken.jpg")}
    assert "not a photo" in ask(broken, None, [32], "compact", False, None, False, painting(*HELMET))["problem"]
    # All that was painted was erased again.
    assert "nothing was painted" in show(HELMET[0], HELMET[0] | {"class": -1, "size": 0.2})["problem"].lower()


def test_the_crf_moves_edges_to_those_of_the_photo(tmp_path: Path) -> None:
    alone, with_crf = show(*HELMET), show(*HELMET, crf=True)
    assert with_crf["score"] > alone["score"]  # the IoU with the label map that was drawn by hand
    assert 0 < (pixels(with_crf["flat"]) != pixels(alone["flat"])).mean() < 0.1
    assert with_crf["settings"] != alone["settings"]
    assert show(*HELMET, crf="yes")["flat"] == alone["flat"]  # nothing but true is on
    sent = json.dumps(painting(*HELMET))
    page.write_labels(ASTRONAUT["path"], tmp_path / "labels.png", sent, [32, 16, 8], "compact", None, True)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "labels.png")), pixels(with_crf["flat"]))


def test_names_are_shown_as_text() -> None:
    facts = show(*HELMET, classes=("<b>x</b>", "<img src=x>"))["facts"]
    assert "<img" not in facts
    assert "&lt;img" in facts


def test_downloads_are_the_label_map_at_the_photo_s_size_and_a_network(tmp_path: Path, astronaut: Image.Image) -> None:
    large = tmp_path / "large.png"
    astronaut.resize((1500, 1500)).save(large)
    sent = json.dumps(painting(*HELMET, photos=[{"path": str(large)}]))
    settings = (sent, [32, 16, 8], "compact", None)
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
        answer = show(*strokes, classes=(f"a{visitor}", f"b{visitor}"), strides=[32, 16])
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
