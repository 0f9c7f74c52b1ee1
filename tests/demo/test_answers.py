"""Answers that nobody fetches."""

import asyncio

import gradio as gr
import pytest
from gradio.server_messages import HeartbeatMessage, ProcessCompletedMessage, UnexpectedErrorMessage

from demo import build
from demo.server import answers, checked_blocks
from demo.server.answers import Answers


def answer(size: int) -> ProcessCompletedMessage:
    return ProcessCompletedMessage(output={"data": [{"picture": "x" * size}]}, success=True)


def test_the_fullest_mailbox_is_emptied_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_UNFETCHED", 10_000)

    async def visits() -> None:
        boxes: Answers = Answers(4, gr.Blocks(analytics_enabled=False)._queue)
        for name in ("greedy", "patient"):
            boxes[name] = asyncio.Queue()
        boxes["patient"].put_nowait(answer(1000))
        for _ in range(100):
            boxes["greedy"].put_nowait(answer(3000))
            assert sum(box.size for box in boxes.values()) < 10_000
        await boxes["greedy"].put(HeartbeatMessage())
        first = await boxes["greedy"].get()
        assert isinstance(first, UnexpectedErrorMessage)
        assert first.message == answers.DROPPED
        assert isinstance(await boxes["patient"].get(), ProcessCompletedMessage)
        assert boxes["patient"].size == 0
        for number in range(5):  # a session that goes takes its answers with it
            boxes[str(number)] = asyncio.Queue()
        assert len(boxes) == 4
        assert "greedy" not in boxes

    asyncio.run(visits())


def test_whoever_listens_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_UNFETCHED", 10_000)

    async def visit() -> None:
        boxes: Answers = Answers(4, gr.Blocks(analytics_enabled=False)._queue)
        boxes["listens"] = asyncio.Queue()
        for _ in range(50):
            boxes["listens"].put_nowait(answer(9000))
            assert isinstance(await boxes["listens"].get(), ProcessCompletedMessage)

    asyncio.run(visit())


def test_the_page_has_such_mailboxes(blocks: gr.Blocks) -> None:
    assert isinstance(blocks._queue.pending_messages_per_session, Answers)


@pytest.mark.parametrize("method", ["preprocess_data", "process_api"])
def test_a_gradio_that_calls_it_otherwise_is_not_served_with(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(self: gr.Blocks, something: str) -> None: ...

    leaned_on = {
        renamed if key is getattr(gr.Blocks, method) else key: names
        for key, names in checked_blocks.PRIVATE_INTERFACES.items()
    }
    monkeypatch.setattr(checked_blocks, "PRIVATE_INTERFACES", leaned_on)
    with pytest.raises(RuntimeError, match=rf"{gr.__version__} is not the one .*renamed\(block_fn\)"):
        build()
