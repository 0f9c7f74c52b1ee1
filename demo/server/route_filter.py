"""Which addresses there are, and how much may be sent to them. Requests to any other address are refused."""

import logging
import re

from starlette._utils import get_route_path
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..components import language
from . import in_browser, uploads
from .messages import error_message

MAX_UPLOAD = 64 * 2**20
"""Bytes of one upload, all its files together."""
MAX_BODY = 4 * 2**20
"""Bytes of any other request: a few settings, perhaps with a drawing among them."""
MAX_DRAINED = 256 * 2**20
"""Bytes that are read and dropped so that whoever sends too much can hear why; beyond them the connection is cut."""
FRAME = 2**16
"""Bytes that a form puts around its file."""

UPLOAD = "/gradio_api/upload"
INFO = "/gradio_api/info"
"""How programs use the page, with the address that is asked as the address to use. gradio would remember the first visitor's
for all others, but not if it is asked about a single page; the first of them has no name."""
ALLOWED = {
    # the page and what it is made of
    r"/": "GET HEAD",
    r"/config/?": "GET",
    r"/(static|assets|svelte)/.+": "GET HEAD",
    r"/(theme\.css|favicon\.ico|robots\.txt|manifest\.json|pwa_icon(/\d+)?)": "GET HEAD",
    # photos in, pictures out
    r"/gradio_api/upload": "POST",
    r"/gradio_api/upload_progress": "GET",
    r"/gradio_api/file=(?P<file>.+)": "GET HEAD",
    # events, of the page and of programs
    r"/gradio_api/queue/join": "POST",
    r"/gradio_api/queue/(data|status)": "GET",
    r"/gradio_api/(cancel|reset/?)": "POST",
    r"/gradio_api/heartbeat/[^/]+": "GET",
    r"/gradio_api/run/[^/]+/?": "POST",
    r"/gradio_api/call/(v2/)?[^/]+/?": "POST",
    r"/gradio_api/call/(v2/)?[^/]+/[^/]+": "GET",
    # the Segment tab's questions and the camera's frames: the only functions that a component of this page offers
    r"/gradio_api/component_server/?": "POST",
    # what programs ask first, and what gradio asks itself as it starts
    r"/gradio_api/(info/?|app_id/?|startup-events|theme\.css)": "GET",
}
"""All that is let in, as paths with the methods they take. gradio has more: routes that fetch an address, convert a video
or show what others did. What comes with its next release stays closed too.
"""
_ALLOWED = [(re.compile(path), methods.split()) for path, methods in ALLOWED.items()]

NOT_FOUND = 'There is nothing here: this demo serves its page, and to programs what is under "Use via API".'

FORM = "Files are sent to the address for uploads alone."
"""gradio would write those in any form to the disk, and leave what was broken off there for good."""


def is_allowed(method: str, path: str) -> bool:
    """Whether a request goes on to gradio. ``path`` is decoded, as gradio's router sees it; files have to be uploads."""
    for pattern, methods in _ALLOWED:
        if found := pattern.fullmatch(path):
            file = found.groupdict().get("file")
            return method in methods and (file is None or uploads.is_among_uploads(file))
    return False


class RouteFilter:
    """Middleware that turns away what is too large, asks for what is not open, or breaks the server: with a sentence."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.uploading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks over web sockets
            await send({"type": "websocket.close"})
            return
        path = get_route_path(scope) or "/"  # below GRADIO_ROOT_PATH, where a proxy keeps that, as the router sees it
        page = in_browser.PATH.fullmatch(path)
        if page and in_browser.is_offered(page["name"]) and scope["method"] in ("GET", "HEAD"):
            await in_browser.answer(page["name"], scope, receive, send)
            return
        catalogue = language.PATH.fullmatch(path)
        if catalogue and scope["method"] in ("GET", "HEAD"):
            await language.answer(catalogue["code"], scope, receive, send)
            return
        if not is_allowed(scope["method"], path):
            await _answer(404, NOT_FOUND, scope, receive, send)
            return
        if path.rstrip("/") == INFO:
            scope = {**scope, "query_string": scope["query_string"] + b"&page="}
        if path != UPLOAD:
            if _is_form(scope):
                await _answer(415, FORM, scope, receive, send)
                return
            await self._admit(MAX_BODY, scope, receive, send)
            return
        self.uploading += 1
        try:
            await self._admit(MAX_UPLOAD + FRAME, scope, receive, send)
        finally:
            self.uploading -= 1
            if not self.uploading:
                uploads.drop_broken()

    async def _admit(self, most: int, scope: Scope, receive: Receive, send: Send) -> None:
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


def _is_form(scope: Scope) -> bool:
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return any(b"multipart" in kind.lower() for kind in kinds)


def _explained(error: Exception) -> tuple[int, str]:
    if isinstance(error, OSError):
        return 507, error_message(error)
    if isinstance(error, KeyError):
        return 404, "There is no such event: load the page again."
    return 400, "This request makes no sense here: load the page again."


async def _answer(status: int, message: str, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"detail": message}, status)(scope, receive, send)
