"""The running app, asked as a program would ask it."""

import json
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from torch import nn

import segmodels
from demo.segment.result_files import _write_report
from demo.segment.tab import _about as about
from demo.server.inference import segment_photo
from segmodels import read_photo
from segmodels.cli import main
from segmodels.inference.settings import check_integer
from segmodels.models import registry

from ..conftest import EXAMPLES

CAT = EXAMPLES / "cat.jpg"


@pytest.fixture(scope="module")
def client(url: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(url, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


def segment(client: Client, file: Path, **settings: Any) -> tuple[Image.Image, Image.Image, dict[str, Any]]:
    labels, overlay, report = client.predict(image=handle_file(file), api_name="/segment", **settings)
    return Image.open(labels), Image.open(overlay), report


@pytest.mark.parametrize("name", segmodels.models.registry.bundled_models())
def test_segment_gives_the_label_map_of_the_library(client: Client, name: str) -> None:
    labels, overlay, report = segment(client, CAT, model=name)
    expected = segmodels.load(name)(Image.open(CAT)).labels
    assert labels.mode == "P"
    assert (np.asarray(labels) == expected).mean() > 0.999
    assert overlay.size == (451, 300)
    assert report["model"] == name
    assert set(report["classes"]) <= set(segmodels.card(name).classes)
    if "cat" in segmodels.card(name).classes:
        assert report["classes"]["cat"] > 0.2


def test_a_phones_upright_photo(client: Client, tmp_path: Path) -> None:
    """12 megapixels, stored lying on its side: what comes back stands upright and has every pixel."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "phone.jpg"
    Image.open(CAT).resize((4000, 3000)).rotate(90).save(file, exif=exif)
    labels, overlay, report = segment(client, file, model="fcn_mobilenetv2")
    assert labels.size == overlay.size == (3000, 4000)
    assert report["size"] == [3000, 4000]


def test_the_report_is_the_command_lines(client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"model": "deeplabv3_mobilenetv2", "atrous_rate": 3, "output_stride": 8}
    *_, report = segment(client, CAT, **settings)
    capsys.readouterr()
    main(
        [
            "segment",
            str(CAT),
            "--model",
            "deeplabv3_mobilenetv2",
            "--atrous-rate",
            "3",
            "--output-stride",
            "8",
            "--json",
            "--out",
            str(tmp_path),
        ]
    )
    expected = json.loads(capsys.readouterr().out)
    assert report.keys() == expected.keys()
    for key in ("model", "atrous_rate", "output_stride", "size", "working_size", "classes", "notes"):
        assert report[key] == expected[key], key


def test_a_saved_report_names_the_photo_and_what_was_done_to_it(tmp_path: Path) -> None:
    grey = np.asarray(Image.open(CAT).convert("L")).astype(np.uint16) * 16  # as a 12-bit camera writes it
    Image.fromarray(grey).save(tmp_path / "grey.png")
    path = str(tmp_path / "grey.png")
    _write_report(path, segment_photo(path, "fcn_mobilenetv2", None, None), tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["file"] == "grey.png"
    assert report["notes"] == list(read_photo(path).notes) != []


def test_a_crf_leaves_cells_as_their_network_parts_them() -> None:
    path = str(CAT.with_name("nuclei.png"))
    asked = segment_photo(path, "unet_nuclei", None, None, crf=True)
    assert asked.crf is None
    assert (asked.labels == segment_photo(path, "unet_nuclei", None, None).labels).all()
    assert segment_photo(path, "fcn_mobilenetv2", None, None, crf=True).crf is not None


def test_the_atrous_rate_changes_the_answer(client: Client) -> None:
    maps = [np.asarray(segment(client, CAT, model="deeplabv3_mobilenetv2", atrous_rate=rate)[0]) for rate in (1, 6)]
    assert (maps[0] != maps[1]).any()


@pytest.mark.parametrize("name", ["fcn_mobilenetv2", "unet_mobilenetv2"])
def test_settings_are_idle_where_there_are_none(client: Client, name: str) -> None:
    *_, report = segment(client, CAT, model=name, atrous_rate=12, output_stride=8)
    assert report["atrous_rate"] is None
    assert report["output_stride"] is None


@pytest.mark.parametrize("name", segmodels.list_models())
def test_what_is_said_of_the_settings_is_true_of_the_layers(name: str) -> None:
    network = registry.build_meta(name)
    dilated = any(module.dilation != (1, 1) for module in network.modules() if isinstance(module, nn.Conv2d))
    said = about(name)
    assert not (dilated and "no atrous convolutions" in said)
    assert ("no ASPP" in said) == (registry.card(name).atrous_rate is None)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"model": "nonesuch"}, "did you mean"),
        ({"model": "../../etc/passwd"}, "did you mean"),
        ({"model": "deeplabv3_mobilenetv2", "atrous_rate": -1}, "whole number"),
        ({"model": "deeplabv3_mobilenetv2", "atrous_rate": 2.5}, "whole number"),
        ({"model": "deeplabv3_mobilenetv2", "atrous_rate": "six"}, "whole number"),
        ({"model": "deeplabv3_mobilenetv2", "atrous_rate": 10**9}, "whole number"),
        ({"model": "deeplabv3_mobilenetv2", "output_stride": 7}, "8, 16 or 32"),
        ({"model": "deeplabv3_mobilenetv2", "output_stride": [16]}, "must be 8, 16 or 32"),
    ],
)
def test_wrong_settings_are_answered_with_a_sentence(client: Client, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        segment(client, CAT, **settings)


@pytest.mark.parametrize("content", [b"", b"no picture", CAT.read_bytes()[:2000]])
def test_bad_photos_are_answered_with_a_sentence_and_the_app_goes_on(
    client: Client, tmp_path: Path, content: bytes
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(content)
    with pytest.raises(AppError) as caught:
        segment(client, bad)
    assert str(caught.value).endswith(".")
    assert "Traceback" not in str(caught.value)
    assert segment(client, CAT)[2]["classes"]["cat"] > 0.2


@pytest.mark.parametrize("value", [float("inf"), float("nan"), True, None, "6", 6.5, [6], 0, 65, 10**400])
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(ValueError, match="whole number"):
        check_integer("the rate", value, 1, 64)


def test_no_photo_is_answered_with_a_sentence(client: Client) -> None:
    with pytest.raises(AppError, match="no photo"):
        client.predict(image=None, api_name="/segment")


def test_only_segment_is_public(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)
    assert isinstance(endpoints, dict)
    assert list(endpoints["named_endpoints"]) == ["/segment"]
    assert [endpoints["named_endpoints"]["/segment"]["parameters"][i]["parameter_name"] for i in range(4)] == [
        "image",
        "model",
        "atrous_rate",
        "output_stride",
    ]


def test_no_event_draws_the_pictures(blocks: gr.Blocks) -> None:
    """They are drawn by what they are answered themselves, one question at a time: of two, the slower would have the last word."""
    drawing = [event for event in blocks.fns.values() if any(part.elem_id == "pictures" for part in event.outputs)]
    assert drawing == []


def test_of_all_that_follows_an_event_one_function_at_most_asks_for_it_again(blocks: gr.Blocks) -> None:
    """Two that are ``always_last`` find each other busy, and gradio's page sends the event for one of them, for ever."""
    followers: dict[tuple[int, str], list[str]] = {}
    for event in blocks.get_config_file()["dependencies"]:
        if event["backend_fn"] and event["trigger_mode"] == "always_last":
            for component, name in event["targets"]:
                if component is not None:  # what follows another event's end has an event of its own
                    followers.setdefault((component, name), []).append(event["api_name"])
    assert followers
    assert [names for names in followers.values() if len(names) > 1] == []


def test_every_event_shows_its_progress_in_few_places(blocks: gr.Blocks) -> None:
    """Whatever showed progress once, gradio's page looks for at each step of every later event, however many there are."""
    events = [event for event in blocks.get_config_file()["dependencies"] if event["backend_fn"]]
    places = {event["id"]: event["show_progress_on"] or event["outputs"] for event in events}
    assert max(map(len, places.values())) <= 4
