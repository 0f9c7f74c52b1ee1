"""Lesson 11: where the cells of a map lie, and what it costs to put them elsewhere."""

import functools
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from segmodels.inference.settings import check_integer
from segmodels.models.layers import ConvBNReLU, resize_logits

from ..components.figures import PANEL, figure, panel, photograph, rect, svg, text
from .lesson import Lesson, See, chosen, radio, slider

STRIDE = 16
SIZES = {"129 = 16 · 8 + 1": 129, "128 = 16 · 8": 128}
CORNER, CENTRE = "corner to corner", "half-pixel"
ALIGN_CORNERS: dict[str, bool] = {CORNER: True, CENTRE: False}
CELLS = (1, 6)
"""Where the dot may stand: cells so far from the edge that the whole of what becomes of it is on the map."""


@functools.cache
def backbone() -> nn.Module:
    """Four of the networks' own strided convolutions in a row, stride 16, each a small blur: they move nothing."""
    layers = nn.Sequential(*(ConvBNReLU(1, 1, 3, stride=2) for _ in range(4))).eval()
    blur = torch.tensor([0.25, 0.5, 0.25])
    for layer in layers:
        layer[0].weight.data[0, 0] = torch.outer(blur, blur)  # type: ignore[index]
    return layers


def enlarged(size: int, cell: int, align_corners: bool) -> Tensor:
    """What becomes of a dot at pixel (16 cell, 16 cell) of an input of ``size`` pixels a side: (size, size)."""
    x = torch.zeros(1, 1, size, size)
    x[..., STRIDE * cell, STRIDE * cell] = 1
    with torch.no_grad():
        return resize_logits(backbone()(x), (size, size), align_corners)[0, 0]


def shift(size: int, cell: int, align_corners: bool) -> float:
    """How many pixels right of the dot, and below it, the middle of what becomes of it lies."""
    across = enlarged(size, cell, align_corners).sum(0)
    middle = (across * torch.arange(size)).sum() / across.sum()
    return float(middle) - STRIDE * cell


EDGE = 6
"""Around the input and the enlarged map, so that marks on their edge are whole."""
NAMES = 48
"""Where the names of the bars have their middle, left of all bars."""


def draw(size: Any, enlarging: Any, cell: Any) -> str:
    """The dot and the cells that will stand for their pixels, what becomes of it, and the shift of all cells."""
    size = SIZES[chosen("the size of the input", size, tuple(SIZES))]
    enlarging = chosen("the enlarging", enlarging, tuple(ALIGN_CORNERS))
    cell = check_integer("the cell of the dot", cell, *CELLS)
    align_corners = ALIGN_CORNERS[enlarging]
    off = shift(size, cell, align_corners)
    shifts = [shift(size, each, align_corners) for each in range(CELLS[0], CELLS[1] + 1)]
    panels = [
        panel(f"Input: dot at pixel {STRIDE * cell}", _input(size, cell)),
        panel(
            f"Enlarged {enlarging}",
            _output(size, cell, align_corners, off),
            "Ring: where the dot was. Cross: its middle now.",
        ),
        panel(
            "Shift at each cell, in pixels",
            _bars(shifts, cell),
            "Right of the line: right and below. Orange: the dot's.",
        ),
    ]
    where = "exactly where it was" if abs(off) < 0.05 else f"<b>{abs(off):.1f} pixels</b> {_way(off)} of where it was"
    words = (
        f"Cell {cell} lies at pixel {STRIDE} · {cell} = {STRIDE * cell}. Enlarged {enlarging}, the dot ends up {where}"
    )
    return figure(f"lesson-geometry-{size}-{align_corners}", panels, words)


def _way(off: float) -> str:
    return "right and below" if off > 0 else "left and above"


