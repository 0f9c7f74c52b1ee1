"""What a visitor has painted, as it arrives from a page, or from anyone else: checked.

The browser sends the label map that it has drawn, of the size at which the photo is shown, as runs of equal pixels:
``{"classes": [name, ...], "strokes": 6, "maps": [{"photo": path, "runs": [label, length, label, length, ...]}, ...]}``.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmodels.teaching.strokes import UNPAINTED

MAX_BYTES = 2**19
"""Of what is sent."""
CLASSES = (2, 6)
LONGEST_NAME = 30
MAX_STROKES = 10_000
MAX_MAPS = 2
MAX_PIXELS = 2**24
UNCLEAR = "the painting cannot be understood: load the page again"


@dataclass(frozen=True)
class Painting:
    """What a visitor has named and painted."""

    classes: tuple[str, ...]
    strokes: int
    """How many strokes have made it; only said to the visitor."""
    runs: dict[str, tuple[int, ...]]
    """Label, length, label, length and so on, by the photo's path."""

    def on(self, path: str, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the label map, (H, W), of the photo at ``path`` shown at ``size`` (width, height).

        Raises:
            ValueError: if what was painted has another size.
        """
        width, height = size
        runs = self.runs.get(path, (UNPAINTED, width * height))
        labels, lengths = np.array(runs[::2], dtype=np.uint8), np.array(runs[1::2])
        if lengths.sum() != width * height:
            raise ValueError("what was painted does not fit the photo: load the page again")
        return np.repeat(labels, lengths).reshape(height, width)


def read(value: Any) -> Painting:
    """Return what ``value`` says was named and painted; JSON, as text or read.

    Raises:
        ValueError: with a sentence, for anything that the page would not send.
    """
    try:
        if isinstance(value, str):
            if len(value) > MAX_BYTES:
                raise ValueError("too long")
            value = json.loads(value)
        names, strokes, maps = value["classes"], value["strokes"], value["maps"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(UNCLEAR) from None
    if not isinstance(names, list) or not isinstance(maps, list) or len(maps) > MAX_MAPS:
        raise ValueError(UNCLEAR)
    if not _whole(strokes, 0, MAX_STROKES):
        raise ValueError(UNCLEAR)
    classes = tuple(_names(names))
    return Painting(classes, strokes, dict(_map(one, len(classes)) for one in maps))


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


def _map(value: Any, classes: int) -> tuple[str, tuple[int, ...]]:
    photo, runs = (value.get("photo"), value.get("runs")) if isinstance(value, dict) else (None, None)
    if not isinstance(photo, str) or not isinstance(runs, list) or not runs or len(runs) % 2:
        raise ValueError(UNCLEAR)
    if not all(_whole(label, 0, classes - 1) or label == UNPAINTED for label in runs[::2]):
        raise ValueError(
            f"painted pixels must be of the classes 0 to {classes - 1}, or {UNPAINTED} where nothing is painted"
        )
    if not all(_whole(length, 1, MAX_PIXELS) for length in runs[1::2]) or sum(runs[1::2]) > MAX_PIXELS:
        raise ValueError(UNCLEAR)
    return photo, tuple(map(int, runs))


def _whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most
