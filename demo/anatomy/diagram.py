"""A network's path as a drawing: inline SVG, laid out from the parts that a run of the network showed.

Maps of one size share a row, the finest on top, and everything reads from left to right; so a U-Net comes out as a U.
Colours are in the style sheet and follow the page's light and dark.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from segmodels.insight.anatomy import Anatomy, Part
from segmodels.insight.cost import Layer

from ..components.templates import render
from . import layout
from .layout import BOX_HEIGHT, MARGIN, TURN, Box, boxes_of, place, stride


def draw(anatomy: Anatomy) -> str:
    """The whole drawing, as an ``<svg>`` with a text alternative."""
    boxes, rows, height = place(anatomy)
    return render(
        "anatomy/diagram.html",
        **{name: getattr(layout, name) for name in ("BOX_WIDTH", "BOX_HEIGHT", "SHEET", "STACK_GAP", "TURN", "sheets")},
        JOINS=JOINS,
        JOINT=JOINT,
        anatomy=anatomy,
        description=description(anatomy),
        width=max(box.right + box.reach for box in boxes.values()) + MARGIN,
        height=height,
        rows=rows,
        boxes=list(boxes.values()),
        most=max(part.macs for part in anatomy.parts) or 1,
        arrows=list(_arrows(boxes)),
        is_branch=is_branch,
        box_lines=_lines,
        tooltip=_tooltip,
    )


def description(anatomy: Anatomy) -> str:
    """The drawing in words, for those who cannot see it."""
    boxes = boxes_of(anatomy.parts)
    sentences = []
    for box in boxes.values():
        sources = [
            label(anatomy.parts[inlet.source]) + "".join(f" ({up_label(up)})" for up in inlet.ups)
            for inlet in box.inlets
        ]
        origin = f" from {' and '.join(sources)}" if sources else ""
        how = f", {JOINS[box.join][1]}" if box.join else ""
        what = ", ".join(text for text in (label(box.part), work(box.part)) if text)
        sentences.append(f"{what}: {shape(box.part)} at stride {stride(anatomy, box.part)}{origin}{how}.")
    return " ".join(sentences)


JOINS = {"add": ("+", "added"), "concatenate": ("‖", "concatenated")}
"""How a joint is drawn, and its word."""


def label(part: Part) -> str:
    """A part's name on its box."""
    if part.kind == "join":
        return "sum" if part.name == "add" else "concatenation"
    if is_branch(part):
        return _branch(part)
    return part.name.removeprefix("backbone.").removeprefix("decoder.").replace("-", "–")


def is_branch(part: Part) -> bool:
    """Whether it is one of an ASPP's branches: also of that in FCN's head and at U-Net's bottom."""
    return re.search(r"\.(aspp|head|bottom)\.convs\.", part.name) is not None


def _branch(part: Part) -> str:
    """One of the ASPP's branches is known by what it does."""
    if any(layer.kind == "image pooling" for layer in part.layers):
        return "image pooling"
    if any(layer.kind.startswith("3x3") for layer in part.layers):
        return f"rate {max(rates(part.layers), default=1)}"
    return "1×1"


def rates(layers: Iterable[Layer]) -> list[int]:
    """The atrous rates over 1 among ``layers``."""
    found = (re.search(r"rate (\d+)", layer.kind) for layer in layers)
    return sorted({int(match[1]) for match in found if match})


def work(part: Part) -> str:
    """What a part does, in a few words: ``3x3 separable``, ``12 convs, rate 2``. Empty for what has no kernel."""
    convs = [layer for layer in part.layers if layer.macs]
    tokens = _kernels(convs)
    if len(tokens) == 2 and tokens[0] == tokens[1]:
        words = f"two {tokens[0]}"
    else:
        words = ", ".join(tokens) if len(tokens) < 3 else f"{len(convs)} convs"
    found = [] if is_branch(part) else rates(convs)
    return words + (f", {'rates' if len(found) > 1 else 'rate'} {', '.join(map(str, found))}" if found else "")


