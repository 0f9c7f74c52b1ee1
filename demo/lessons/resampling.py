"""Lesson 2: strided and transposed convolution, step by step."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from segmodels.inference.settings import check_integer

from ..components.figures import Cell, Grid, figure, panel, svg
from .connections import connections, ones_everywhere
from .lesson import Lesson, See, chosen, radio, slider

DOWN, UP = "strided", "transposed"
MOST_STEPS = 12**2
"""A 1x1 kernel over a map of 8 x 8 cells and two of padding around it: so many there may be."""
SIDE = 300
"""Of a map in a drawing, so that both fit on a projector beside each other."""


def build(kind: str, kernel: int, stride: int, padding: int) -> nn.Module:
    """The layer that the figure is drawn from; all its weights are 1."""
    layer = nn.Conv2d if kind == DOWN else nn.ConvTranspose2d
    return ones_everywhere(layer(1, 1, kernel, stride, padding, bias=False))


def formula(kind: str, side: int, kernel: int, stride: int, padding: int) -> tuple[str, int]:
    """The size of the output in words with the numbers filled in, and as a number."""
    if kind == DOWN:
        out = (side + 2 * padding - kernel) // stride + 1
        return f"⌊({side} + 2·{padding} − {kernel}) / {stride}⌋ + 1 = {out}", out
    out = (side - 1) * stride - 2 * padding + kernel
    return f"({side} − 1)·{stride} − 2·{padding} + {kernel} = {out}", out


@dataclass(frozen=True)
class Moment:
    """One step of the kernel's way: a strided convolution goes through its output, a transposed one through its input."""

    at: Cell
    """The output cell that is made, or the input cell that is stamped."""
    read: set[Cell]
    written: set[Cell]
    numbers: dict[Cell, int]
    """What the output cells count so far."""


def moment(kind: str, made: Tensor, step: int) -> Moment:
    """What happens at a step, from 1 on, of the layer that has the connections ``made``, (h, w, H, W)."""
    if kind == DOWN:
        at = _cell(step - 1, made.shape[3])
        totals = made.sum((0, 1))
        numbers = {cell: int(totals[cell]) for cell in (_cell(index, made.shape[3]) for index in range(step))}
        return Moment(at, _cells(made[:, :, *at]), {at}, numbers)
    at = _cell(step - 1, made.shape[1])
    totals = made.flatten(0, 1)[:step].sum(0)
    return Moment(at, {at}, _cells(made[at]), {cell: int(totals[cell]) for cell in _cells(totals)})


def _cell(index: int, columns: int) -> Cell:
    return divmod(index, columns)


def _cells(map_: Tensor) -> set[Cell]:
    """Where a map is not zero."""
    return {(row, column) for row, column in map_.nonzero().tolist()}


def steps(kind: Any, kernel: Any, stride: Any, padding: Any, side: Any) -> int:
    """How many steps there are for these settings, as they arrive; 1 where there is no layer."""
    try:
        made = _made(kind, kernel, stride, padding, side)
    except ValueError:
        return 1
    return made.shape[-1] ** 2 if kind == DOWN else made.shape[0] ** 2


def _made(kind: Any, kernel: Any, stride: Any, padding: Any, side: Any) -> Tensor:
    """The connections of the layer with these settings, checked: (h, w, H, W)."""
    kind = chosen("the kind", kind, (DOWN, UP))
    kernel, stride = check_integer("the kernel", kernel, 1, 5), check_integer("the stride", stride, 1, 4)
    padding, side = check_integer("the padding", padding, 0, 2), check_integer("the side of the map", side, 2, 8)
    return connections(build(kind, kernel, stride, padding), side, side)[:, :, 0]


