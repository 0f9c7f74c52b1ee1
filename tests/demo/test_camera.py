"""The camera's frames: what is answered, what is refused, and who goes first."""

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio.utils import get_upload_folder
from PIL import Image

import segmodels
from demo.components.viewer import camera
from demo.server.inference_queue import InferenceQueue
from segmodels.models import registry

from ..conftest import EXAMPLES

MODEL = registry.compact_models()[0]


def jpeg(size: tuple[int, int] = (320, 212), kind: str = "JPEG") -> str:
    buffer = io.BytesIO()
    Image.open(EXAMPLES / "rider.jpg").resize(size).save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def ask(**changed: Any) -> dict[str, Any]:
    answer = asyncio.run(
        camera.frames(InferenceQueue())({"frame": jpeg(), "model": MODEL, "rate": 6, "stride": 16} | changed)
    )
    assert answer is not None
    return answer


def test_a_frame_is_answered_with_its_label_map_and_nothing_is_kept() -> None:
    before = set(Path(get_upload_folder()).rglob("*"))
    answer = ask()
    assert {"horse", "person"} <= {one["name"] for one in answer["classes"]}
    data = base64.b64decode(answer["labels"].removeprefix("data:image/png;base64,"))
    labels = Image.open(io.BytesIO(data))
    assert labels.size == (320, 212)
    assert set(np.unique(np.asarray(labels.convert("RGB")))) == {one["index"] for one in answer["classes"]}
    assert set(Path(get_upload_folder()).rglob("*")) == before


def test_a_frame_has_edges_by_the_crf_where_that_is_on() -> None:
    shown, alone, given = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["labels"].partition(",")[2]))).convert("RGB"))
        for answer in (ask(crf=True), ask(), ask(crf="true"))
    )
    image = camera.read_frame(jpeg())
    segmenter = segmodels.load(MODEL)
    expected = segmenter(image, working_size=320, crf=True).labels
    assert 0.001 < (shown != alone).any(2).mean() < 0.1
    assert (shown[..., 0] == expected).mean() > 0.999
    assert (given == alone).all()  # nothing but true is on
    assert ask(crf=True)["crf"] > 0
    assert ask()["crf"] is None


@pytest.mark.parametrize(
    "changed",
    [
        {"frame": None},
        {"frame": "no base64!"},
        {"frame": base64.b64encode(b"no picture").decode()},
        {"frame": jpeg((1000, 700))},
        {"frame": jpeg((16, 16))},
        {"frame": jpeg(kind="PNG")},
        {"frame": "A" * 10**6},
        {"frame": {"path": "/etc/passwd"}},
        {"model": "nonesuch"},
        {"model": "deeplabv3plus_xception65"},
        {"model": registry.compact_models()[-1], "rate": 1000},
        {"model": registry.compact_models()[-1], "stride": "7"},
    ],
)
def test_what_is_no_frame_is_a_sentence(changed: dict[str, Any]) -> None:
    sentence = ask(**changed)["problem"]
    assert sentence.endswith((".", "?"))
    assert "Traceback" not in sentence


@pytest.mark.parametrize("request_", [None, [], "frame", 3])
def test_what_is_no_request_is_a_sentence(request_: Any) -> None:
    answer = asyncio.run(camera.frames(InferenceQueue())(request_))
    assert answer is not None
    assert answer["problem"]


def test_photos_go_first_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(camera, "_answer", lambda request: {"answered": True})

    async def visit() -> tuple[bool, Any]:
        queue = InferenceQueue()
        async with queue.slot():  # a photo that is computed all the time
            return await film(queue)

    async def film(queue: InferenceQueue) -> tuple[bool, Any]:
        task = asyncio.ensure_future(camera.frames(queue)({}))
        await asyncio.sleep(0.2)
        early = task.done()
        return early, await asyncio.wait_for(task, 5)

    assert asyncio.run(visit()) == (False, {"answered": True})


def test_a_crowd_of_frames_is_told_to_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "_answer", lambda request: {"answered": True})

    async def crowd() -> list[Any]:
        frame = camera.frames(InferenceQueue())
        return await asyncio.gather(*(frame({}) for _ in range(3 * camera.MOST_WAITING)))

    answers = asyncio.run(crowd())
    assert answers.count({"answered": True}) == camera.MOST_WAITING
    assert answers.count(camera.LATE) == 2 * camera.MOST_WAITING


def test_a_frame_is_one_of_the_two_that_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(camera, "_answer", lambda request: {"answered": True})

    async def visit() -> tuple[bool, Any]:
        queue = InferenceQueue()
        async with queue.slot():
            async with queue.slot():
                task = asyncio.ensure_future(camera.frames(queue)({}))
                await asyncio.sleep(0.2)
                early = task.done()
            return early, await asyncio.wait_for(task, 5)

    assert asyncio.run(visit()) == (False, {"answered": True})
