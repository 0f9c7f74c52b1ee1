"""Rates x stride as one picture, to be handed out or put on a slide."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segmodels.inference.pictures import overlay
from segmodels.labels import ClassList

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
    drawn = Image.new("RGB", (len(columns) * width + MARGIN, len(columns[0]) * height + MARGIN + 2 * LINE), "white")
    draw = ImageDraw.Draw(drawn)
    small, large = (ImageFont.load_default(points) for points in (SMALL, LARGE))
    draw.text((MARGIN, MARGIN), title, "black", large)
    for column, pictures in enumerate(columns):
        for row, picture in enumerate(pictures):
            left, top = MARGIN + column * width, MARGIN + 2 * LINE + row * height
            drawn.paste(overlay(photo, picture.labels, classes=picture.classes), (left, top))
            for line, words in enumerate((picture.name, picture.facts)):
                draw.text((left, top + photo.height + 4 + line * LINE), words, "black", small)
    return drawn