def draw(kind: Any, kernel: Any, stride: Any, padding: Any, side: Any, step: Any) -> str:
    """Both maps at one step of the kernel's way."""
    made = _made(kind, kernel, stride, padding, side)
    kernel, stride, padding, side = int(kernel), int(stride), int(padding), int(side)
    size = made.shape[-1]
    last = steps(kind, kernel, stride, padding, side)
    step = min(check_integer("the step", step, 1, MOST_STEPS), last)
    now = moment(kind, made, step)
    corner = (now.at[0] * stride - padding, now.at[1] * stride - padding)
    dashed = Dashed(padding, corner, kernel)
    panels = [
        panel(f"Input {side} × {side}", _map(side, now.read, "read", {}, dashed if kind == DOWN else None)),
        panel(
            f"Output {size} × {size}", _map(size, now.written, "written", now.numbers, dashed if kind == UP else None)
        ),
    ]
    words, _ = formula(kind, side, kernel, stride, padding)
    taken = f"reads {len(now.read)}, writes {len(now.written)} cell{'s' * (len(now.written) > 1)}"
    return figure(f"lesson-down-and-up-{kind}", panels, f"Step {step} of {last}: {taken}. Output side: <b>{words}</b>")


@dataclass(frozen=True)
class Dashed:
    """What is drawn around the map that the kernel moves on: a border of padding and the kernel's outline."""

    border: int
    corner: Cell
    kernel: int


def _map(side: int, marked: set[Cell], style: str, numbers: dict[Cell, int], dashed: Dashed | None) -> str:
    """A square map with some cells marked and some numbers in it."""
    border = dashed.border if dashed else 0
    grid = Grid.fitted(side + 2 * border, side + 2 * border, SIDE, SIDE, 20, 2)
    inner = Grid(side, side, grid.cell, grid.left + border * grid.cell, grid.top + border * grid.cell)
    parts = [grid.lines("grid off") if border else "", inner.cells(marked, style), inner.lines()]
    parts += [inner.number(row, column, str(value)) for (row, column), value in numbers.items()]
    if dashed:
        parts.append(inner.box(*dashed.corner, dashed.kernel, dashed.kernel, "window"))
    return svg(SIDE + 4, f"A map of {side} by {side} cells, {len(marked)} of them {style}", *parts)


LESSON = Lesson(
    name="Down and up",
    title="Down, and up again",
    minutes=6,
    aim="You can say how large a map becomes, and where a chequerboard comes from.",
    text="""
A **strided convolution** shrinks a map: its kernel jumps `stride` cells. Beyond the edge it reads padding, zeros.

A **transposed convolution** goes back: each *input* cell stamps the kernel onto the output, `stride` cells apart. Overlaps
add up, and padding cuts the border off. It undoes the size, not the numbers.

All weights and inputs are 1: numbers count input cells.
""",
    question="Why do the counts of the transposed convolution differ at its last step, and which kernel mends it?",
    choices=(
        "Its stamps overlap unevenly; kernels 2 and 4 mend it",
        "It reads zeros at the edge; padding 0 mends it",
        "Its weights differ; kernel 5 mends it",
    ),
    answer="""
At stride 2, stamps of width 3 overlap in every other row and column: cells are hit 1, 2 or 4 times, a chequerboard. A
multiple of the stride hits inner cells equally: kernel 2 once (U-Net's paper), 4 four times (FCN's).
""",
    controls=lambda: [
        radio("Convolution", [DOWN, UP]),
        slider("Kernel", 3, 1, 5),
        slider("Stride", 2, 1, 4),
        slider("Padding", 1, 0, 2),
        slider("Map", 5, 2, 8),
        slider("Step", 5, 1, MOST_STEPS),
    ],
    figure=draw,
    last_most=steps,
    python="""
import torch
from torch import nn

x = torch.ones(1, 1, 5, 5)
for kernel in (2, 3, 4):
    up = nn.ConvTranspose2d(1, 1, kernel, stride=2, bias=False)
    nn.init.ones_(up.weight)
    print(kernel, up(x)[0, 0, 4].int().tolist())  # how often each output cell is hit
""",
    references=(
        ("fcn", "section 3.3"),
        ("arithmetic", "chapters 2 and 4"),
        ("chequerboard", ""),
    ),
    see=See("anatomy", "Down and up in the paper's U-Net", "unet"),
)
