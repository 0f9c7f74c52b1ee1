"""The line of the page's own questions: who is served when, and what is said to whom."""

import asyncio
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from demo.segment.tab import show
from demo.server import inference_queue as room
from demo.server import timeouts
from demo.server.cache import DISPLAY_SIDE
from demo.server.inference_queue import MAX_WAITING, WORKERS, InferenceQueue
from demo.server.messages import BROKEN, FULL, NOT_AN_UPLOAD
from segmodels.checkpoints.paths import PAGE
from segmodels.models import registry
from tools.stress.visitor import Visitor

from ..conftest import EXAMPLES


class Connection:
    """What the line needs of a request."""

    def __init__(self) -> None:
        self.left = False
        self.headers = {"content-length": "200"}

    async def is_disconnected(self) -> bool:
        return self.left


class Bench:
    """Computes an answer, the question's ticket, once it may; notes the order."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.most = 0
        self.go = threading.Event()
        self._now = 0
        self._lock = threading.Lock()

    def answer(self, question: Any) -> dict[str, Any]:
        with self._lock:
            self.begun.append(question["ticket"])
            self._now += 1
            self.most = max(self.most, self._now)
        assert self.go.wait(20)
        with self._lock:
            self._now -= 1
        return {"said": question["ticket"]}


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not happened():
            await asyncio.sleep(0.01)


def asked(ask: Callable[..., Any], ticket: Any, connection: Connection | None = None) -> "asyncio.Task[Any]":
    return asyncio.ensure_future(ask({"ticket": ticket}, connection or Connection()))


def test_questions_are_served_in_order_so_many_at_once_and_each_has_a_position() -> None:
    bench, line = Bench(), InferenceQueue()

    async def visit() -> list[Any]:
        ask, position = line.functions(bench.answer)
        assert not line.busy
        tasks = []
        for ticket in "abcdef":
            tasks.append(asked(ask, ticket))
            await asyncio.sleep(0)
        await until(lambda: len(bench.begun) == WORKERS)
        assert line.busy
        assert [position(ticket) for ticket in "abcdef"] == [None, None, 0, 1, 2, 3]
        assert position("nobody's") is None
        bench.go.set()
        return await asyncio.gather(*tasks)

    answers = asyncio.run(visit())
    assert answers == [{"said": ticket} for ticket in "abcdef"]
    assert sorted(bench.begun[:2]) == ["a", "b"]
    assert bench.most == WORKERS == 2
    assert not line.busy


def test_whoever_leaves_the_line_is_passed_over() -> None:
    bench, line = Bench(), InferenceQueue()

    async def visit() -> list[Any]:
        ask, _ = line.functions(bench.answer)
        connections = [Connection() for _ in range(4)]
        tasks = [asked(ask, str(number), connection) for number, connection in enumerate(connections)]
        await until(lambda: len(bench.begun) == WORKERS)
        connections[2].left = True
        bench.go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(visit()) == [{"said": "0"}, {"said": "1"}, None, {"said": "3"}]
    assert "2" not in bench.begun


def test_what_is_computed_stops_between_two_steps_when_its_visitor_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "POLL_SECONDS", 0.01)
    connection, began = Connection(), threading.Event()

    def steps(question: Any) -> dict[str, Any]:
        began.set()
        for _ in range(2000):
            timeouts.check()
            threading.Event().wait(0.01)
        return {"said": "to the end"}

    async def visit() -> Any:
        ask, _ = InferenceQueue().functions(steps)
        task = asked(ask, "1", connection)
        await until(began.is_set)
        connection.left = True
        return await task

    assert "stopped" in asyncio.run(visit())["problem"]


@pytest.mark.parametrize("headers", [{"content-length": "100000"}, {}, {"content-length": "many"}])
def test_what_is_large_does_not_even_wait(headers: dict[str, str]) -> None:
    connection = Connection()
    connection.headers = headers

    async def visit() -> Any:
        ask, _ = InferenceQueue().functions(Bench().answer)
        return await ask({"ticket": "1"}, connection)

    assert "too large" in asyncio.run(visit())["problem"]


def test_whoever_leaves_while_they_wait_gives_their_place_in_the_line_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "POLL_SECONDS", 0.01)
    bench = Bench()

    async def visit() -> list[Any]:
        ask, position = InferenceQueue().functions(bench.answer)
        connections = [Connection() for _ in range(4)]
        tasks = [asked(ask, str(number), connection) for number, connection in enumerate(connections)]
        await until(lambda: len(bench.begun) == WORKERS and position("3") == 1)
        connections[2].left = True
        await until(lambda: position("3") == 0)
        assert tasks[2].done()
        bench.go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(visit()) == [{"said": "0"}, {"said": "1"}, None, {"said": "3"}]
    assert bench.most == WORKERS


def test_a_line_that_is_too_long_says_so_and_a_broken_question_gives_its_place_back() -> None:
    bench = Bench()

    async def visit() -> list[Any]:
        ask, _ = InferenceQueue().functions(bench.answer)
        tasks = [asked(ask, str(number)) for number in range(WORKERS + MAX_WAITING + 3)]
        await until(lambda: sum(task.done() for task in tasks) == 3)
        bench.go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(visit()).count({"problem": FULL}) == 3

    def broken(question: Any) -> dict[str, Any]:
        raise RuntimeError("[/home/someone/secret.py:1] an error for programmers")

    async def visit_again() -> list[Any]:
        ask, _ = InferenceQueue().functions(broken)
        return [await ask({"ticket": "1"}, Connection()) for _ in range(2 * WORKERS)]

    assert asyncio.run(visit_again()) == 2 * WORKERS * [{"problem": BROKEN}]


@pytest.mark.parametrize(
    "question",
    [
        None,
        "photo",
        [1],
        {},
        {"photo": "cat.jpg", "model": "fcn_mobilenetv2", "rate": 6, "stride": 16},
        {"photo": {}, "model": "fcn_mobilenetv2", "rate": 6, "stride": 16},
        {"photo": {"path": str(EXAMPLES / "cat.jpg")}, "model": "fcn_mobilenetv2", "rate": 6, "stride": 16},
        {"photo": {"path": None}, "model": "fcn_mobilenetv2", "rate": 6, "stride": 16},
        {"photo": {"url": "http://127.0.0.1:1/cat.jpg"}, "model": "fcn_mobilenetv2", "rate": 6, "stride": 16},
        {"photo": {"path": ["/etc/passwd"]}, "model": "fcn_mobilenetv2", "rate": 6, "stride": 16},
    ],
)
def test_what_is_no_question_of_the_page_is_a_sentence(question: Any) -> None:
    ask, _ = InferenceQueue().functions(show)
    sentence = asyncio.run(ask(question, Connection()))["problem"]
    assert sentence == NOT_AN_UPLOAD or "not a question" in sentence


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model": "nonesuch"}, "no model called"),
        ({"model": {"a": 1}}, "no model called"),
        ({"model": "deeplabv3_mobilenetv2", "rate": "NaN"}, "atrous rate"),
        ({"model": "deeplabv3_mobilenetv2", "stride": 7}, "output stride"),
    ],
)
def test_over_http_a_wrong_setting_is_a_sentence_and_a_photo_is_answered(
    url: str, wrong: dict[str, Any], said: str
) -> None:
    with Visitor(url) as visitor:
        photo = visitor.upload((EXAMPLES / "cat.jpg").read_bytes())
        assert said in visitor.show(photo, **({"model": registry.DEFAULT_MODEL} | wrong))["problem"]
        shown = visitor.show(photo, "fcn_mobilenetv2")
        assert "cat" in [one["name"] for one in shown["classes"]]
        assert visitor.show(None, "fcn_mobilenetv2") is None
        assert visitor.serve("position", "nobody's") is None


def test_the_browser_makes_photos_as_large_as_the_server_makes_label_maps() -> None:
    side = re.search(r"SIDE = (\d+);  // the longer side of a label map", (PAGE / "drawing.js").read_text("utf-8"))
    assert side
    assert int(side[1]) == DISPLAY_SIDE