def _input(size: int, cell: int) -> str:
    """The input with a mark on every pixel where a cell will lie."""
    scale = (PANEL - 2 * EDGE) / size
    places = [EDGE + (STRIDE * index + 0.5) * scale for index in range(-(-size // STRIDE))]
    marks = "".join(f'<circle class="tap off" cx="{x:.4g}" cy="{y:.4g}" r="4"/>' for x in places for y in places)
    dot = f'<circle class="tap" cx="{places[cell]:.4g}" cy="{places[cell]:.4g}" r="8"/>'
    return svg(PANEL, f"An input with a dot at pixel {STRIDE * cell}", _frame(), marks, dot)


def _frame() -> str:
    return rect(EDGE, EDGE, PANEL - 2 * EDGE, PANEL - 2 * EDGE, "frame")


def _output(size: int, cell: int, align_corners: bool, off: float) -> str:
    """What became of the dot, with where it was and where its middle is now."""
    side = PANEL - 2 * EDGE
    scale = side / size
    map_ = enlarged(size, cell, align_corners)
    grey = (255 * (1 - 0.8 * map_ / map_.max())).round().to(torch.uint8).numpy()
    was, now = (EDGE + (STRIDE * cell + step + 0.5) * scale for step in (0.0, off))
    ring = f'<circle class="was" cx="{was:.4g}" cy="{was:.4g}" r="11"/>'
    cross = f'<path class="now" d="M{now - 7:.4g} {now:.4g}h14M{now:.4g} {now - 7:.4g}v14"/>'
    words = f"The dot's middle, {off:.1f} pixels from where it was"
    return svg(PANEL, words, photograph(Image.fromarray(grey), EDGE, EDGE, side, side, "map"), _frame(), ring, cross)


def signed(value: float) -> str:
    """A shift in pixels with its sign, none where it is nothing to speak of."""
    return "0" if abs(value) < 0.05 else f"{value:+.1f}".replace("-", "−")


def _bars(shifts: list[float], cell: int) -> str:
    """A bar a cell, right of the middle line for a shift to the right."""
    row, middle, unit = PANEL / len(shifts), PANEL / 2 + 20, (PANEL / 2 - 20) / 8
    parts = [f'<path class="flow" d="M{middle} 0V{PANEL}"/>']
    for index, value in enumerate(shifts):
        top, length = index * row, abs(value) * unit
        style = "bar plain" if index + CELLS[0] == cell else "bar separable"
        parts.append(rect(middle - length * (value < 0), top + row * 0.45, max(length, 1), row * 0.4, style))
        parts.append(text(NAMES, top + row * 0.35, f"cell {index + CELLS[0]}: {signed(value)}"))
    return svg(PANEL, f"Shifts of {', '.join(f'{value:.1f}' for value in shifts)} pixels", *parts)


LESSON = Lesson(
    name="Geometry",
    title="Where a cell lies",
    minutes=5,
    aim="You can say which pixel a cell of a map stands for.",
    text="""
A symmetric 3 × 3 convolution of stride 2 is centred on every second pixel, from the first on. After four, cell *i* lies
**exactly at pixel 16*i***. At a size of 16*k* + 1 the last cell lies on the last pixel, and enlarging **corner to corner**
puts every score back in place.

Most libraries enlarge **half-pixel**, as if a cell lay in the middle of 16 pixels. That suits poolings of even width, but
shifts the label map here.
""",
    question="Which of the four combinations move the dot?",
    choices=("Both that are half-pixel", "Both of 128 pixels", "All but 129 pixels, half-pixel"),
    answer="""
Corner to corner never does. Half-pixel, 128 pixels move every cell by 7.5, and 129 squeeze the map: only its middle stays.
On our 225 validation photos the public DeepLab v3 has mIoU-7 0.830 at 16*k* + 1 corner to corner, 0.815 half-pixel, and
0.776 at 512 × 384 half-pixel.
""",
    controls=lambda: [
        radio("Size of the input", list(SIZES)),
        radio("Enlarged", [CENTRE, CORNER]),
        slider("Cell of the dot", 2, *CELLS),
    ],
    figure=draw,
    python="""
import torch
from torch.nn.functional import interpolate

for size, cells, corners in ((129, 9, True), (129, 9, False), (128, 8, False)):
    pixels = 16.0 * torch.arange(cells).expand(1, 1, cells, cells)  # where each cell lies
    enlarged = interpolate(pixels, (size, size), mode="bilinear", align_corners=corners)
    print(size, "corner to corner" if corners else "half-pixel", "pixel 32 gets", round(enlarged[0, 0, 0, 32].item(), 1))
""",
    references=(
        ("deeplabv3", "section 4.1 (crop size 513)"),
        ("receptive", ""),
    ),
    see=See("lab", "Boxes and taps on your photo", section="pixel"),
)
