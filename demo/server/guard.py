"""What stands between strangers and the events: nothing but uploads gets in, and nothing but sentences gets out."""

import html
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.state_holder import SessionState, StateHolder
from gradio.utils import get_upload_folder, is_in_or_equal
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import limits, memory, uploads
from .settings import sentence

MAX_UPLOAD = 64 * 2**20
"""Bytes of one photo."""
MAX_BODY = 4 * 2**20
"""Bytes of any other request: a few settings, perhaps with a drawing among them."""
MAX_DRAINED = 256 * 2**20
"""Bytes that are read and dropped so that whoever sends too much can hear why; beyond them the connection is cut."""
FRAME = 2**16
"""Bytes that a form puts around its file."""

CLOSED = ("file=http:", "file=https:", "proxy=", "process_recording", "stream/")
"""gradio's routes, below its prefix, that fetch an address or convert a video for whoever asks: nothing here needs them."""

NOT_AN_UPLOAD = "This is no uploaded photo: files of the server are not read and addresses are not fetched, so upload the photo itself."
GONE = "This photo is no longer here, because photos are deleted an hour after the upload: upload it again."
WRONG_INPUTS = 'These are not the inputs that this takes: see the list of them under "Use via API".'
BROKEN = "Something broke on this side, not with your photo: try again, and if it stays, please report it."


class GuardedBlocks(gr.Blocks):
    """Blocks whose events take files only from the upload folder, and whose errors are all sentences.

    gradio checks files that call themselves such, fetches those that are addresses, and hands other dictionaries on as
    they are; but inputs here arrive unprocessed, so what looks like a file has to be one of the uploads.
    """

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
        """As gradio's, within the limits of a request; raises gr.Error, with a sentence, whatever goes wrong."""
        event_id = kwargs.get("event_id")
        limits.start(lambda: self._is_awaited(event_id))
        try:
            with memory.decoding_once():
                return await super().process_api(block_fn, inputs, *args, **kwargs)
        except gr.Error as error:
            error.message = html.escape(error.message, quote=False)  # the page shows it as HTML
            raise
        except limits.Stopped as error:
            raise gr.Error(str(error), print_exception=False) from None
        except OSError as error:
            raise gr.Error(sentence(error)) from error
        except Exception as error:
            raise gr.Error(BROKEN) from error

    def _is_awaited(self, event_id: str | None) -> bool:
        event = self._queue.event_ids_to_events.get(event_id) if event_id else None
        return event is None or event.alive


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


def check_files(inputs: Any) -> None:
    """Look at everything in ``inputs`` that is, or pretends to be, a file.

    Raises:
        gr.Error: unless each is in the upload folder and still there.
    """
    for path in _paths(inputs):
        try:
            inside = isinstance(path, str) and "://" not in path and is_in_or_equal(path, get_upload_folder())
            there = inside and Path(path).is_file()
        except (OSError, ValueError):  # such as a name too long, or one with a NUL in it
            inside = there = False
        if not there:
            raise gr.Error(GONE if inside else NOT_AN_UPLOAD, print_exception=False)


def _paths(inputs: Any) -> Iterator[Any]:
    """The path of each dictionary that a component could take for a file; None if it has but an address."""
    waiting = [inputs]
    while waiting:  # not recursive: a request may be nested deeply
        value = waiting.pop()
        if isinstance(value, dict):
            if value.keys() & {"path", "url", "meta"}:
                yield value.get("path")
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)


class Doorkeeper:
    """Middleware that turns away what is too large, asks for a closed route, or breaks the server: with a sentence."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.uploading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        route = scope["path"].partition("/gradio_api/")[2]
        if not route.startswith("upload"):
            await self._admit(route, scope, receive, send)
            return
        self.uploading += 1
        try:
            await self._admit(route, scope, receive, send)
        finally:
            self.uploading -= 1
            if not self.uploading:
                uploads.drop_broken()

    async def _admit(self, route: str, scope: Scope, receive: Receive, send: Send) -> None:
        if route.startswith(CLOSED):
            await _answer(403, "This demo fetches no addresses and converts no videos.", scope, receive, send)
            return
        most = MAX_UPLOAD + FRAME if route.startswith("upload") else MAX_BODY
        too_large = f"This is larger than {most / 2**20:.0f} MB, the most that can be sent."
        if _declared_length(scope) > most:
            await _drain(receive)
            await _answer(413, too_large, scope, receive, send)
            return
        received, answered = 0, False

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise _TooLarge
            return message

        async def watched_send(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self.app(scope, receive_some, watched_send)
        except Exception as error:
            if answered or isinstance(error, ClientDisconnect):
                raise
            if isinstance(error, _TooLarge):
                await _drain(receive)
                await _answer(413, too_large, scope, receive, send)
                return
            logging.getLogger(__name__).exception("a request to %s failed", scope["path"])
            await _answer(*_explained(error), scope, receive, send)


class _TooLarge(Exception):
    pass


async def _drain(receive: Receive) -> None:
    """Read what is still being sent: a connection closed before that may lose the answer."""
    dropped, more = 0, True
    while more and dropped <= MAX_DRAINED:
        message = await receive()
        dropped += len(message.get("body", b""))
        more = message.get("more_body", False)


def _declared_length(scope: Scope) -> int:
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0


def _explained(error: Exception) -> tuple[int, str]:
    if isinstance(error, OSError):
        return 507, sentence(error)
    if isinstance(error, KeyError):
        return 404, "There is no such event: load the page again."
    return 400, "This request makes no sense here: load the page again."


async def _answer(status: int, sentence: str, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"detail": sentence}, status)(scope, receive, send)
