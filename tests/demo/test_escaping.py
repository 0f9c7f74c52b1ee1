"""Text from weights files is shown as text: names of classes, titles, summaries."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from demo.anatomy import tab as anatomy
from demo.lab import ablation, certainty, compare, pixel, rates_by_stride, teach
from demo.segment import result_view
from demo.segment import tab as segment
from segmodels import Segmentation
from segmodels.checkpoints.files import read_state, save_state
from segmodels.checkpoints.metadata import Metadata
from segmodels.inference.loading import assemble, card_from_file
from segmodels.insight.cost import Cost
from segmodels.labels import VOC, ClassList
from segmodels.models import registry

from ..conftest import EXAMPLES
from ..helpers import asked

WORDS = "<b>x</b> & <img src=x onerror=alert(1)>"
CLASSES = ClassList(("background", WORDS), ((0, 0, 0), (9, 9, 9)), background=0)
RESULT = Segmentation(
    np.array([[0, 1]], dtype=np.uint8),
    CLASSES,
    "fcn_mobilenetv2",
    None,
    None,
    (32, 32),
    "float32",
    {"encode": 1.0, "decode": 1.0, "resize": 1.0, "total": 3.0},
    {"background": 0.9, WORDS: 0.8},
)


def text(html: str) -> str:
    """The text of a piece of HTML, which must be well formed."""
    return "".join(ElementTree.fromstring(f"<div>{html}</div>").itertext())


def test_the_segment_tab_shows_names_as_text() -> None:
    card = replace(
        registry.card("fcn_mobilenetv2"), title=WORDS, summary=WORDS, origin=WORDS, file=Path("own.safetensors")
    )
    table = result_view.table(RESULT)
    ran = result_view.what_ran(card, RESULT, Cost(1, 1, ()), remembered=False)
    for html in (table, ran, result_view.about(card, WORDS)):
        assert WORDS in text(html)
        assert "<b>x" not in html
        assert "<img" not in html


NAME = "<b>x</b>"
ESCAPED = "&lt;b&gt;x&lt;/b&gt;"
NETWORK = "deeplabv3plus_mobilenetv2"
PHOTO = {"path": str(EXAMPLES / "dogs.jpg")}


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A network whose weights file calls dogs ``NAME``, and is itself called so."""
    card = registry.card(NETWORK)
    names = tuple(NAME if name == "dog" else name for name in VOC.names)
    record = Metadata(
        NETWORK, replace(VOC, names=names), card.atrous_rate, 16, card.mean, card.std, card.working_size, None, NAME, {}
    )
    file = tmp_path_factory.mktemp("own") / f"{NAME.replace('/', '')}.safetensors"
    save_state(assemble(card, read_state(card.weights_file())), file, record=record)
    own = card_from_file(file)
    registry.register(own)
    yield own.name
    del registry.CARDS[own.name]


def painted() -> dict[str, Any]:
    width, height = Image.open(PHOTO["path"]).size
    runs = [0, width * 20, 255, width * (height - 40), 1, width * 20]
    return {"classes": ["background", NAME], "strokes": 2, "maps": [{"photo": PHOTO["path"], "runs": runs}]}


PLACES: dict[str, Callable[[str], list[Any]]] = {
    "segment": lambda model: [segment.show({"photo": PHOTO, "model": model, "rate": 6, "stride": 16})],
    "parts": lambda model: asked(ablation.show, PHOTO, model, ["1x1"], None),
    "overview": lambda model: asked(ablation.show_each, PHOTO, model, None),
    "certainty": lambda model: asked(certainty.show, PHOTO, model, 6, 16),
    "compare": lambda model: asked(compare.show, PHOTO, model, 6, 16, model, 1, 16),
    "rates": lambda model: asked(rates_by_stride.show, PHOTO, model),
    "pixel": lambda model: asked(pixel.show, PHOTO, model, 6, 16, 50, 60, NAME),
    "teach": lambda model: [
        teach.show({"values": [PHOTO, None, [32], "compact", False, None, False, painted()], "step": 0})
    ],
    "anatomy": lambda model: [
        {"html": {"": anatomy._about(model)}},
        *asked(anatomy.show, model, 64, 64, 6, 16, on_photo=False),
    ],
}


@pytest.mark.parametrize("place", PLACES)
def test_a_class_s_name_from_a_weights_file_is_text_everywhere(
    mine: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "anatomy":  # it counts every network that there is
        monkeypatch.setattr(registry, "CARDS", {mine: registry.CARDS[mine]})
    answers = PLACES[place](mine)
    assert not [answer for answer in answers if answer.get("problem")]
    html = " ".join(
        str(answer.get("html", [answer.get("table"), answer.get("ran"), answer.get("facts")])) for answer in answers
    )
    assert NAME not in html
    assert "<b>x" not in html
    assert ESCAPED in html or (place == "anatomy" and "&lt;b&gt;x" in html)  # there, what the file is called
