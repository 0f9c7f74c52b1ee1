"""gradio's Blocks with checks: events take uploaded files only, and answer every error with a sentence."""

import asyncio
import html
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.queueing import Event, Queue
from gradio.server_messages import EventMessage
from gradio.state_holder import SessionState, StateHolder
from gradio.utils import LRUCache

from ..events import COMPUTES_ID
from . import cache, timeouts
from .inference_queue import InferenceQueue
from .messages import BROKEN, WRONG_INPUTS, error_message
from .uploads import check_files


class CheckedBlocks(gr.Blocks):
    """Blocks whose events take files only from the upload folder, and whose errors are all sentences.

    gradio checks files that call themselves such, fetches those that are addresses, and hands other dictionaries on as
    they are; but inputs here arrive unprocessed, so what looks like a file has to be one of the uploads. Events that
    compute (``events.COMPUTES``) take a slot of the same queue as the page's questions.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.inference_queue = InferenceQueue()
        self.segment_settings: list[gr.Component] = []
        super().__init__(*args, **kwargs)

    async def preprocess_data(
        self, block_fn: BlockFunction, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> Any:
        """As gradio's, after a look at the files; raises gr.Error, with a sentence, for any input that cannot be used."""
        check_files(inputs)
        try:
            values = await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except Exception:
            raise gr.Error(WRONG_INPUTS, print_exception=False) from None
        check_files(values)  # a photo may still be one without a path
        return values

    async def process_api(self, block_fn: BlockFunction | int, inputs: list[Any], *args: Any, **kwargs: Any) -> Any:
        """As gradio's, within the limits of a request; raises gr.Error, with a sentence, for every error."""
        event = self._event(kwargs.get("event_id"))
        function = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        run = partial(super().process_api, function, inputs, *args, **kwargs)
        return await _to_its_end(self._answer(run, function.concurrency_id == COMPUTES_ID, event), event)

    async def _answer(self, run: Callable[[], Awaitable[Any]], computes: bool, event: Event | None) -> Any:
        async def left() -> bool:
            return event is not None and not event.alive

        async with self.inference_queue.slot(left=left) if computes else nullcontext(True) as mine:
            timeouts.start(lambda: mine and (event is None or event.alive), time.monotonic())
            try:
                with cache.decoding_once():
                    timeouts.check()
                    return await run()
            except gr.Error as error:
                error.message = html.escape(error.message, quote=False)  # the page shows it as HTML
                raise
            except timeouts.Stopped as error:
                raise gr.Error(str(error), print_exception=False) from None
            except OSError as error:
                raise gr.Error(error_message(error)) from error
            except Exception as error:
                raise gr.Error(BROKEN) from error

    def _event(self, event_id: str | None) -> Event | None:
        """What is being answered; None for what passes the queue by."""
        return self._queue.event_ids_to_events.get(event_id) if event_id else None


async def _to_its_end(work: Coroutine[Any, Any, Any], event: Event | None) -> Any:
    """What ``work`` gives. An event that is cancelled meanwhile keeps its place until the step that is being made is done.

    A thread cannot be cancelled: if gradio gave its place away at once, whoever asks and cancels in turn would have as many
    computing as they like.
    """
    task = asyncio.ensure_future(work)
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
            if event is not None:
                event.alive = False
    if cancelled is None:
        return task.result()
    task.exception()  # nobody waits for that either
    raise cancelled


class Mailboxes(LRUCache[str, "asyncio.Queue[EventMessage]"]):
    """gradio's mailboxes, one a session; one whose session waits for an event is never the one that is forgotten.

    gradio forgets the oldest, and where that one waits, its queue ends for all visitors as it tells them their positions.
    """

    def __init__(self, most: int, queue: Queue) -> None:
        super().__init__(most)
        self._queue = queue

    def __setitem__(self, session: str, mailbox: "asyncio.Queue[EventMessage]") -> None:
        waiting = {event.session_hash for event in self._queue.event_ids_to_events.values()}
        idle = [other for other in self if other not in waiting]
        for other in idle[: max(len(self) + 1 - self.max_size, 0)]:
            del self[other]
        OrderedDict.__setitem__(self, session, mailbox)


class Sessions(StateHolder):
    """gradio's sessions, each without what its page shows."""

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = Session(self.blocks)
        return super().__getitem__(session_id)


class Session(SessionState):
    """A session that keeps no values of its page.

    gradio describes the whole page for each visitor, which takes 20 ms of the one thread that serves all, and keeps in
    it what was sent and shown last, pictures too. Only its deep links read that.
    """

    def __init__(self, blocks: gr.Blocks) -> None:
        nothing_to_describe: Any = SimpleNamespace(default_config=blocks.default_config, blocks={})
        super().__init__(nothing_to_describe)

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass
