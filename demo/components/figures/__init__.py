"""Drawings in the page: inline SVG panels in a figure that follows light and dark and can be saved as a PNG.

A figure is made of panels, a drawing each, that stand side by side on a projector and one below another on a phone. Cells
of maps are drawn in units of the panel's view box; ``PANEL`` of them are about a pixel each on a phone.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..markup import data_url

PANEL = 340
"""The width of a panel's view box: a phone's."""

SPECK = 0.001
"""A class that covers less of a photo is hardly seen."""

Cell = tuple[int, int]
"""(row, column) of a map."""

SAVE_PNG = """
element.addEventListener('click', async event => {
  const button = event.target.closest('button.save-png');
  if (!button) return;
  if (!drawing.readable()) {
    button.textContent = 'This browser does not let pages save pictures: it guards against fingerprinting';
    return;
  }
  const figure = button.closest('figure');
  const properties = ['align-items', 'aspect-ratio', 'background', 'border', 'border-collapse', 'border-radius',
    'box-sizing', 'color', 'column-gap', 'display', 'dominant-baseline', 'fill', 'fill-opacity', 'filter', 'flex',
    'flex-flow', 'font-family', 'font-size', 'font-style', 'font-variant-numeric', 'font-weight',
    'grid-template-columns', 'height', 'image-rendering', 'inset', 'justify-content', 'line-height', 'list-style',
    'margin', 'mask', 'max-width', 'object-fit', 'opacity', 'overflow', 'padding', 'position', 'row-gap', 'rx', 'stroke',
    'stroke-dasharray', 'stroke-linecap', 'stroke-linejoin', 'stroke-opacity', 'stroke-width', 'text-align',
    'text-anchor', 'transform', 'vertical-align', 'visibility', 'white-space', 'width'];
  const embedded = source => {
    const canvas = document.createElement('canvas');
    canvas.width = source.naturalWidth ?? source.width;
    canvas.height = source.naturalHeight ?? source.height;
    canvas.getContext('2d').drawImage(source, 0, 0);
    return Object.assign(new Image(), {src: canvas.toDataURL()});
  };
  const dressed = source => {
    const copy = ['CANVAS', 'IMG'].includes(source.nodeName) ? embedded(source) : source.cloneNode(false);
    if (source.nodeType === Node.ELEMENT_NODE) {
      const style = getComputedStyle(source);
      const rules = properties.map(name => `${name}:${style.getPropertyValue(name)}`).join(';');
      copy.removeAttribute('class');
      copy.setAttribute('style', rules);
    }
    for (const child of (source.shadowRoot ?? source).childNodes)
      if (!child.classList?.contains('save-png')) copy.append(dressed(child));
    return copy;
  };
  let ground = figure;
  while (ground.parentElement && getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)')
    ground = ground.parentElement;
  const top = part => part.getBoundingClientRect().top;
  const beside = getComputedStyle(button).position === 'absolute';  // and not below all the rest
  const edge = 16, width = figure.offsetWidth, height = beside ? figure.offsetHeight : top(button) - top(figure);
  const copy = dressed(figure);
  copy.style.margin = '0';
  const markup = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">` +
    `<foreignObject width="100%" height="100%">${new XMLSerializer().serializeToString(copy)}</foreignObject></svg>`;
  const picture = new Image();
  picture.src = 'data:image/svg+xml;charset=utf-8,' + encodeURIComponent(markup);
  await picture.decode();
  const scale = Math.max(2, 1600 / width);
  const canvas = document.createElement('canvas');
  canvas.width = (width + 2 * edge) * scale;
  canvas.height = (height + 2 * edge) * scale;
  const context = canvas.getContext('2d');
  context.scale(scale, scale);
  context.fillStyle = getComputedStyle(ground).backgroundColor;
  context.fillRect(0, 0, width + 2 * edge, height + 2 * edge);
  context.drawImage(picture, edge, edge, width, height);
  const link = document.createElement('a');
  link.download = button.dataset.file;
  link.href = canvas.toDataURL('image/png');
  link.click();
});
"""
"""For a ``gr.HTML(js_on_load=...)``: the ``save_button`` in each ``figure`` saves all that stands above or beside it, as it
looks now, without asking the server.

