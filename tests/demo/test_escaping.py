"""Text from weights files is shown as text: names of classes, titles, summaries."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from demo.components import photo_overlay
from demo.lab import certainty
from demo.segment import result_view
from segmodels import Segmentation
from segmodels.insight.cost import Cost
from segmodels.labels import ClassList
from segmodels.models import registry

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


def test_pictures_and_tables_of_the_lab_show_names_as_text() -> None:
    maps = np.ones((1, 2), dtype=np.float32)
    found = certainty.Certainty(RESULT.labels, maps, maps, maps)
    for html in (certainty.classes_table(found, CLASSES), photo_overlay.picture(WORDS)):
        assert "<b>x" not in html
        assert "<img" not in html
