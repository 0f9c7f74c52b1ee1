"""The lab: what a network's settings do, on the visitor's own photo. One file a section."""

from types import ModuleType
from typing import Any

import gradio as gr

COMPUTES: dict[str, Any] = {
    "concurrency_id": "cpu",
    "concurrency_limit": 2,
    "preprocess": False,
    "api_visibility": "private",
}
"""Options of every event of the lab: they share the two places in the queue with the Segment tab."""


def _sections() -> tuple[ModuleType, ...]:
    from . import certainty, parts, pixel  # here, because sections import COMPUTES from this module

    return pixel, parts, certainty


def lab_tab(photo: gr.Image) -> None:
    """Put all sections into the tab that is being built. ``photo`` is the Segment tab's: there is one photo on the page."""
    with gr.Tabs():
        for module in _sections():
            with gr.Tab(module.TITLE) as tab:
                module.section(photo, tab)
