"""Pages that run a network in the visitor's own browser: each is written once, for whoever asks first, and is a file then.

What a visitor opens there never reaches this server. Needs onnx and onnxscript; without them nothing is offered.
"""

import asyncio
import functools
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from segmodels.models import registry

PATH = re.compile(r"/in-browser/(?P<name>\w+)\.html")
FAILED = "This page could not be made: the server says why in its log."
MOST_SECONDS = 600
"""That making one may take on a busy machine."""


@functools.cache
def _tools() -> bool:
    return all(importlib.util.find_spec(package) for package in ("onnx", "onnxscript"))


def is_offered(name: str) -> bool:
    """Whether a network can run in a browser: those of the compact zoo, and weights of the deployer's own."""
    return _tools() and (name in registry.compact_models() or name in _own())


def _own() -> dict[str, Path]:
    return {name: card.file for name, card in registry.CARDS.items() if card.source == "own" and card.file}


_made: dict[str, "asyncio.Future[tuple[bytes, str]]"] = {}
"""The pages with their hashes, by the names of their networks; some may still be being made."""
_one_at_a_time = threading.Lock()


def _make(name: str) -> tuple[bytes, str]:
    """A page and its hash. Written by another process: an export changes torch while it runs."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with _one_at_a_time, tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "net.html")
        command = [sys.executable, "-m", "segmodels", "export", str(_own().get(name, name)), "--page", str(out)]
        subprocess.run(command, env=environment, check=True, timeout=MOST_SECONDS, stdout=subprocess.DEVNULL)
        content = out.read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()}"'


async def answer(name: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the page of a network; a browser that has it already is told so."""
    if name not in _made or (_made[name].done() and _made[name].exception()):
        _made[name] = asyncio.ensure_future(asyncio.to_thread(_make, name))
    try:
        content, tag = await asyncio.shield(_made[name])
    except (OSError, subprocess.SubprocessError):
        await JSONResponse({"detail": FAILED}, 500)(scope, receive, send)
        return
    # The encoding is the file's own, see `segmodels/export/page.py`: the server must not name another.
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Type": "text/html; charset=windows-1252"}
    known = Request(scope).headers.get("if-none-match")
    response = Response(status_code=304, headers=headers) if known == tag else Response(content, headers=headers)
    await response(scope, receive, send)
