"""Links: read, checked, written, and read again."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from demo.links import Linked, named, read, sentences, write

from .conftest import EXAMPLES

PLACES = {"segment": (), "lab": ("grid", "compare"), "lessons": ("0", "1"), "anatomy": ()}


def reading(query: str) -> Linked:
    return read(dict(parse_qsl(query)), PLACES)


def test_a_whole_link() -> None:
    query = "photo=cat&model=deeplabv3_mobilenetv2&rate=12&stride=8&tab=lab&section=compare"
    assert reading(query) == Linked("cat", "deeplabv3_mobilenetv2", 12, 8, "lab", "compare")


def test_an_empty_query_asks_for_nothing_and_foreign_names_are_left_alone() -> None:
    assert reading("__theme=dark&utm_source=mail") == Linked()


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("photo=dog", "no example photo called 'dog', only cat, "),
        ("photo=../../etc/passwd", "no example photo"),
        ("photo=cat.jpg", "no example photo"),
        ("model=deeplab", "no model called 'deeplab'"),
        ("model=deeplabv3plus_xception65", "no trained weights"),
        ("rate=0", "from 1 to 24, not '0'"),
        ("rate=25", "from 1 to 24, not '25'"),
        ("rate=6.5", "from 1 to 24, not '6.5'"),
        ("rate=" + "9" * 5000, "from 1 to 24"),
        ("stride=4", "must be 8, 16 or 32"),
        ("stride=12", "must be 8, 16 or 32"),
        ("model=unet_mobilenetv2&rate=6", "unet_mobilenetv2 has no atrous rate"),
        ("tab=home", "no tab called 'home', only segment, lab, lessons, anatomy"),
        ("tab=lab&section=home", "no section of that tab called 'home', only grid, compare"),
        ("tab=segment&section=grid", "no section of that tab called 'grid'"),
        ("section=grid", "no section of that tab called 'grid'"),
    ],
)
def test_what_cannot_be_had_is_left_out_with_a_sentence(query: str, sentence: str) -> None:
    linked = reading(query)
    assert len(linked.ignored) == 1
    assert sentence in linked.ignored[0]
    name = query.split("&")[-1].split("=")[0]
    assert getattr(linked, name) is None


def test_one_wrong_part_does_not_spoil_the_others() -> None:
    linked = reading("photo=rocket&model=nothing&rate=3&tab=lab")
    assert (linked.photo, linked.model, linked.rate, linked.tab) == ("rocket", None, 3, "lab")


def test_sentences_are_escaped() -> None:
    note = sentences(reading("photo=<script>"))
    assert "&lt;script&gt;" in note
    assert "<script>" not in note


@pytest.mark.parametrize("name", ["cat.jpg", "astronaut.jpg", "rocket.jpg"])
@pytest.mark.parametrize(
    ("model", "rate", "stride"), [("deeplabv3_mobilenetv2", 3, 32), ("fcn_mobilenetv2", None, None)]
)
def test_a_written_link_reads_as_what_it_was_written_from(
    name: str, model: str, rate: int | None, stride: int | None
) -> None:
    query = write(named({"path": str(EXAMPLES / name)}), model, rate or 6, stride or 16, "lab", "compare")
    assert reading(query[1:]) == Linked(Path(name).stem, model, rate, stride, "lab", "compare")


def test_an_example_is_known_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    same, other = tmp_path / "holiday.jpg", tmp_path / "cat.jpg"
    same.write_bytes((EXAMPLES / "cat.jpg").read_bytes())
    other.write_bytes((EXAMPLES / "coffee.jpg").read_bytes()[:-1])

    def photo(file: Path) -> Any:
        return reading(write(named({"path": str(file)}), "fcn_mobilenetv2", 6, 16, "segment")[1:]).photo

    assert photo(same) == "cat"
    assert photo(other) is None
    assert photo(tmp_path / "gone.jpg") is None
