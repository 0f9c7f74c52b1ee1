"""Photos to begin with: each teaches something, and a line says what to look for."""

import json
from functools import cache
from pathlib import Path

import gradio as gr
from PIL import Image, ImageOps

from segmodels.checkpoints.paths import EXAMPLES

from ..markup import data_url
from ..templates import render

CREDITS: dict[str, str] = json.loads((EXAMPLES / "credits.json").read_text(encoding="utf-8"))
"""Each example photo with its maker and licence."""
PHOTOS = {Path(name).stem: EXAMPLES / name for name in CREDITS}
"""The photos that a link can name; some of them are no longer offered."""

OFFERED = {
    "raft": ("Rafting", "Where does each network put the border between people and boat?"),
    "rider": ("Rider and horse", "Two classes in one outline: look at the saddle."),
    "hug": ("Dog and owner", "They touch: how far does each network's dog reach?"),
    "motorbikes": ("Motocross start", "Motorbike or bicycle? Compare FCN with DeepLab, then move the rate."),
    "boats": ("Sailing boats", "Large sails: move a DeepLab's rate to 1 and to 24."),
    "bear": ("Child and teddy bear", "A toy is no class: which networks take more of it for a dog?"),
    "dogs": ("Two dogs", "Thin legs: compare FCN-32s with FCN-8s."),
    "parrots": ("Two macaws", "An easy one: where do networks still differ?"),
    "coffee": ("A cup", "A cup is no class: what do all networks take it for?"),
    "cat": ("A cat's face", "It fills the photo: which network finds most of it?"),
}
"""Title and what to look for, by name, in order."""
CELLS = {
    "nuclei": ("Cell nuclei", "Choose the network Cells: how many are there?"),
    "nuclei_crowded": ("Crowded nuclei", "For the network Cells: which ones does it take for one?"),
}
"""Pictures from a microscope, after the others."""
LABELLED = {"coffee": "cup", "astronaut": "helmet"}
"""Photos with a label map of one class beside them: 1 where it is, 255 along its border and where one cannot tell."""
FIRST = f"{next(iter(OFFERED))}.jpg"
"""The one on which networks, rates, strides and parts differ most visibly: ``python -m tools.measure.examples``."""

THUMBNAIL = (144, 108)
"""Pixels, (width, height): twice what it takes on the page, for dense screens."""


def label_map_of(name: str) -> Path:
    """The label map of an example that is ``LABELLED``."""
    return EXAMPLES / f"{name}_labels.png"


def strip(photo: gr.Image, elem_id: str) -> None:
    """The examples in a row; a click on one makes it the page's ``photo``."""
    # As gradio keeps them, since the page may not be allowed to hand out the project's own files.
    paths = {name: str(photo.move_resource_to_block_cache(PHOTOS[name])) for name in OFFERED | CELLS}
    html = render("components/examples/strip.html", offered=OFFERED | CELLS, paths=paths)
    row = gr.HTML(html, js_on_load="exampleStrip(element, trigger); // 'select'", elem_id=elem_id)
    row.select(None, None, [photo], js="() => window.chosenPhoto", api_visibility="private")


@cache
def style() -> str:
    """The examples' pictures, once for all strips of the page."""
    rules = (
        f".examples [data-example={name}] i {{ background-image: url({_thumbnail(name)}) }}" for name in OFFERED | CELLS
    )
    return "".join(rules)


def _thumbnail(name: str) -> str:
    """The middle of a photo, small, as an address."""
    with Image.open(PHOTOS[name]) as photo:
        small = ImageOps.fit(photo.convert("RGB"), THUMBNAIL, centering=(0.5, 1 / 3))
    return data_url(small, "WebP", quality=60, method=6)
