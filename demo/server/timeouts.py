"""How long a request may take, and whether anybody still waits for its answer.

A network's pass cannot be interrupted, so whoever works asks between two steps: ``timeouts.check()``. Outside of a request
nothing is limited.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

REQUEST_SECONDS: float = 60
"""How long a request may compute, waiting in the queue not counted. A photo of 40 megapixels takes ten on a busy core."""

FETCH_SECONDS = 600
"""How long published weights may take to arrive."""


class Stopped(ValueError):
    """A request that goes on no longer; the message is one plain sentence."""


class Left(Stopped):
    """The visitor has gone: a matter of that request alone, and no news for others."""


@dataclass(frozen=True)
class _Request:
    started: float
    awaited: Callable[[], bool]


_request: ContextVar[_Request | None] = ContextVar("request", default=None)


def start(awaited: Callable[[], bool], begun: float) -> None:
    """A request is served here, in this thread or task and those that it starts; ``awaited`` tells if somebody still waits.

    ``begun`` is when its first step began, by ``time.monotonic``.
    """
    _request.set(_Request(begun, awaited))


def check(seconds: float | None = None) -> None:
    """Go on only if the request took no more than ``seconds`` so far, else REQUEST_SECONDS, and its visitor is there.

    Raises:
        Stopped: otherwise.
    """
    request = _request.get()
    if request is None:
        return
    if not request.awaited():
        raise Left("Nobody waits for this any more, so it was stopped.")
    most = REQUEST_SECONDS if seconds is None else seconds
    if time.monotonic() - request.started > most:
        raise Stopped(f"This took longer than {most} seconds, so it was stopped: try again, or with a smaller photo.")
