"""Links: read, checked, written, and read again."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import gradio as gr
import pytest

from demo.components.model_picker.choices import SOURCES
from demo.components.url_state import OWN, UrlState, named, own_value, read, sentences, setting_updates
from demo.lessons import LESSONS, resampling
from segmodels.models import registry

from ..conftest import EXAMPLES

PLACES = {"segment": (), "lab": ("grid", "compare"), "lessons": ("0", "1"), "anatomy": ()}


def reading(query: str) -> UrlState:
    return read(dict(parse_qsl(query)), PLACES)


def test_a_whole_link() -> None:
    query = "photo=cat&model=deeplabv3_mobilenetv2&rate=12&stride=8&tab=lab&section=compare"
    assert reading(query) == UrlState("cat", "deeplabv3_mobilenetv2", 12, 8, "lab", "compare")


def test_a_link_to_a_part_of_the_decoder_and_to_the_crf() -> None:
    linked = reading("model=fcn_mobilenetv2&part=FCN-32s&crf=1")
    assert (linked.part, linked.crf, linked.ignored) == ("FCN-32s", True, ())
    *_, variant, crf = setting_updates(linked)
    assert (variant["value"], variant["choices"], crf["value"]) == ("FCN-32s", ["FCN-8s", "FCN-16s", "FCN-32s"], True)
    assert setting_updates(reading("model=unet_mobilenetv2"))[4]["value"] == "all skips"
    wrong = reading("model=unet_mobilenetv2&part=FCN-32s&crf=yes")
    assert (wrong.part, wrong.crf, len(wrong.ignored)) == (None, None, 2)


def test_an_empty_query_asks_for_nothing_and_foreign_names_are_left_alone() -> None:
    assert reading("__theme=dark&utm_source=mail") == UrlState()


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("photo=dog", "no example photo called 'dog', only raft, "),
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


def test_a_link_to_weights_of_one_s_own_shows_them_beside_the_bundled_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(
        registry.card("unet_mobilenetv2"), name="mine", network="unet_mobilenetv2", file=Path("mine.safetensors")
    )
    monkeypatch.setattr(registry, "CARDS", {**registry.CARDS, "mine": own})
    source, network, *_ = setting_updates(UrlState(model="mine"))
    assert source["value"] in [value for _, value in SOURCES]
    assert {"mine", "unet_mobilenetv2"} <= {name for _, name in network["choices"]}


def test_sentences_are_escaped() -> None:
    note = sentences(reading("photo=<script>"))
    assert "&lt;script&gt;" in note
    assert "<script>" not in note


def test_the_settings_of_a_view_are_read_by_what_its_controls_allow() -> None:
    own = {
        "aspp-rate": gr.Slider(1, 24, value=6, step=1, label="Atrous rate"),
        "grid-model": gr.Radio([("FCN", "fcn"), ("U-Net", "unet")], value="fcn", label="Network"),
    }
    query = {"tab": "lab", "section": "grid", "grid-model": "unet", "aspp-rate": "24"}
    assert read(query, PLACES, own).own == {"grid-model": "unet", "aspp-rate": 24}
    for name, wrong in [("aspp-rate", "25"), ("aspp-rate", "nan"), ("aspp-rate", "six"), ("grid-model", "../etc")]:
        linked = read(query | {name: wrong}, PLACES, own)
        assert name not in linked.own
        assert len(linked.ignored) == 1


def test_a_link_may_ask_for_any_step_that_the_lesson_leads_to() -> None:
    *_, step = LESSONS[1].controls()
    assert own_value(step, str(resampling.steps(resampling.DOWN, 1, 1, 2, 8))) == resampling.MOST_STEPS


def test_an_example_is_known_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    same, other = tmp_path / "holiday.jpg", tmp_path / "cat.jpg"
    same.write_bytes((EXAMPLES / "cat.jpg").read_bytes())
    other.write_bytes((EXAMPLES / "coffee.jpg").read_bytes()[:-1])

    assert [named({"path": str(file)}) for file in (same, other, tmp_path / "gone.jpg")] == ["cat", OWN, OWN]
    assert named(None) == ""
