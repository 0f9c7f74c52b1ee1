"""The lab: what a network's settings do, on the visitor's own photo. One file a section."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gradio as gr

from .. import shown
from ..components import examples
from ..events import AT_ONCE


@dataclass(frozen=True)
class SectionTab:
    """What a section is given as its tab."""

    select: Callable[..., Any]
    """The event that the section has come into view: like a ``gr.Tab``'s, but also when the whole Lab is opened again
    and when the photo changes under the section that is in view. A section that listens to it need not listen to the
    photo, and one out of view computes nothing."""
    network: gr.Radio
    """The network that is chosen in the Segment tab."""


def _sections() -> tuple[ModuleType, ...]:
    from . import ablation, certainty, compare, pixel, rate_weights, rates_by_stride, teach

    return rates_by_stride, rate_weights, pixel, ablation, certainty, compare, teach


def lab_tab(photo: gr.Image, lab: gr.Tab, network: gr.Radio) -> gr.Tabs:
    """Put the photo's bar and all sections into ``lab``, the tab that is being built, and return the sections' tabs.

    ``photo`` and ``network`` are the Segment tab's: there is one photo on the page. A section is a module with an
    ``ID``, its name in links, a ``TITLE`` and a ``section(photo, tab)``, which puts components and events into its tab and computes nothing before ``tab.select``.
    """
    opened = [lab.select, photo.change]
    _photo_bar(photo)
    with gr.Tabs(elem_id="sections", overflow_behavior="wrap") as tabs:
        for module in _sections():
            with gr.Tab(module.TITLE, id=module.ID) as tab:
                module.section(photo, SectionTab(shown.comes_into_view(), network))
            opened.append(tab.select)
    shown.follow(opened)
    return tabs


def _photo_bar(photo: gr.Image) -> None:
    """The photo in use, and two ways to another one: an upload and the examples."""
    with gr.Row(elem_id="photo-bar"):
        gr.HTML('<div id="photo-in-use"></div>', js_on_load="drawing.photoInUse()")
        upload = gr.UploadButton("Another photo", file_types=["image"], size="sm", scale=0, min_width=140)
        examples.strip(photo, "lab-examples")
    upload.upload(_path, [upload], [photo], trigger_mode="always_last", **AT_ONCE)


def _path(file: Any) -> str:
    if not isinstance(file, dict):
        raise gr.Error("There is no photo: choose one to upload.", print_exception=False)
    return str(file["path"])
