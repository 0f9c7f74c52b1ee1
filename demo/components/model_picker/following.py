"""The other tabs' network, rate and stride follow those that a visitor chooses on the Segment tab."""

import json
from typing import Any

import gradio as gr

FOLLOWERS = ("anatomy", "pixel", "certainty", "parts")
"""How the ``elem_id`` of controls begin that follow, as far as they are there: ``pixel-model``, ``pixel-rate``."""


def follow_segment(page: gr.Blocks, model: Any, rate: Any, stride: Any) -> None:
    """Connect the controls of ``page`` with the Segment tab's; the browser does it by itself.

    They follow once a visitor rests (``questions.js``): gradio needs some 40 ms for it, which a moved slider would wait for.
    What a link asks for is left alone.
    """
    controls: dict[str | None, Any] = {
        getattr(component, "elem_id", None): component for component in page.blocks.values()
    }
    chosen: list[Any] = [model, rate, stride]
    for prefix in FOLLOWERS:
        ids = [f"{prefix}-{kind}" for kind in ("model", "rate", "stride")]
        mine: list[Any] = [controls[name] for name in ids if name in controls]
        names = json.dumps([name for _, name in mine[0].choices])
        js = f"(...all) => {names}.includes(all[0]) ? all.slice(0, {len(mine)}) : all.slice(3)"
        controls["pictures"].select(None, [*chosen, *mine], mine, js=js, api_visibility="private")


def settings_beside(page: Any) -> list[Any]:
    """The Segment tab's network, rate and stride, while ``page`` is built; none on a page without that tab."""
    return list(getattr(page, "segment_settings", ()))
