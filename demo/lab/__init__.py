"""The lab: what a network's settings do, on the visitor's own photo. One file a section."""

from types import ModuleType

import gradio as gr

from ..components import examples


def _sections() -> tuple[ModuleType, ...]:
    from . import ablation, certainty, compare, pixel, rate_weights, rates_by_stride, skips_learn, teach

    return rates_by_stride, rate_weights, pixel, ablation, skips_learn, certainty, compare, teach


CHOOSER = '<label class="way"><input type="file" accept="image/*,.heic,.heif">Another photo</label>'


def lab_tab(photo: gr.Image, network: gr.Radio) -> gr.Tabs:
    """Put the photo's bar and all sections into the tab that is being built, and return the sections' tabs.

    ``photo`` and ``network`` are the Segment tab's: there is one photo on the page. A section is a module with an
    ``ID``, its name in links, a ``TITLE`` and a ``section(photo, network)``, which puts its components and events into the
    tab that is being built.
    """
    _photo_bar(photo)
    with gr.Tabs(elem_id="sections", overflow_behavior="wrap") as tabs:
        for module in _sections():
            with gr.Tab(module.TITLE, id=module.ID):
                module.section(photo, network)
    return tabs


def _photo_bar(photo: gr.Image) -> None:
    """The photo in use, and two ways to another one: an upload and the examples."""
    with gr.Row(elem_id="photo-bar"):
        gr.HTML('<div id="photo-in-use"></div>', js_on_load="drawing.photoInUse()")
        gr.HTML(CHOOSER, js_on_load="photoChooser(element.querySelector('input'), file => takePhoto(file))")
        examples.strip(photo, "lab-examples")
