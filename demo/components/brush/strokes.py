"""Strokes of a brush as they arrive from a page, or from anyone else: checked, and drawn at the photo's size.

They travel as text, JSON of the form ``{"classes": [name, ...], "strokes": [{"photo": 0, "class": 1, "size": 0.03,
"points": [x, y, x, y, ...]}, ...]}``: the photo is the first or the second, the class an index or -1 for the eraser, places
are parts of the photo's width and height and the size is a part of its longer side.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segmodels.teaching.strokes import UNPAINTED

LONGEST = 2**19
"""Letters of the text."""
CLASSES = (2, 6)
LONGEST_NAME = 30
MOST_STROKES = 300
MOST_POINTS = 20_000
"""Of all strokes together."""
SIZES = (0.001, 0.25)
"""The least and the largest diameter of a brush."""
PHOTOS = 2
ERASER = -1


@dataclass(frozen=True)
class Stroke:
    """One line of a brush."""

    photo: int
    """0 for the first, 1 for the second."""
    class_: int
    """``ERASER`` for none."""
    size: float
    """The brush's diameter as a part of the photo's longer side."""
    points: tuple[float, ...]
    """x, y, x, y and so on, as parts of the photo's width and height."""


@dataclass(frozen=True)
class Drawn:
    """What a visitor has named and painted."""

    classes: tuple[str, ...]
    strokes: tuple[Stroke, ...]

    def on(self, photo: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The strokes on one photo as ``fit_head`` takes them, for a photo of ``size`` (width, height); later ones on top."""
        image = Image.new("L", size, UNPAINTED)
        pen = ImageDraw.Draw(image)
        for stroke in self.strokes:
            if stroke.photo == photo:
                _line(pen, stroke, size)
        return np.asarray(image)


def _line(pen: ImageDraw.ImageDraw, stroke: Stroke, size: tuple[int, int]) -> None:
    """A line with round ends, of one pixel at least."""
    width, height = size
    value = UNPAINTED if stroke.class_ == ERASER else stroke.class_
    places = [(x * width, y * height) for x, y in zip(stroke.points[::2], stroke.points[1::2], strict=True)]
    brush = max(round(stroke.size * max(size)), 1)
    if len(places) > 1:
        pen.line(places, fill=value, width=brush, joint="curve")
    for x, y in (places[0], places[-1]):
        pen.ellipse((x - brush / 2, y - brush / 2, x + brush / 2, y + brush / 2), fill=value)


def read(text: Any) -> Drawn:
    """What ``text`` says was named and painted.

    Raises:
        ValueError: with a sentence, for anything that the page would not send.
    """
    if not isinstance(text, str):
        raise ValueError("the strokes must arrive as text")
    if len(text) > LONGEST:
        raise ValueError(f"these are more strokes than can be sent, {LONGEST // 1024} kB: undo or clear some")
    try:
        value = json.loads(text)
        names, strokes = value["classes"], value["strokes"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("the strokes cannot be understood: load the page again") from None
    if not isinstance(names, list) or not isinstance(strokes, list):
        raise ValueError("the strokes cannot be understood: load the page again")
    classes = tuple(_names(names))
    if len(strokes) > MOST_STROKES:
        raise ValueError(f"these are more than {MOST_STROKES} strokes: undo or clear some")
    read_strokes = tuple(_stroke(one, len(classes)) for one in strokes)
    if sum(len(stroke.points) for stroke in read_strokes) > 2 * MOST_POINTS:
        raise ValueError(f"these strokes have more than {MOST_POINTS:,} points: undo or clear some")
    return Drawn(classes, read_strokes)


def _names(names: list[Any]) -> Iterable[str]:
    if not CLASSES[0] <= len(names) <= CLASSES[1]:
        raise ValueError(f"there must be {CLASSES[0]} to {CLASSES[1]} classes")
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            raise ValueError(f"every class needs a name of at most {LONGEST_NAME} letters")
        if name in seen:
            raise ValueError(f"two classes are called {name}")
        seen.add(name)
        yield name


def _stroke(value: Any, classes: int) -> Stroke:
    if not isinstance(value, dict):
        raise ValueError("a stroke cannot be understood: load the page again")
    photo = _whole("photo", value.get("photo"), 0, PHOTOS - 1)
    class_ = _whole("class", value.get("class"), ERASER, classes - 1)
    size: Any = value.get("size")
    points: Any = value.get("points")
    if not _number(size) or not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"a brush must be {SIZES[0]} to {SIZES[1]} of the photo's longer side in size")
    if not isinstance(points, list) or not points or len(points) % 2 or not all(map(_number, points)):
        raise ValueError("the points of a stroke must be numbers, two for each")
    if not all(-1 <= place <= 2 for place in points):
        raise ValueError("a stroke lies far outside of the photo")
    return Stroke(photo, class_, float(size), tuple(map(float, points)))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)


def _whole(name: str, value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"the {name} of a stroke must be a whole number from {least} to {most}")
    return value
