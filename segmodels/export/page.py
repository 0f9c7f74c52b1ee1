"""A network as one HTML file that runs it in the browser, without a server.

The file holds the runtime, the network and the page. Bytes stand in it as they are, compressed, in a page of the encoding
windows-1252, where each byte is one character; base64 would make the file a third larger. Four bytes that HTML would
change or understand are written as two. All else in the file is ASCII.
"""

import gzip
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from ..checkpoints.paths import ONNXRUNTIME_WEB, PAGE
from ..files import atomic_write
from ..inference.loading import load_network
from ..inference.settings import RATE_RANGE
from ..inference.sizes import LARGEST_WHOLE
from ..labels import ClassList
from ..models.card import Card
from . import weight_types
from .halves import split
from .onnx_graph import check_tools, metadata

ESCAPE = 0x3D
"""``=`` stands before a byte that was moved by ``MOVED``, so that none of ``ESCAPED`` is in the page."""
ESCAPED = (0x00, 0x0D, 0x3C, ESCAPE)
"""NUL and carriage return, which HTML replaces; ``<``, which could end the script; and the escape itself."""
MOVED = 64


def export_page(name: str, out: Path, weights: Path | None = None) -> Card:
    """Write ``out``, a page that runs the network called ``name`` in the browser; return its card.

    Weights are stored in float16, all is computed in float32.

    Raises:
        ModuleNotFoundError: if onnx and onnxscript are not installed.
        ValueError: if ``out`` is no ``.html`` file; and as of ``load``.
        OSError: if it cannot be written.
    """
    if out.suffix != ".html":
        raise ValueError(f"the page is written as .html, so --page cannot be {out.name}")
    check_tools()
    network, card = load_network(name, weights)
    align_corners = network.align_corners
    parts = {}
    for part, model in zip(("encoder", "decoder"), split(network, card), strict=True):
        weight_types.store_as_half(model)
        parts[part] = gzip.compress(model.SerializeToString(), 9, mtime=0)
    content = page(card, align_corners, parts)
    with atomic_write(out) as partial:
        partial.write_bytes(content)
    return card


def page(card: Card, align_corners: bool, graphs: Mapping[str, bytes]) -> bytes:
    """Return the whole file.

    Args:
        card: of the network.
        align_corners: the network's.
        graphs: ``encoder`` and ``decoder``, compressed.
    """
    facts = page_facts(card, align_corners)
    text = (PAGE / "page.html").read_text(encoding="utf-8")
    inserted = {
        "TITLE": escape(facts["title"]),
        "ABOUT": escape(facts["about"]),
        "WEIGHTS": escape(_weights(facts["provenance"], facts["licence"])),
        "STYLE": _read("page.css"),
        "FACTS": json.dumps(facts).replace("<", "\\u003c"),
        "DRAWING": _script("drawing.js"),
        "WORKER": _script("network.js"),
        "PAGE": _script("page.js"),
    }
    for place, content in inserted.items():
        text = text.replace(f"{{{{{place}}}}}", content)
    head, tail = (half.encode("ascii", "xmlcharrefreplace") for half in text.split("{{BYTES}}"))
    runtime = {
        "javascript": (ONNXRUNTIME_WEB / "ort.wasm.bundle.min.mjs.gz").read_bytes(),
        "wasm": (ONNXRUNTIME_WEB / "ort-wasm-simd-threaded.wasm.gz").read_bytes(),
    }
    return b"".join([head, *(embedded(*part) for part in (runtime | dict(graphs)).items()), tail])


def embedded(name: str, content: bytes) -> bytes:
    """Return bytes as an element of a page in windows-1252, from which ``page.js`` reads them."""
    for byte in (
        ESCAPE,
        *(byte for byte in ESCAPED if byte != ESCAPE),
    ):  # the escape first: the others bring more of it
        content = content.replace(bytes([byte]), bytes([ESCAPE, byte + MOVED]))
    return b'<script type="application/octet-stream" id="' + name.encode() + b'">' + content + b"</script>\n"


def page_facts(card: Card, align_corners: bool) -> dict[str, Any]:
    """Return what the page has to know of the network."""
    told = metadata(card, align_corners)
    return {
        "name": card.name,
        "title": card.title,
        "about": card.summary,
        "classes": _classes(card.class_list),
        "mean": card.mean,
        "std": card.std,
        "contrast": json.loads(told["contrast"]),
        "alignCorners": align_corners,
        "workingSize": card.working_size,
        "largestWhole": LARGEST_WHOLE if card.microscopy else None,
        "shortSide": card.short_side,
        "rate": card.atrous_rate,
        "rates": RATE_RANGE,
        "provenance": told["provenance"],
        "licence": told["licence"],
        "madeBy": told["made_by"],
        "runtime": json.loads((ONNXRUNTIME_WEB / "about.json").read_text(encoding="utf-8")),
    }


def _weights(provenance: str, licence: str) -> str:
    """Return what the page says of the weights at its end."""
    return f"Weights: {provenance}." + (f" Licence: {licence}" if licence else "")


def _classes(class_list: ClassList) -> list[dict[str, Any]]:
    palettes = {"display": class_list.display_palette, "voc": class_list.palette}
    return [
        {
            "index": index,
            "name": name,
            "nothing": index == class_list.background,
            "colours": {kind: f"#{palette[index].tobytes().hex()}" for kind, palette in palettes.items()},
        }
        for index, name in enumerate(class_list.names)
    ]


def _read(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def _script(name: str) -> str:
    """A file of JavaScript in ASCII, fit to stand in an element of a page."""
    return _read(name).encode("ascii", "backslashreplace").decode().replace("</script", "<\\/script")
