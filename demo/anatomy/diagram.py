"""A network's path as a drawing: inline SVG, laid out from the parts that a run of the network showed.

Maps of one size share a row, the finest on top, and everything reads from left to right; so a U-Net comes out as a U.
Colours are in the style sheet and follow the page's light and dark.
"""

import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

from segmodels.insight.cost import Layer

from .facts import Anatomy, Part
from .layout import (
    BOX_HEIGHT,
    BOX_WIDTH,
    MARGIN,
    SHEET,
    STACK_GAP,
    TURN,
    Box,
    Inlet,
    Row,
    boxes_of,
    place,
    sheets,
    stride,
)


def draw(anatomy: Anatomy) -> str:
    """The whole drawing, as an ``<svg>`` with a text alternative."""
    boxes, rows, height = place(anatomy)
    width = max(box.right + box.reach for box in boxes.values()) + MARGIN
    most = max(part.macs for part in anatomy.parts) or 1
    skips = _skips(boxes)
    drawn = [
        *(_band(index, row, width) for index, row in enumerate(rows)),
        *(_box(anatomy, box, most) for box in boxes.values()),
        *(_arrow(boxes[inlet.source], box, inlet, skips) for box in boxes.values() for inlet in box.inlets),
        *(_joint(box) for box in boxes.values() if box.join),
    ]
    title = f"{anatomy.title} ({anatomy.name}) on a photo of {anatomy.width} × {anatomy.height} pixels"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img"'
        f' aria-label="{escape(title)}" aria-describedby="path-description"'
        f' style="--natural: {width:g}px">'
        f'<desc id="path-description">{escape(description(anatomy))}</desc>'
        f"<defs>{_arrowhead('flow')}{_arrowhead('skip')}</defs>{''.join(drawn)}</svg>"
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


def _band(index: int, row: Row, width: float) -> str:
    """A row's background and what its maps have in common."""
    pad = STACK_GAP
    middle = row.top + row.height / 2
    return (
        f'<rect class="band{" odd" * (index % 2)}" x="0" y="{row.top - pad:g}" width="{width:g}"'
        f' height="{row.height + 2 * pad:g}"/>'
        f'<text class="row" x="12" y="{middle - 2:g}">{row.label}</text>'
        f'<text class="row size" x="12" y="{middle + 14:g}">{row.size}</text>'
    )


def _box(anatomy: Anatomy, box: Box, most: int) -> str:
    """A box, the sheets behind it, its three lines and the bar of its cost."""
    part = box.part
    role = "aspp" if is_branch(part) else part.kind
    behind = "".join(
        f'<rect x="{box.x + SHEET * n:g}" y="{box.y - SHEET * n:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>'
        for n in range(sheets(part.shape[0]), -1, -1)
    )
    texts = [(label(part), "name"), (work(part), "work"), (shape(part), "shape")]
    if work(part) in ("", label(part)):
        del texts[1]
    first = 19 if len(texts) == 3 else 26
    lines = "".join(_line(*text, box.x, box.y + first + 16 * place) for place, text in enumerate(texts))
    bar = (BOX_WIDTH - 12) * part.macs / most
    cost = (
        f'<rect class="cost" x="{box.x + 6:g}" y="{box.y + BOX_HEIGHT - 5:g}" width="{bar:.1f}" height="3" rx="1.5"/>'
    )
    return f'<g class="part {role}"><title>{escape(_tooltip(part))}</title>{behind}{lines}{cost}</g>'


def _line(text: str, style: str, left: float, baseline: float) -> str:
    """A line in the middle of a box, squeezed if it is longer than the box is wide."""
    squeezed = f' textLength="{BOX_WIDTH - 10}" lengthAdjust="spacingAndGlyphs"' if len(text) > 18 else ""
    return f'<text class="{style}" x="{left + BOX_WIDTH / 2:g}" y="{baseline:g}"{squeezed}>{escape(text)}</text>'


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


def _arrow(source: Box, target: Box, inlet: Inlet, skips: set[tuple[int, int]]) -> str:
    """An arrow and the words beside it."""
    kind = "skip" if (source.index, target.index) in skips else "flow"
    points = _route(source, target)
    path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
    text = "".join(f'<text class="up" {_beside(points)}>{escape(up_label(up))}</text>' for up in inlet.ups)
    return f'<path class="{kind}" d="{path}" marker-end="url(#arrow-{kind})"/>{text}'


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


def _beside(points: Sequence[tuple[float, float]]) -> str:
    """Where the words for an arrow stand: right of its rising part, in the gap under the row it leads to."""
    rise = next((a, b) for a, b in pairwise(points) if a[0] == b[0])
    (x, _), (_, end) = rise
    return f'x="{x + 7:g}" y="{end + BOX_HEIGHT / 2 + 13:g}"'


JOINT = 9
"""The radius of the circle where maps are joined."""


def _joint(box: Box) -> str:
    assert box.join is not None
    x = box.x - TURN
    sign, word = JOINS[box.join]
    return (
        f'<path class="flow" d="M{x + JOINT:g} {box.middle:g} L{box.x - 3:g} {box.middle:g}" marker-end="url(#arrow-flow)"/>'
        f'<g class="joint"><title>{word}</title><circle cx="{x:g}" cy="{box.middle:g}" r="{JOINT}"/>'
        f'<text x="{x:g}" y="{box.middle + 4.5:g}">{sign}</text></g>'
    )


def _arrowhead(kind: str) -> str:
    return (
        f'<marker id="arrow-{kind}" class="{kind}-head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7"'
        ' markerHeight="7" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.5 L8 4 L0 7.5 z"/></marker>'
    )
