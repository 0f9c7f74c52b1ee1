"""The brush: a board to paint classes on a photo or two, and what a layer that was fitted to the painting makes of them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ...server.inference_queue import Answer
from ..computed import place_on_page
from .painting import MAX_BYTES

ID = "teach"


def brush_board(
    inputs: Sequence[gr.components.Component], answer: Callable[[Any], Answer], colours: Sequence[str]
) -> gr.HTML:
    """Put the board on the page.

    Args:
        inputs: the photo, the second photo, and settings; their changes ask again.
        answer: from ``{"values": [one of each input, the painting], "step": 0}``; see ``brush.js``.
        colours: of the classes, as CSS has them.
    """
    return place_on_page(
        answer,
        inputs,
        ID,
        html_template=(Path(__file__).parent / "brush.html").read_text(encoding="utf-8"),
        js_on_load=f"brush(element, server, trigger, {json.dumps(ID)}, {json.dumps(list(colours))}); // 'shown'",
        changes=[one.change for one in inputs],  # type: ignore[attr-defined]
        max_bytes=MAX_BYTES,
    )