def _kernels(convs: Sequence[Layer]) -> list[str]:
    """Each convolution's kernel; a depthwise and the 1x1 after it are one separable convolution."""
    kernels = [layer.kind.split(" ")[0].replace("x", "×") for layer in convs]
    depthwise = ["depthwise" in layer.kind for layer in convs]
    tokens: list[str] = []
    for index, kernel in enumerate(kernels):
        if index and depthwise[index - 1] and kernel == "1×1":
            tokens[-1] = f"{kernels[index - 1]} separable"
        else:
            tokens.append(kernel)
    return tokens


def up_label(part: Part) -> str:
    """What enlarges a map: ``2x2 up-conv, x2``."""
    if not part.layers:
        return part.name
    kind = part.layers[0].kind
    factor = re.search(r"stride (\d+)", kind)
    return f"{kind.split(' ')[0].replace('x', '×')} up-conv, ×{factor[1] if factor else 1}"


def shape(part: Part) -> str:
    """Width, height and channels of what a part gives."""
    return written(part.shape)


def written(shape: tuple[int, ...]) -> str:
    """A map of (channels, height, width) as it is written on the page: width x height x channels."""
    return " × ".join(map(str, reversed(shape)))


def _lines(part: Part) -> dict[str, str]:
    """What stands in a box: name, work and shape."""
    lines = {"name": label(part), "work": work(part), "shape": shape(part)}
    if lines["work"] in ("", lines["name"]):
        del lines["work"]
    return lines


def _tooltip(part: Part) -> str:
    lines = [part.name, f"gives {shape(part)}"]
    if part.layers:
        lines.append(f"{part.parameters:,} parameters, {part.macs:,} multiply-accumulates")
    lines.append(f"sees {field(part.receptive_field)}")
    return "\n".join(lines)


def field(size: float) -> str:
    """A receptive field in words: ``851 pixels`` or ``the whole photo``."""
    return "the whole photo" if math.isinf(size) else f"{size:,.0f} pixels"


def _skips(boxes: dict[int, Box]) -> set[tuple[int, int]]:
    """The arrows that are skip connections, by (source, target): from the backbone's maps but its last to a decoder,
    and on through boxes that take in nothing else.
    """
    deepest = max(index for index, box in boxes.items() if box.part.kind == "backbone")
    off_the_path = {index for index, box in boxes.items() if box.part.kind == "backbone" and index != deepest}
    skips: set[tuple[int, int]] = set()
    for index, box in boxes.items():
        if box.part.kind not in ("input", "backbone"):
            found = {(inlet.source, index) for inlet in box.inlets if inlet.source in off_the_path}
            skips |= found
            if len(found) == len(box.inlets):
                off_the_path.add(index)
    return skips


def _arrows(boxes: dict[int, Box]) -> Iterator[tuple[str, str, list[str], tuple[float, float]]]:
    """Each arrow's kind and path, the words beside it, and where they stand."""
    skips = _skips(boxes)
    for box in boxes.values():
        for inlet in box.inlets:
            points = _route(boxes[inlet.source], box)
            path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
            kind = "skip" if (inlet.source, box.index) in skips else "flow"
            yield kind, path, list(map(up_label, inlet.ups)), _beside(points) if inlet.ups else (0, 0)


def _route(source: Box, target: Box) -> list[tuple[float, float]]:
    """The corners of an arrow, which only runs along the axes."""
    start = (source.right + source.reach, source.middle)
    turn = target.x - TURN
    joint = JOINT + 3 if target.join else 0
    end = (turn - joint, target.middle) if target.join else (target.x - 3, target.middle)
    if source.middle == target.middle:
        return [start, end]
    below = source.middle > target.middle
    if source.part.shape[1:] == target.part.shape[1:]:
        corners = [start, (turn, source.middle)]
    elif below:
        over = source.x < turn < source.right
        corners = [(turn, source.y - source.reach)] if over else [start, (turn, source.middle)]
    else:
        drop = max(start[0] + 12, target.x + 24)
        return [start, (drop, source.middle), (drop, target.y - target.reach - 3)]
    if target.join:
        return [*corners, (turn, target.middle + (joint if below else -joint))]
    return [*corners, (turn, target.middle), end]


def _beside(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Where the words for an arrow stand: right of its rising part, in the gap under the row it leads to."""
    (x, _), (_, end) = next((a, b) for a, b in pairwise(points) if a[0] == b[0])
    return x + 7, end + BOX_HEIGHT / 2 + 13


JOINT = 9
"""The radius of the circle where maps are joined."""
