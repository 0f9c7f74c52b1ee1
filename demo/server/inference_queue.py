"""The line in which the page's own questions about photos wait. They pass gradio's queue by: one request, one answer.

An event of gradio's takes three requests, and the page hands its answer through all of its state; a question asked here
costs what the network costs. First come, first served; whoever waits can ask for their place, and whoever leaves it is
passed over.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable
from typing import Any

import anyio.to_thread
import gradio as gr

from . import cache, timeouts
from .checked_blocks import BROKEN, check_files
from .settings import error_message

WORKERS = 2
"""Questions that are computed at once. A Space has two cores: more would only make everyone slower."""
MAX_WAITING = 64
"""Questions that may wait at once."""
MAX_BYTES = 8192
"""Of a question: so that those who wait hold next to nothing."""
TOO_LARGE = "This is no question that the page asks: it is too large."
FULL = "Too many people are waiting: try again in a minute."
LOOK_SECONDS = 0.2
"""How often is looked whether somebody still waits for an answer."""

Answer = dict[str, Any] | None
"""What the browser draws: a result, ``{"problem": ...}``, or nothing."""


class InferenceQueue:
    """The questions of all visitors of one page."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(WORKERS)
        self._waiting: list[object] = []
        self._computing = 0

    @property
    def busy(self) -> bool:
        """Whether a question waits or is computed."""
        return bool(self._waiting or self._computing)

    def functions(self, answer: Callable[[Any], Answer]) -> list[Callable[..., Any]]:
        """What a component offers the browser: ``ask``, whose questions wait here until ``answer`` computes them, and ``place``."""

        async def ask(question: Any, request: gr.Request) -> Answer:
            if not _is_small(request):
                return {"problem": TOO_LARGE}
            if len(self._waiting) >= MAX_WAITING:
                return {"problem": FULL}
            if not await self._has_a_place(question.get("ticket") if isinstance(question, dict) else None, request):
                return None
            self._computing += 1
            try:
                return await _computed(answer, question, request)
            finally:
                self._computing -= 1
                self._places.release()

        def place(ticket: Any) -> int | None:
            """How many are served before the question with this ticket; None if it does not wait."""
            return self._waiting.index(ticket) if ticket in self._waiting else None

        return [ask, place]

    async def _has_a_place(self, ticket: object, request: Any) -> bool:
        """Wait for a place, which is the caller's then; False if the visitor leaves before."""
        if not self._places.locked():
            return await self._places.acquire()
        self._waiting.append(ticket)
        coming = asyncio.ensure_future(self._places.acquire())
        try:
            while not coming.done() and not await _left(request):
                await asyncio.wait([coming], timeout=LOOK_SECONDS)
            if not await _left(request):
                return True
            if not coming.cancel():  # it has come meanwhile
                self._places.release()
            return False
        finally:
            self._waiting.remove(ticket)


def _is_small(request: Any) -> bool:
    length = request.headers.get("content-length", "")
    return length.isdigit() and int(length) <= MAX_BYTES


async def _left(request: Any) -> bool:
    """Whether the visitor has closed the connection. What gradio hands over is the request as Starlette has it."""
    return bool(await request.is_disconnected())


async def _computed(answer: Callable[[Any], Answer], question: Any, request: Any) -> Answer:
    awaited = True

    async def look() -> None:
        nonlocal awaited
        while awaited:
            await asyncio.sleep(LOOK_SECONDS)
            awaited = not await _left(request)

    looking = asyncio.ensure_future(look())
    try:
        return await in_thread(answer, question, lambda: awaited)
    finally:
        looking.cancel()


async def in_thread(answer: Callable[[Any], Answer], question: Any, awaited: Callable[[], bool]) -> Answer:
    """What ``answer`` says to a question, within the limits of a request; whatever goes wrong is a sentence.

    ``awaited`` tells if somebody still waits.
    """

    def work() -> Answer:
        timeouts.start(awaited, time.monotonic())
        try:
            check_files(question)
            with cache.decoding_once():
                return answer(question)
        except gr.Error as error:
            return {"problem": error.message}
        except (ValueError, OSError) as error:
            return {"problem": error_message(error)}
        except Exception:
            logging.getLogger(__name__).exception("a question failed")
            return {"problem": BROKEN}

    return await anyio.to_thread.run_sync(contextvars.copy_context().run, work)
