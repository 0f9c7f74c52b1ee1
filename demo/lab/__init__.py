"""The lab: what a network's settings do, on the visitor's own photo. One file a section."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from types import ModuleType
from typing import Any

import gradio as gr
from PIL import Image

from .. import examples, segment_tab, shown
from ..segment_tab import BESIDE, Upload
from ..server import memory
from ..server.settings import sentence
from ..view import data_url

COMPUTES: dict[str, Any] = {**segment_tab.COMPUTES, "api_visibility": "private"}
"""Options of every event of the lab: they share the two places in the queue with the Segment tab."""

THUMBNAIL_SIDE = 160
"""The longer side of the photo in the bar, in pixels: twice what it takes on the page, for dense screens."""


@dataclass(frozen=True)
class Shown:
    """What a section is given as its tab."""

    select: Callable[..., Any]
    """The event that the section has come into view: like a ``gr.Tab``'s, but also when the whole Lab is opened again
    and when the photo changes under the section that is in view. A section that listens to it need not listen to the
    photo, and one out of view computes nothing."""
    network: gr.Radio
    """The network that is chosen in the Segment tab."""


def _sections() -> tuple[ModuleType, ...]:
    from . import (  # here, because sections import COMPUTES from this module
        certainty,
        compare,
        grid,
        parts,
        pixel,
        teach,
        weights,
    )

    return grid, weights, pixel, parts, certainty, compare, teach


def lab_tab(photo: gr.Image, lab: gr.Tab, network: gr.Radio) -> gr.Tabs:
    """Put the photo's bar and all sections into ``lab``, the tab that is being built, and return the sections' tabs.

    ``photo`` and ``network`` are the Segment tab's: there is one photo on the page. A section is a module with a ``TITLE`` and a
    ``section(photo, tab)``, which puts components and events into its tab and computes nothing before ``tab.select``.
    """
    opened = [lab.select, photo.change]
    in_use = _photo_bar(photo)
    with gr.Tabs(elem_id="sections", overflow_behavior="wrap") as tabs:
        for module in _sections():
            with gr.Tab(module.TITLE, id=section_id(module)) as tab:
                module.section(photo, Shown(shown.comes_into_view(), network))
            opened.append(tab.select)
    shown.follow(opened)
    gr.on([lab.select, photo.change], photo_in_use, [photo], [in_use], **BESIDE, **READS)
    return tabs


def section_id(module: ModuleType) -> str:
    """A section's name in links: its file's."""
    return module.__name__.rpartition(".")[2]


BAR: dict[str, Any] = {"preprocess": False, "queue": False, "show_progress": "hidden", "api_visibility": "private"}

READS: dict[str, Any] = {**BAR, "queue": True, "concurrency_id": "bar", "concurrency_limit": 1}
"""For the one event of the bar that decodes a photo, which may be large: one at a time, however many visitors there are."""


def _photo_bar(photo: gr.Image) -> gr.HTML:
    """The photo in use, and two ways to another one: an upload and the examples."""
    with gr.Row(elem_id="photo-bar"):
        in_use = gr.HTML(elem_id="photo-in-use")
        upload = gr.UploadButton("Another photo", file_types=["image"], size="sm", scale=0, min_width=140)
        examples.strip(photo, "lab-examples")
    upload.upload(_path, [upload], [photo], trigger_mode="always_last", **BAR)
    return in_use


def _path(file: Any) -> str:
    if not isinstance(file, dict):
        raise gr.Error("There is no photo: choose one to upload.", print_exception=False)
    return str(file["path"])


def photo_in_use(upload: Upload) -> str:
    """A thumbnail and the size of the page's photo; without one, or with one that cannot be shown, a sentence."""
    if upload is None:
        return '<p class="hint">There is no photo yet: upload one, or pick an example.</p>'
    try:
        display = memory.display(upload["path"])
    except (ValueError, OSError) as error:
        return f'<p class="hint" role="alert">{escape(sentence(error))}</p>'
    small = display.photo.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR)
    width, height = display.size
    return (
        f'<img src="{data_url(small, "JPEG")}" alt="The photo in use"><p>Photo in use<br>{width} × {height} pixels</p>'
    )
