"""Rates x stride as one picture, to be handed out or put on a slide."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segmodels.inference.pictures import overlay
from segmodels.labels import ClassList

from ..components.markup import readable

MARGIN, LINE, SMALL, LARGE = 16, 26, 18, 24
"""Pixels between cells, of a line of text, and of its letters."""
LEAST_WIDTH = 340
"""What the words below a cell take, in pixels."""


@dataclass(frozen=True)
class Picture:
    """One cell: a label map of the photo's size and two lines of words."""

    labels: NDArray[np.uint8]
    name: str
    facts: str
    classes: ClassList


def sheet(photo: Image.Image, title: str, columns: Sequence[Sequence[Picture]]) -> Image.Image:
    """Overlays in columns with their words below, under a title."""
    width = max(photo.width, LEAST_WIDTH) + MARGIN
    height = photo.height + 2 * LINE + MARGIN
    legend_top = MARGIN + 2 * LINE + len(columns[0]) * height
    drawn = Image.new("RGB", (len(columns) * width + MARGIN, legend_top + LINE + MARGIN), "white")
    draw = ImageDraw.Draw(drawn)
    small, large = (ImageFont.load_default(points) for points in (SMALL, LARGE))
    draw.text((MARGIN, MARGIN), title, "black", large)
    for column, pictures in enumerate(columns):
        for row, picture in enumerate(pictures):
            left, top = MARGIN + column * width, MARGIN + 2 * LINE + row * height
            drawn.paste(overlay(photo, picture.labels, classes=picture.classes), (left, top))
            for line, words in enumerate((picture.name, picture.facts)):
                draw.text((left, top + photo.height + 4 + line * LINE), words, "black", small)
    _draw_legend(drawn, legend_top, [picture for pictures in columns for picture in pictures])
    return drawn


def _draw_legend(drawn: Image.Image, top: int, pictures: Sequence[Picture]) -> None:
    """Draw the colour and the name of each class that is there, in the last line; names that do not fit are left out."""
    draw, letters, left = ImageDraw.Draw(drawn), ImageFont.load_default(SMALL), float(MARGIN)
    classes = pictures[0].classes
    for index in np.unique(np.concatenate([np.unique(picture.labels) for picture in pictures])):
        if index >= len(classes.names) or index == classes.background:
            continue
        name = readable(classes.names[index])
        end = left + SMALL + 6 + draw.textlength(name, letters)
        if end > drawn.width - MARGIN:
            return
        draw.rectangle((left, top, left + SMALL, top + SMALL), classes.colours[index])
        draw.text((left + SMALL + 6, top - 2), name, "black", letters)
        left = end + MARGIN
