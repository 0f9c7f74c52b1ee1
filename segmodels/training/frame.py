"""Which way the label maps of photos lie that EXIF turns, where their sizes cannot tell.

A photo on its head and its label map have one size, drawn on the photo as it stands in the file or as it is shown. The
borders of classes lie on the edges of the photo, so both ways are compared.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FRAMES = ("stored", "upright")
"""A label map lies on the photo's pixels as they stand in the file, or as they are shown."""

FILE = "orientation.txt"
"""Beside the lists of a data folder: one of ``FRAMES``, where the user has said which."""

CLEARLY = 1.1
"""How many times as strong the photo's edges under the borders of classes must be one way for it to be believed."""

SIDE = 512
"""Pixels of the longer side at which edges are compared."""


@dataclass(frozen=True)
class Edges:
    """How strong the photos' edges are under the borders of classes, both ways, summed over photos."""

    stored: float = 0.0
    upright: float = 0.0
    photos: int = 0

    def __add__(self, other: "Edges") -> "Edges":
        return Edges(self.stored + other.stored, self.upright + other.upright, self.photos + other.photos)

    @property
    def frame(self) -> str | None:
        """The way the label maps lie; None where the edges do not tell."""
        if self.upright > CLEARLY * self.stored:
            return "upright"
        return "stored" if self.stored > CLEARLY * self.upright else None


def said_frame(root: Path) -> str | None:
    """Return what the user has said of the data folder at ``root``; None if nothing.

    Raises:
        ValueError: if it is none of ``FRAMES``.
    """
    file = root / FILE
    if not file.is_file():
        return None
    said = file.read_text(encoding="utf-8", errors="replace").strip()
    if said not in FRAMES:
        raise ValueError(f"{file} must say {' or '.join(FRAMES)}, not {said[:40]!r}")
    return said


def compare(upright: Image.Image, labels: NDArray[np.uint8], turn: Image.Transpose) -> Edges:
    """Return how well a label map lies on the edges of its photo, as it is and turned with it.

    Args:
        upright: the photo as it is shown.
        labels: (H, W), of the same size.
        turn: what brings the photo of the file upright.
    """
    scale = min(SIDE / max(upright.size), 1.0)
    size = (max(round(upright.width * scale), 2), max(round(upright.height * scale), 2))
    strength = _strength(np.asarray(upright.convert("L").resize(size, Image.Resampling.BOX), dtype=np.float32))
    as_shown = Image.fromarray(labels)
    ways = (as_shown.transpose(turn), as_shown)
    means = [_under(strength, np.asarray(way.resize(size, Image.Resampling.NEAREST))) for way in ways]
    turned, shown = means
    return Edges(turned, shown, 1)


def _strength(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h - 1, w - 1): how much grey changes to the right and downwards."""
    down, right = np.abs(np.diff(grey, axis=0))[:, :-1], np.abs(np.diff(grey, axis=1))[:-1]
    return np.maximum(down, right)


def _under(strength: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """The mean strength of edges where classes meet, in parts of that of the whole photo; 0 where none do."""
    borders = (labels[1:, :-1] != labels[:-1, :-1]) | (labels[:-1, 1:] != labels[:-1, :-1])
    return float(strength[borders].mean() / (strength.mean() + 1e-6)) if borders.any() else 0.0
