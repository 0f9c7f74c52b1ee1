"""The queue in which everything that computes waits: questions of the page, camera frames, and gradio's events.

An event of gradio's takes three requests, and the page passes its answer through all of its state. The page's own questions
are one request each, to a function of a component (``functions``). First come, first served; a visitor who waits can ask
for their position, and one who leaves is skipped.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
import gradio as gr
from gradio.context import Context

from . import cache, timeouts
from .messages import BROKEN, FULL, TOO_LARGE, error_message
from .uploads import Gone, check_files

WORKERS = 2
"""Computations at once. A Space has two cores: more would only slow all of them down."""
MAX_WAITING = 64
"""Questions that may wait at once."""
MAX_BYTES = 8192
"""Of a question, so that those who wait hold almost no memory."""
POLL_SECONDS = 0.2
"""How often the connection of a visitor who waits is looked at."""

Answer = dict[str, Any] | None
"""What the browser draws: a result, ``{"problem": ...}``, with ``gone`` if a photo is not here, or nothing."""


async def _stays() -> bool:
    return False


class InferenceQueue:
    """The questions of all visitors of one page."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(WORKERS)
        self._waiting: list[object] = []
        self._computing = 0

    @property
    def busy(self) -> bool:
        """Whether anything waits or is computed."""
        return bool(self._waiting or self._computing)

    @asynccontextmanager
    async def slot(self, ticket: object = None, left: Callable[[], Awaitable[bool]] = _stays) -> AsyncIterator[bool]:
        """Wait for one of the slots and hold it; yields False, and holds none, if the visitor has ``left`` before."""
        if not await self._acquired(ticket, left):
            yield False
            return
        self._computing += 1
        try:
            yield True
        finally:
            self._computing -= 1
            self._slots.release()

    def functions(self, answer: Callable[[Any], Answer], max_bytes: int = MAX_BYTES) -> list[Callable[..., Any]]:
        """Return what a component offers the browser: ``ask``, whose questions wait here, and ``position``."""

        async def ask(question: Any, request: gr.Request) -> Answer:
            if not _is_small(request, max_bytes):
                return {"problem": TOO_LARGE}
            if len(self._waiting) >= MAX_WAITING:
                return {"problem": FULL}
            ticket = question.get("ticket") if isinstance(question, dict) else None
            async with self.slot(ticket, lambda: _left(request)) as mine:
                return await _computed(answer, question, request) if mine else None

        def position(ticket: Any) -> int | None:
            """Return how many are served before the question with this ticket; None if it does not wait."""
            return self._waiting.index(ticket) if ticket in self._waiting else None

        return [ask, position]

    async def _acquired(self, ticket: object, left: Callable[[], Awaitable[bool]]) -> bool:
        if not self._slots.locked():
            return await self._slots.acquire()
        self._waiting.append(ticket)
        coming = asyncio.ensure_future(self._slots.acquire())
        try:
            while not coming.done() and not await left():
                await asyncio.wait([coming], timeout=POLL_SECONDS)
            if not await left():
                return True
        except asyncio.CancelledError:
            _give_back(coming, self._slots)
            raise
        finally:
            self._waiting.remove(ticket)
        _give_back(coming, self._slots)
        return False


def _give_back(coming: "asyncio.Future[Any]", slots: asyncio.Semaphore) -> None:
    if not coming.cancel():  # the slot has come meanwhile
        slots.release()


def page_queue() -> InferenceQueue:
    """Return the queue of the page that is being built."""
    queue: InferenceQueue = Context.root_block.inference_queue  # type: ignore[union-attr]
    return queue


def _is_small(request: Any, max_bytes: int) -> bool:
    length = request.headers.get("content-length", "")
    return length.isdigit() and int(length) <= max_bytes


async def _left(request: Any) -> bool:
    """Return whether the visitor has closed the connection. gradio passes Starlette's own request."""
    return bool(await request.is_disconnected())


async def _computed(answer: Callable[[Any], Answer], question: Any, request: Any) -> Answer:
    awaited = True

    async def watch() -> None:
        nonlocal awaited
        while awaited:
            await asyncio.sleep(POLL_SECONDS)
            awaited = not await _left(request)

    watching = asyncio.ensure_future(watch())
    try:
        return await in_thread(answer, question, lambda: awaited)
    finally:
        watching.cancel()


async def in_thread(answer: Callable[[Any], Answer], question: Any, awaited: Callable[[], bool]) -> Answer:
    """Return the answer to a question, computed within the limits of a request; every error becomes a sentence.

    ``awaited`` tells whether somebody still waits.
    """

    def work() -> Answer:
        timeouts.start(awaited, time.monotonic())
        try:
            check_files(question)
            with cache.decoding_once():
                return answer(question)
        except Gone as error:
            return {"problem": error.message, "gone": error.path}
        except gr.Error as error:
            return {"problem": error.message}
        except (ValueError, OSError) as error:
            return {"problem": error_message(error)}
        except Exception:
            logging.getLogger(__name__).exception("a question failed")
            return {"problem": BROKEN}

    return await anyio.to_thread.run_sync(contextvars.copy_context().run, work)
