"""Published weights on their way: what one visitor learns of another's download."""

import contextvars
import time
from pathlib import Path

import pytest

from demo.server import timeouts, weight_downloads
from segmodels.checkpoints.download import FetchError, Progress
from segmodels.models import registry
from segmodels.models import torchvision as published

CARD = registry.card("deeplabv3_mobilenet_v3_large")


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(weight_downloads, "_failures", {})


def said() -> str:
    """What stands in place of the pictures meanwhile."""
    with pytest.raises(ValueError, match="weights of") as caught:
        weight_downloads.check_at_hand(CARD)
    return str(caught.value)


def test_of_a_visitor_who_left_during_a_download_nobody_else_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    def arriving(name: str, progress: Progress) -> Path:
        progress(1, 2)
        raise AssertionError("it went on although nobody waits")

    def leave() -> None:
        timeouts.start(lambda: False, time.monotonic())
        with pytest.raises(timeouts.Stopped):
            weight_downloads.fetch(CARD)

    monkeypatch.setattr(published, "weights_file", arriving)
    contextvars.copy_context().run(leave)
    assert "on their way" in said()


def test_why_there_are_no_weights_is_said_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, progress: Progress) -> Path:
        raise FetchError("the server is asleep")

    monkeypatch.setattr(published, "weights_file", unreachable)
    with pytest.raises(ValueError, match="asleep"):
        weight_downloads.fetch(CARD)
    assert "asleep" in said()
