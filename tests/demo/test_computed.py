"""Places that the server computes: which questions they take, and what they answer."""

from typing import Any

import pytest

from demo.components import computed

PHOTO = {"path": "photo.jpg"}


def ask(compute: Any, question: Any, count: int = 2, on_photo: bool = True) -> Any:
    return computed.answer(computed.with_step(compute), count, on_photo, question)


def test_a_place_gets_the_photo_s_path_and_the_values() -> None:
    def compute(path: str, rate: Any) -> str:
        return f"{path} at {rate}"

    assert ask(compute, {"values": [PHOTO, 6], "step": 0}) == {"html": {"": "photo.jpg at 6"}}
    assert "Drop in a photo" in ask(compute, {"values": [None, 6], "step": 0})["html"][""]


def test_only_a_keyword_only_step_is_the_page_s() -> None:
    def in_steps(value: Any, *, step: int) -> dict[str, Any]:
        return {"html": {"": f"{value} {step}"}, "more": step < 1}

    def with_a_control(step: Any) -> str:
        return f"step {step}"

    assert ask(in_steps, {"values": ["a"], "step": 1}, 1, False) == {"html": {"": "a 1"}, "more": False}
    assert ask(with_a_control, {"values": [5], "step": 0}, 1, False) == {"html": {"": "step 5"}}


@pytest.mark.parametrize(
    "question",
    [
        None,
        [],
        "values",
        {},
        {"values": [PHOTO, 6]},
        {"values": [PHOTO], "step": 0},
        {"values": [PHOTO, 6, 7], "step": 0},
        {"values": {"a": PHOTO}, "step": 0},
        {"values": [PHOTO, 6], "step": True},
        {"values": [PHOTO, 6], "step": -1},
        {"values": [PHOTO, 6], "step": computed.MAX_STEPS},
        {"values": [PHOTO, 6], "step": 10**30},
        {"values": ["photo.jpg", 6], "step": 0},
        {"values": [{}, 6], "step": 0},
        {"values": [{"path": ["photo.jpg"]}, 6], "step": 0},
    ],
)
def test_what_the_page_would_not_ask_is_refused(question: Any) -> None:
    def compute(path: str, rate: Any) -> str:
        raise AssertionError("computed")

    with pytest.raises(ValueError, match="not a question"):
        ask(compute, question)