The browser draws the figure's own markup, with the styles it has on the page, into a canvas at twice its size or more.
"""


def save_button(file: str) -> str:
    """A button that saves the figure it stands in as ``file``."""
    return f'<button type="button" class="save-png" data-file="{escape(file)}">Save as PNG</button>'


def figure(name: str, panels: Iterable[str], summary: str, over: str = "") -> str:
    """Panels under one caption, which says in words and numbers what is drawn, and a button that saves it all.

    ``name`` is that of the file; ``summary`` is HTML; ``over`` is ``drawing.over``, if there are label maps in the panels.
    """
    return (
        f'<figure class="drawing" {over}><div class="drawn">{"".join(panels)}</div>'
        f"<figcaption>{unbroken(summary)}</figcaption>{save_button(f'{name}.png')}</figure>"
    )


def panel(caption: str, drawn: str, note: str = "") -> str:
    """One drawing with its name above and a remark below, both HTML."""
    below = f'<p class="hint">{unbroken(note)}</p>' if note else ""
    return f'<div class="panel"><p class="name">{unbroken(caption)}</p>{drawn}{below}</div>'


def unbroken(words: str) -> str:
    """Words in which no line ends within a product."""
    return words.replace(" × ", "\u00a0×\u00a0")


def svg(height: float, title: str, *parts: str, width: float = PANEL) -> str:
    """A drawing of (width, height) units; ``title`` is its text alternative."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img"'
        f' aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def rect(x: float, y: float, width: float, height: float, style: str, variables: str = "") -> str:
    """A rectangle; ``style`` is a class of the style sheet, ``variables`` what that one asks for."""
    own = f' style="{variables}"' if variables else ""
    return f'<rect class="{style}" x="{x:.4g}" y="{y:.4g}" width="{width:.4g}" height="{height:.4g}"{own}/>'


def text(x: float, y: float, content: str, style: str = "") -> str:
    """Words with their middle at ``x`` and their foot at ``y``."""
    return f'<text class="{style}" x="{x:.4g}" y="{y:.4g}">{escape(content)}</text>'


def arrow(x1: float, y1: float, x2: float, y2: float, style: str = "flow") -> str:
    """A straight line with a head at its end."""
    length = math.hypot(x2 - x1, y2 - y1)
    along, across = (x2 - x1) / length, (y2 - y1) / length
    head = " ".join(
        f"{x2 - 8 * along - side * 4 * across:.4g},{y2 - 8 * across + side * 4 * along:.4g}" for side in (-1, 1)
    )
    return (
        f'<path class="{style}" d="M{x1:.4g} {y1:.4g} L{x2:.4g} {y2:.4g}"/>'
        f'<polygon class="{style} head" points="{x2:.4g},{y2:.4g} {head}"/>'
    )


def photograph(photo: Image.Image, x: float, y: float, width: float, height: float, style: str = "") -> str:
    """A photo in a drawing; for a map, whose cells stay sharp, ``style`` is ``map``."""
    url = data_url(photo, "PNG") if style == "map" else data_url(photo, "JPEG", quality=88)
    return (
        f'<image class="{style}" x="{x:.4g}" y="{y:.4g}" width="{width:.4g}" height="{height:.4g}"'
        f' preserveAspectRatio="none" href="{url}"/>'
    )


def contents(labels: NDArray[np.uint8], classes: Sequence[str]) -> str:
    """The classes of a label map but background in words, the largest first, with the share that each covers."""
    shares = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
    order = [index for index in np.argsort(-shares) if index and shares[index]]
    large = [f"{classes[index]} {shares[index]:.1%}" for index in order if shares[index] >= SPECK]
    specks = [classes[index] for index in order if shares[index] < SPECK]
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
        return f'<path class="{style}" d="{across}{down}"/>'

    def box(self, row: float, column: float, rows: float, columns: float, style: str) -> str:
        """A rectangle of whole cells, which may stick out."""
        return rect(
            self.left + column * self.cell,
            self.top + row * self.cell,
            columns * self.cell,
            rows * self.cell,
            style,
        )

    def cells(self, cells: Iterable[Cell], style: str) -> str:
        """Filled cells."""
        return "".join(self.box(row, column, 1, 1, style) for row, column in cells)

    def number(self, row: int, column: int, content: str, style: str = "") -> str:
        """Something written in a cell, small enough to fit."""
        x, y = self.centre(row, column)
        size = min(0.5 * self.cell, 0.9 * self.cell / max(len(content), 1), 22)
        place = f'x="{x:.4g}" y="{y + 0.35 * size:.4g}" style="font-size: {size:.3g}px"'
        return f'<text class="{style}" {place}>{escape(content)}</text>'

    def centre(self, row: float, column: float) -> tuple[float, float]:
        """(x, y) of a cell's middle."""
        return self.left + (column + 0.5) * self.cell, self.top + (row + 0.5) * self.cell

    def dot(self, row: int, column: int, style: str) -> str:
        """A disc in a cell, about two thirds as wide but never too small to see."""
        x, y = self.centre(row, column)
        return f'<circle class="{style}" cx="{x:.4g}" cy="{y:.4g}" r="{max(0.36 * self.cell, 4):.3g}"/>'
