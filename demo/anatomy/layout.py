"""Where the parts of a network stand in its drawing: maps of one size in a row, the finest on top, left to right."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from segmodels.insight.anatomy import Anatomy, Part

BOX_WIDTH, BOX_HEIGHT = 126, 62
STACK_GAP = 22
"""Between boxes that stand above one another in a row, such as the ASPP's branches."""
ROW_GAP = 44
STEP = 106
"""From a box to one in another row, left edge to left edge."""
GAP = 50
"""From a box to the next in its own row, edge to edge."""
TURN = 22
"""How far before a box its arrows turn, and where they are joined."""
MARGIN_LEFT, MARGIN = 98, 14
SHEET = 2
"""How far the sheets that stand for channels are apart."""


@dataclass(frozen=True)
class Inlet:
    """One arrow into a box: where from, and what enlarges the map on its way."""

    source: int
    ups: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Box:
    """A part with its place. Sums and concatenations that one box takes in are no box but a circle at its entry."""

    index: int
    part: Part
    inlets: tuple[Inlet, ...]
    join: str | None
    """``add`` or ``concatenate``, if it takes in several maps."""
    x: float = 0
    y: float = 0

    @property
    def right(self) -> float:
        return self.x + BOX_WIDTH

    @property
    def middle(self) -> float:
        return self.y + BOX_HEIGHT / 2

    @property
    def reach(self) -> float:
        """How far its sheets stand out, to the right and to the top."""
        return SHEET * sheets(self.part.shape[0])


def sheets(channels: int) -> int:
    """How many sheets are drawn behind a box: one more with each doubling, from 16 channels on."""
    return min(max(round(math.log2(channels)) - 3, 0), 8)


def stride(anatomy: Anatomy, part: Part) -> int:
    """The power of two by which a part's map is smaller than the photo, whose size need not be a multiple of it."""
    strides = [2**power for power in range(8)]

    def misfit(stride: int) -> float:
        return sum(
            abs(-(-full // stride) - side)
            for full, side in zip((anatomy.height, anatomy.width), part.shape[1:], strict=True)
        )

    return min(strides, key=misfit)


def boxes_of(parts: Sequence[Part]) -> dict[int, Box]:
    """The parts that are drawn as boxes, by index, with the arrows into them."""
    takers: dict[int, list[int]] = {}
    for index, part in enumerate(parts):
        for source in part.sources:
            takers.setdefault(source, []).append(index)

    def folded(index: int) -> bool:
        return parts[index].kind == "join" and [parts[taker].kind for taker in takers[index]] == ["decoder"]

    def inlets(index: int, ups: tuple[Part, ...] = ()) -> Iterable[Inlet]:
        part = parts[index]
        if part.kind == "up":
            yield from inlets(part.sources[0], (part, *ups))
        elif folded(index):
            for source in part.sources:
                yield from inlets(source, ups)
        else:
            yield Inlet(index, ups)

    boxes = {}
    for index, part in enumerate(parts):
        if part.kind == "up" or folded(index):
            continue
        found = tuple(inlet for source in part.sources for inlet in inlets(source))
        joins = [parts[source].name for source in part.sources if folded(source)]
        boxes[index] = Box(index, part, found, part.name if part.kind == "join" else next(iter(joins), None))
    return boxes


@dataclass(frozen=True)
class Row:
    """All boxes with maps of one size."""

    top: float
    height: float
    label: str
    size: str


def place(anatomy: Anatomy) -> tuple[dict[int, Box], list[Row], float]:
    """Boxes with their places, the rows they stand in, and how high it all is."""
    boxes = boxes_of(anatomy.parts)
    lefts = _lefts(boxes)
    stacks: dict[tuple[tuple[int, ...], float], list[int]] = {}
    for index, box in boxes.items():
        stacks.setdefault((box.part.shape[1:], lefts[index]), []).append(index)
    rows, placed, top = [], {}, float(MARGIN)
    for size in sorted({box.part.shape[1:] for box in boxes.values()}, reverse=True):
        columns = [(left, stack) for (its_size, left), stack in stacks.items() if its_size == size]
        height = max(_stack_height(len(stack)) for _, stack in columns)
        for left, stack in columns:
            for nth, index in enumerate(stack):
                y = top + (height - _stack_height(len(stack))) / 2 + nth * (BOX_HEIGHT + STACK_GAP)
                box = boxes[index]
                placed[index] = Box(index, box.part, box.inlets, box.join, left, y)
        first = boxes[columns[0][1][0]].part
        rows.append(Row(top, height, f"stride {stride(anatomy, first)}", f"{size[1]} × {size[0]}"))
        top += height + ROW_GAP
    return {index: placed[index] for index in boxes}, rows, top - ROW_GAP + MARGIN


def _stack_height(count: int) -> float:
    return count * BOX_HEIGHT + (count - 1) * STACK_GAP


def _lefts(boxes: dict[int, Box]) -> dict[int, float]:
    """The left edge of each box: clear of those it takes from, and of the last one in its row.

    Boxes that take from one and the same box stand above one another, if their maps are of one size.
    """
    lefts: dict[int, float] = {}
    row_ends: dict[tuple[int, ...], int] = {}
    for index, box in boxes.items():
        row = box.part.shape[1:]
        last = row_ends.get(row)
        if last is not None and box.inlets and box.inlets == boxes[last].inlets:
            lefts[index] = lefts[last]
            continue
        left = float(MARGIN_LEFT)
        for inlet in box.inlets:
            same_row = boxes[inlet.source].part.shape[1:] == row
            left = max(left, lefts[inlet.source] + (BOX_WIDTH + GAP if same_row else STEP))
        if last is not None:
            left = max(left, lefts[last] + BOX_WIDTH + GAP)
        lefts[index], row_ends[row] = left, index
    return lefts
