"""Lesson 6: atrous convolution, a wide view for nine weights."""

from typing import Any

import torch
from torch import Tensor, nn

from segmodels.inference.settings import check_integer
from segmodels.insight.receptive_field import share_of_taps_inside, taps
from segmodels.models.layers import AtrousConv

from ..components.figures import PANEL, Grid, figure, panel, svg
from .lesson import Lesson, See, cell_at, place, slider

RATES = (1, 36)
SIDES = (8, 64)
CHANNELS = 256
"""The ASPP's in the paper."""
HEIGHT = 300


def with_zeros(weight: Tensor, rate: int) -> Tensor:
    """The kernel without holes that does the same: (out, in, 3, 3) -> (out, in, 2 * rate + 1, 2 * rate + 1)."""
    dense = weight.new_zeros(*weight.shape[:2], 2 * rate + 1, 2 * rate + 1)
    dense[..., ::rate, ::rate] = weight
    return dense


def difference(rate: int, side: int) -> float:
    """The largest difference between an atrous convolution and the one with zeros, on a random map."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, side, side, generator=generator)
    conv = AtrousConv(1, 1, rate)[0]
    assert isinstance(conv, nn.Conv2d)
    with torch.no_grad():
        conv.weight.copy_(torch.randn(1, 1, 3, 3, generator=generator))
        plain = nn.functional.conv2d(x, with_zeros(conv.weight, rate), padding=rate)
        return float((conv(x) - plain).abs().max())


def draw(rate: Any, side: Any, across: Any, down: Any) -> str:
    """The taps on the map, and the kernel with the zeros that nobody computes."""
    rate, side = check_integer("the rate", rate, *RATES), check_integer("the side of the map", side, *SIDES)
    found = taps(*cell_at(across, down, side, side), rate, side, side)
    landed = sum(inside for *_, inside in found)
    view = 2 * rate + 1
    weights = sum(parameter.numel() for parameter in AtrousConv(CHANNELS, CHANNELS, rate)[0].parameters())
    share = share_of_taps_inside(side, side, rate)
    panels = [
        panel(f"Nine taps on a map of {side} × {side}", _taps(found, side), f"{landed} of 9 land on it here"),
        panel(
            f"The same as a kernel of {view} × {view}",
            _kernel(rate),
            f"{view**2 - 9:,} zeros, neither stored nor multiplied",
        ),
    ]
    words = (
        f"Rate {rate} sees <b>{view} × {view} cells</b> with the same {weights:,} weights ({CHANNELS} to {CHANNELS} "
        f"channels). Over all positions <b>{share:.0%}</b> of the taps land on the map. On a random map "
        f"both kernels differ by {difference(rate, side):.7f} at most"
    )
    return figure(f"lesson-atrous-rate-{rate}", panels, words)


def _taps(found: list[tuple[int, int, bool]], side: int) -> str:
    """The map with the taps, those off it too: the drawing grows to hold them."""
    first = min(0, *(min(row, column) for row, column, _ in found))
    last = max(side - 1, *(max(row, column) for row, column, _ in found))
    extent = last - first + 1
    whole_grid = Grid.fitted(extent, extent, PANEL - 8, HEIGHT, 4, 4)
    cell = whole_grid.cell
    grid = Grid(side, side, cell, whole_grid.left - first * cell, whole_grid.top - first * cell)
    (top, left, _), (bottom, *_) = found[0], found[-1]
    parts = [grid.lines(), grid.box(top, left, bottom - top + 1, bottom - top + 1, "window")]
    parts += [grid.dot(row, column, "tap" if inside else "tap off") for row, column, inside in found]
    landed = sum(inside for *_, inside in found)
    return svg(HEIGHT + 8, f"A map of {side} by {side} cells with {landed} of nine taps on it", *parts)


def _kernel(rate: int) -> str:
    """The kernel without holes: nine weights among zeros."""
    view = 2 * rate + 1
    grid = Grid.fitted(view, view, PANEL - 8, HEIGHT, 4, 4)
    weights = [(row, column) for row in range(0, view, rate) for column in range(0, view, rate)]
    zeros = [(row, column) for row in range(view) for column in range(view) if (row, column) not in weights]
    numbers = [grid.number(row, column, "0", "quiet") for row, column in zeros] if view <= 13 else []
    parts = [grid.cells(weights, "read"), grid.lines(), *numbers]
    return svg(HEIGHT + 8, f"A kernel of {view} by {view} numbers, nine of them weights", *parts)


LESSON = Lesson(
    name="Atrous",
    title="Look further, not at less",
    minutes=5,
    aim="You can say what an atrous rate widens, and when it stops helping.",
    text="""
Pooling widens the view at the cost of resolution. An **atrous convolution** (*à trous*: with holes) moves the taps of its
kernel apart instead: at rate *r* a 3 × 3 kernel sees 2*r* + 1 cells a side, and the map keeps its size. But taps beyond the
map read padding and learn nothing there.
""",
    question="On 32 × 32 cells, which rate makes it a 1 × 1 convolution everywhere?",
    choices=("Rate 32", "Rate 12", "Rate 18"),
    answer="""
Rate 32: only the middle tap is ever on the map, 1/9 = 11 %. At rate 18 the corners still have 4 taps, the map's middle one.
DeepLab v3 therefore added image pooling.
""",
    controls=lambda: [
        slider("Atrous rate", 6, *RATES),
        slider("Map", 32, *SIDES, step=8),
        *place(),
    ],
    figure=draw,
    python="""
import torch
from torch.nn.functional import conv2d

x, weight = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 3, 3)
middle = conv2d(x, weight[:, :, 1:2, 1:2])  # its middle tap alone: a 1 x 1 convolution
for rate in (1, 6, 18, 32):
    y = conv2d(x, weight, padding=rate, dilation=rate)
    print("rate", rate, tuple(y.shape[2:]), "1 x 1:", torch.allclose(y, middle))
""",
    references=(
        ("deeplabv2", "section 3.1"),
        ("deeplabv3", "sections 3.1 and 3.3, figure 4"),
    ),
    see=See("lab", "Move the rate on your photo", section="grid"),
)
