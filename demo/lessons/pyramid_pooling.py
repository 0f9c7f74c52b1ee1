"""Lesson 5: spatial pyramid pooling, a fixed number of numbers from any map."""

from typing import Any

import torch

from segmodels.inference.settings import check_integer
from segmodels.models.heads import SpatialPyramidPooling

from ..components.figures import PANEL, Grid, figure, panel, svg
from .connections import connections
from .lesson import Lesson, See, slider

BINS = (4, 2, 1)
SIDES = (1, 24)
HEIGHT = 250


def draw(height: Any, width: Any, channels: Any) -> str:
    """The map under each of the three grids, and how many numbers come out."""
    height, width = check_integer("the height", height, *SIDES), check_integer("the width", width, *SIDES)
    channels = check_integer("the channels", channels, 1, 512)
    pooling = SpatialPyramidPooling(BINS)
    with torch.no_grad():
        numbers = pooling(torch.zeros(1, channels, height, width)).shape[1]
    reads = connections(pooling, height, width)  # (row, column, bin), all grids' bins one after another
    panels, first = [], 0
    for bins in BINS:
        members = reads[:, :, first : first + bins**2]
        shared = int((members.sum(2) > 1).sum())
        note = f"{shared} of {height * width} cells are in several" if shared else "each cell is in one of them"
        if bins == 1:
            note = "all cells are in it"
        panels.append(panel(f"{bins} × {bins} bin{'s' * (bins > 1)}", _grid(members, bins), note))
        first += bins**2
    count = sum(bins**2 for bins in BINS)
    words = f"{channels} map{'s' * (channels > 1)} of {width} × {height} = {channels * height * width:,} numbers in"
    return figure("lesson-pyramid-pooling", panels, f"{words}, {channels} × {count} = <b>{numbers:,} out</b>")


def _grid(members: torch.Tensor, bins: int) -> str:
    """A map with one grid's bins drawn on it; ``members`` is (rows, columns, bins²), 1 where a bin reads a cell."""
    rows, columns, _ = members.shape
    grid = Grid.fitted(rows, columns, PANEL - 8, HEIGHT, 4, 4)
    shared = [(row, column) for row, column in (members.sum(2) > 1).nonzero().tolist()]
    parts = [grid.cells(shared, "shared"), grid.lines()]
    for index in range(bins**2):
        cells = members[:, :, index].nonzero()
        (top, left), (bottom, right) = cells.min(0).values.tolist(), cells.max(0).values.tolist()
        inset = 0.07 + 0.05 * ((index + index // bins) % 2)  # so that bins that overlap can be told apart
        box = (top + inset, left + inset, bottom - top + 1 - 2 * inset, right - left + 1 - 2 * inset)
        parts.append(grid.box(*box, f"bin bin{(index + index // bins) % 2}"))
    title = f"A map of {columns} by {rows} cells under {bins} by {bins} bins, {len(shared)} cells in several of them"
    return svg(HEIGHT + 8, title, *parts)


LESSON = Lesson(
    name="Pyramid pooling",
    title="Any map, always 21 numbers a channel",
    minutes=4,
    aim="You can say how a map of any size becomes a fixed number of values.",
    text="""
**Spatial pyramid pooling** makes any map fit a fully connected layer: it keeps the maximum of each of 4 × 4 bins, then of
2 × 2, then of one. These 16 + 4 + 1 = 21 numbers a channel are coarse about *where*, exact about
*what*.

DeepLab borrows the scales, not the pooling: a label map needs an answer for every place.
""",
    question="On a side of 3 cells, what becomes of the 4 × 4 bins, and of the 21 numbers?",
    choices=(
        "The bins overlap, and 21 numbers stay",
        "Some bins are empty, and fewer numbers stay",
        "The map is enlarged first, and 21 numbers stay",
    ),
    answer="""
The bins overlap: along *n* cells, bin *i* of 4 goes from ⌊*i·n*/4⌋ to ⌈(*i*+1)·*n*/4⌉, and neighbours share the shaded
cells. Even a single cell gives 21 maxima a channel.
""",
    controls=lambda: [
        slider("Height of the map", 13, *SIDES),
        slider("Width of the map", 17, *SIDES),
        slider("Channels", 256, 1, 512),
    ],
    figure=draw,
    python="""
import torch
from torch.nn.functional import adaptive_max_pool2d

for height, width in ((13, 17), (3, 3), (1, 1)):
    x = torch.rand(1, 256, height, width)
    bins = [adaptive_max_pool2d(x, side).flatten(2) for side in (4, 2, 1)]
    print((height, width), "->", tuple(torch.cat(bins, dim=2).shape))
""",
    references=(
        ("spp", "section 2.2 and figure 3"),
        ("deeplabv2", "section 3.2"),
    ),
    see=See("anatomy", "What DeepLab made of it: the ASPP", "deeplabv3_mobilenetv2"),
)
