"""Drawings in the page: inline SVG panels in a figure that follows light and dark and can be saved as a PNG.

A figure is made of panels, a drawing each, that stand side by side on a projector and one below another on a phone. Cells
of maps are drawn in units of the panel's view box; ``PANEL`` of them are about a pixel each on a phone.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from ..markup import data_url, readable

PANEL = 340
"""The width of a panel's view box: a phone's."""

SPECK = 0.001
"""A class that covers less of a photo is hardly seen."""

Cell = tuple[int, int]
"""(row, column) of a map."""


def save_button(file: str) -> str:
    """A button that saves the figure it stands in as ``file``; see ``save_png.js``."""
    return Markup('<button type="button" class="save-png" data-file="{}">Save as PNG</button>').format(file)


def figure(name: str, panels: Iterable[str], summary: str, over: str = "") -> str:
    """Panels under one caption, which says in words and numbers what is drawn, and a button that saves it all.

    ``name`` is that of the file; ``summary`` is HTML; ``over`` is ``photo_attributes``, if there are label maps in the panels.
    """
    return Markup(
        '<figure class="drawing" {}><div class="drawn">{}</div><figcaption>{}</figcaption>{}</figure>'
    ).format(Markup(over), Markup("".join(panels)), Markup(unbroken(summary)), save_button(f"{name}.png"))


def panel(caption: str, drawn: str, note: str = "") -> str:
    """One drawing with its name above and a remark below, all HTML."""
    below = Markup('<p class="hint">{}</p>').format(Markup(unbroken(note))) if note else ""
    named = Markup('<div class="panel"><p class="name">{}</p>{}{}</div>')
    return named.format(Markup(unbroken(caption)), Markup(drawn), below)


def unbroken(words: str) -> str:
    """Words in which no line ends within a product."""
    return words.replace(" × ", "\u00a0×\u00a0")


def svg(height: float, title: str, *parts: str, width: float = PANEL) -> str:
    """A drawing of (width, height) units; ``title`` is its text alternative, ``parts`` are markup."""
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>'
    ).format(width, height, title, Markup("".join(parts)))


def rect(x: float, y: float, width: float, height: float, style: str, variables: str = "") -> str:
    """A rectangle; ``style`` is a class of the style sheet, ``variables`` what that one asks for."""
    own = Markup(' style="{}"').format(variables) if variables else ""
    drawn = Markup('<rect class="{}" x="{:.4g}" y="{:.4g}" width="{:.4g}" height="{:.4g}"{}/>')
    return drawn.format(style, x, y, width, height, own)


def text(x: float, y: float, content: str, style: str = "") -> str:
    """Words with their middle at ``x`` and their foot at ``y``."""
    return Markup('<text class="{}" x="{:.4g}" y="{:.4g}">{}</text>').format(style, x, y, content)


def arrow(x1: float, y1: float, x2: float, y2: float, style: str = "flow") -> str:
    """A straight line with a head at its end."""
    length = math.hypot(x2 - x1, y2 - y1)
    along, across = (x2 - x1) / length, (y2 - y1) / length
    head = " ".join(
        f"{x2 - 8 * along - side * 4 * across:.4g},{y2 - 8 * across + side * 4 * along:.4g}" for side in (-1, 1)
    )
    return Markup(
        '<path class="{0}" d="M{1:.4g} {2:.4g} L{3:.4g} {4:.4g}"/>'
        '<polygon class="{0} head" points="{3:.4g},{4:.4g} {5}"/>'
    ).format(style, x1, y1, x2, y2, head)


def photograph(photo: Image.Image, x: float, y: float, width: float, height: float, style: str = "") -> str:
    """A photo in a drawing; for a map, whose cells stay sharp, ``style`` is ``map``."""
    url = data_url(photo, "PNG") if style == "map" else data_url(photo, "JPEG", quality=88)
    return Markup(
        '<image class="{}" x="{:.4g}" y="{:.4g}" width="{:.4g}" height="{:.4g}" preserveAspectRatio="none" href="{}"/>'
    ).format(style, x, y, width, height, url)


def contents(labels: NDArray[np.uint8], classes: Sequence[str]) -> str:
    """The classes of a label map but background in words, the largest first, with the share that each covers."""
    shares = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
    order = [index for index in np.argsort(-shares) if index and shares[index]]
    large = [f"{readable(classes[index])} {shares[index]:.1%}" for index in order if shares[index] >= SPECK]
    specks = [readable(classes[index]) for index in order if shares[index] < SPECK]
    return ", ".join(large + ([f"specks of {' and '.join(specks)}"] if specks else [])) or "nothing"


class Grid:
    """A map of (rows, columns) cells somewhere in a drawing: the one place that knows where a cell lies."""

    def __init__(self, rows: int, columns: int, cell: float, left: float = 0, top: float = 0) -> None:
        self.rows, self.columns, self.cell, self.left, self.top = rows, columns, cell, left, top

    @classmethod
    def fitted(cls, rows: int, columns: int, width: float, height: float, left: float = 0, top: float = 0) -> "Grid":
        """The largest one with square cells in the middle of a box."""
        cell = min(width / columns, height / rows)
        return cls(rows, columns, cell, left + (width - cell * columns) / 2, top + (height - cell * rows) / 2)

    def lines(self, style: str = "grid") -> str:
        """All cells' edges as one path, however many there are."""
        right, bottom = self.left + self.columns * self.cell, self.top + self.rows * self.cell
        across = "".join(f"M{self.left:.4g} {self.top + r * self.cell:.5g}H{right:.5g}" for r in range(self.rows + 1))
        down = "".join(f"M{self.left + c * self.cell:.5g} {self.top:.4g}V{bottom:.5g}" for c in range(self.columns + 1))
        return Markup('<path class="{}" d="{}"/>').format(style, across + down)

    def box(self, row: float, column: float, rows: float, columns: float, style: str) -> str:
        """A rectangle of whole cells, which may stick out."""
        x, y = self.left + column * self.cell, self.top + row * self.cell
        return rect(x, y, columns * self.cell, rows * self.cell, style)

    def cells(self, cells: Iterable[Cell], style: str) -> str:
        """Filled cells."""
        return Markup("").join(self.box(row, column, 1, 1, style) for row, column in cells)

    def number(self, row: int, column: int, content: str, style: str = "") -> str:
        """Something written in a cell, small enough to fit."""
        x, y = self.centre(row, column)
        size = min(0.5 * self.cell, 0.9 * self.cell / max(len(content), 1), 22)
        written = Markup('<text class="{}" x="{:.4g}" y="{:.4g}" style="font-size: {:.3g}px">{}</text>')
        return written.format(style, x, y + 0.35 * size, size, content)

    def centre(self, row: float, column: float) -> tuple[float, float]:
        """(x, y) of a cell's middle."""
        return self.left + (column + 0.5) * self.cell, self.top + (row + 0.5) * self.cell

    def dot(self, row: int, column: int, style: str) -> str:
        """A disc in a cell, about two thirds as wide but never too small to see."""
        x, y = self.centre(row, column)
        disc = Markup('<circle class="{}" cx="{:.4g}" cy="{:.4g}" r="{:.3g}"/>')
        return disc.format(style, x, y, max(0.36 * self.cell, 4))
