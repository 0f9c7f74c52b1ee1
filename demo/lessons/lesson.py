"""What a lesson is: words, controls, a figure that they change, and a question that the figure answers."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import gradio as gr
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segmodels.inference.settings import check_integer, quoted

from ..components import photo_overlay
from ..components.figures import Cell
from ..server import cache

Control = gr.Slider | gr.Radio
OtherTab = Literal["lab", "anatomy"]

SIDE = 512
"""The longer side of a photo in a figure, in pixels."""


@dataclass(frozen=True)
class See:
    """A link to another tab."""

    tab: OtherTab
    words: str
    model: str | None = None
    """The network that Anatomy then shows."""
    section: str | None = None
    """The section of the Lab that is then open: its file's name."""


@dataclass(frozen=True)
class Lesson:
    """One step of the walk. Texts are Markdown."""

    name: str
    """A few words for its tab."""
    title: str
    minutes: int
    """How long it takes to read it and to try its figure."""
    aim: str
    """What one can do afterwards, as a sentence."""
    text: str
    question: str
    choices: tuple[str, str, str]
    """What the question may be answered with. The first one is right; the page sorts them."""
    answer: str
    """What the figure shows, once the right control is moved."""
    controls: Callable[[], list[Control]]
    """Makes them, in the order in which ``figure`` takes their values."""
    figure: Callable[..., str]
    """HTML from the controls' values, as they arrive from the page or from anyone else, after the photo's path if
    ``on_photo``. A ValueError is shown to the visitor as it is."""
    python: str
    """The lesson in ten lines that run by themselves."""
    references: tuple[tuple[str, str], ...]
    """A name in ``PAPERS``, and where in it."""
    see: See
    """Where the same can be seen at work."""
    on_photo: bool = False
    pointed: bool = False
    """Whether clicks on pictures that are ``pointed`` move the last two controls, which are those of ``place``."""
    again: str | None = None
    """The words of a button that moves the last control, a slider, one step on; after its end it begins anew."""
    last_most: Callable[..., int] | None = None
    """What the last control, a slider, may be at most, from the values of those before it; it is made with the largest
    of all, which is what a link may ask for."""

    @property
    def slug(self) -> str:
        """Its name in addresses: ``down-and-up``."""
        return re.sub(r"[^a-z]+", "-", self.name.lower().replace("'", ""))


def slider(label: str, value: int, least: int, most: int, step: int = 1) -> gr.Slider:
    """A lesson's slider over whole numbers."""
    return gr.Slider(least, most, value=value, step=step, label=label, min_width=110)


def radio(label: str, choices: list[Any]) -> gr.Radio:
    """A lesson's choice, the first one chosen."""
    first = choices[0][1] if isinstance(choices[0], tuple) else choices[0]
    return gr.Radio(choices, value=first, label=label, min_width=150)


def small_photo(path: str) -> Image.Image:
    """The visitor's photo at the size at which it is sharp in a panel of a figure, and quick to send."""
    photo = cache.display(path).photo.copy()
    photo.thumbnail((SIDE, SIDE))
    return photo


Box = tuple[float, float, float, float]
"""(left, top, right, bottom) of a part of a picture."""


def close_up(alt: str, labels: NDArray[np.uint8], box: Box, *marks: str) -> str:
    """What lies in ``box`` of a label map and its photo, under ``marks``; the box has the photo's shape."""
    height, width = labels.shape
    left, top, right, bottom = box
    enlarged = np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST, box=box))
    across, down = left / max(width - right + left, 1), top / max(height - bottom + top, 1)
    zoom = f"--zoom: {width / (right - left):.4f}; --across: {across:.2%}; --down: {down:.2%}"
    return f'<div style="{zoom}">{photo_overlay.picture(alt, photo_overlay.layer(enlarged), *marks)}</div>'


def pointed(part: Box, drawn: str) -> str:
    """A picture that takes clicks in a lesson that is ``pointed``; ``part`` is what it shows of the photo, from 0 to 1."""
    return f'<div class="pointed" data-part="{" ".join(f"{edge:.4f}" for edge in part)}">{drawn}</div>'


def place() -> list[Control]:
    """Two sliders that point to a cell of a map; see ``cell_at``."""
    return [slider("Across (%)", 50, 0, 100), slider("Down (%)", 50, 0, 100)]


def cell_at(across: Any, down: Any, height: int, width: int) -> Cell:
    """The (row, column) of a map of (height, width) that the sliders of ``place`` point to.

    Raises:
        ValueError: if they are no whole percentages.
    """
    across, down = check_integer("the place across", across, 0, 100), check_integer("the place down", down, 0, 100)
    return round(down * (height - 1) / 100), round(across * (width - 1) / 100)


def chosen(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of ``choices``.

    Raises:
        ValueError: for anything else.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {quoted(value)}")
    return str(value)
