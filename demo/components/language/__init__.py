"""The page in other languages: a catalogue for each, from which ``language.js`` translates in the browser.

A catalogue is a JSON file of English texts and their translations; ``python -m tools.repository.messages`` adds new texts.
"""

import functools
import gzip
import hashlib
import json
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from segmodels.labels import CAMVID, NUCLEI, VOC
from segmodels.models import registry

from ..markup import readable

FOLDER = Path(__file__).resolve().parent
LANGUAGES = tuple(sorted(file.stem for file in FOLDER.glob("*.json")))
PATH = re.compile(rf"/language/(?P<code>{'|'.join(LANGUAGES)})\.json")


@functools.cache
def _catalogue(code: str) -> tuple[bytes, str]:
    """A catalogue with the names of classes and networks, which stand in many texts, packed, and its hash."""
    classes = {readable(name) for of in (VOC, CAMVID, NUCLEI) for name in of.names}
    names = {name for card in registry.CARDS.values() for name in (card.name, card.title)}
    content = {
        "texts": json.loads((FOLDER / f"{code}.json").read_text(encoding="utf-8")),
        "classes": sorted(classes, key=len, reverse=True),
        "names": sorted(names, key=len, reverse=True),
    }
    data = gzip.compress(json.dumps(content, ensure_ascii=False).encode(), mtime=0)
    return data, f'"{hashlib.sha256(data).hexdigest()}"'


async def answer(code: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a language's catalogue; a browser that has it already is told so."""
    content, tag = _catalogue(code)
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Encoding": "gzip"}
    known = Request(scope).headers.get("if-none-match") == tag
    response = Response(
        b"" if known else content, 304 if known else 200, headers=headers, media_type="application/json"
    )
    await response(scope, receive, send)
