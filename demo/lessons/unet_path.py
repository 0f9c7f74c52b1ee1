"""Lesson 4: U-Net's path, with the shapes of a real run."""

import functools
from dataclasses import dataclass
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn

from segmodels.inference.settings import check_integer
from segmodels.models.unet import Padding, unet

from ..components.figures import PANEL, arrow, figure, panel, photograph, rect, svg, text
from ..server import cache
from .lesson import Lesson, See, chosen, radio, slider

TILE, PHOTO = "a square tile of it", "the whole photo"
PADDINGS = ("valid", "same")
TILES = (188, 892)
BOX, ROW, TOP = 118, 62, 34

Shape = tuple[int, int, int]
"""(channels, height, width)."""


@dataclass(frozen=True)
class Path:
    """What every step of a U-Net gives: ``down`` from fine to coarse, the others as they run, from coarse to fine."""

    down: tuple[Shape, ...]
    below: tuple[Shape, ...]
    """What the up-convolutions give: the size that the skips are cropped to."""
    up: tuple[Shape, ...]
    logits: Shape


@functools.lru_cache(maxsize=128)
def path(height: int, width: int, padding: Padding) -> Path:
    """The path of the paper's U-Net for a photo of (height, width); nothing is allocated or computed.

    Raises:
        ValueError: with ``"valid"``, for a size that the network cannot take.
    """
    below: list[Shape] = []
    up: list[Shape] = []

    def record(block: nn.Module, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        x, skip = inputs
        below.append(_shape(block.upsample(x, skip)))  # type: ignore[operator]
        up.append(_shape(output))

    with torch.device("meta"), torch.no_grad():
        network = unet(padding=padding).eval()
        for block in network.decoder.blocks:  # type: ignore[union-attr]
            block.register_forward_hook(record)
        try:
            features = network.encode(torch.empty(1, 3, height, width))
            logits = network.decode(features)
        except RuntimeError as error:
            raise ValueError(
                f"{width} × {height} pixels are too few for an unpadded U-Net; torch says: {error}"
            ) from None
    return Path(tuple(map(_shape, features)), tuple(below), tuple(up), _shape(logits))


def _shape(x: Tensor) -> Shape:
    return cast(Shape, tuple(x.shape[1:]))


def draw(photo: str, padding: Any, source: Any, side: Any) -> str:
    """The U with its shapes, and the part of the photo that gets a label."""
    padding = cast(Padding, chosen("the padding", padding, PADDINGS))
    source = chosen("the input", source, (TILE, PHOTO))
    side = check_integer("the tile's side", side, *TILES)
    display = cache.display(photo)
    width, height = display.size if source == PHOTO else (side, side)
    found = path(height, width, padding)
    _, out_height, out_width = found.logits
    share = out_height * out_width / (height * width)
    lost = f"{(width - out_width) // 2} pixels are lost on every side" if padding == "valid" else "none is lost"
    words = f"{width} × {height} pixels in, labels for <b>{out_width} × {out_height}</b>: {share:.0%} of them; {lost}"
    panels = [
        panel("Every step's width × height × channels", _drawing(found, (3, height, width))),
        panel("What gets a label is bright", _labelled(display.photo, width, height, out_width, out_height)),
    ]
    return figure(f"lesson-unet-{padding}-{width}x{height}", panels, words)


def _drawing(found: Path, photo: Shape) -> str:
    """The letter U: down on the left, up on the right, skips across."""
    right = PANEL - BOX - 2
    depth = len(found.down) - 1
    parts = [text(BOX / 2, 14, f"in {_times(photo)}"), text(right + BOX / 2, 14, f"out {_times(found.logits)}")]
    parts += [arrow(BOX / 2, 18, BOX / 2, TOP - 1), arrow(right + BOX / 2, TOP, right + BOX / 2, 19)]
    for level, shape in enumerate(found.down[:-1]):
        y = TOP + level * ROW
        below, up = found.below[depth - 1 - level], found.up[depth - 1 - level]
        parts += [*_box(2, y, shape, "two 3×3"), *_box(right, y, up, f"of {shape[0]} + {below[0]}", "decoder")]
        cropped = below[1:] != shape[1:]
        words = ("crop to", f"{below[2]}×{below[1]}") if cropped else ("concatenated", "as it is")
        parts.append(arrow(BOX + 4, y + 22, right - 2, y + 22, "skip"))
        parts += [text(PANEL / 2, y + 16, words[0]), text(PANEL / 2, y + 38, words[1])]
        foot = y + 44
        if level < depth - 1:
            parts.append(arrow(BOX / 2, foot, BOX / 2, foot + 17))
            parts.append(arrow(right + BOX / 2, foot + 18, right + BOX / 2, foot + 1))
    y = TOP + depth * ROW
    middle = (PANEL - BOX) / 2
    parts += _box(middle, y, found.down[-1], "two 3×3")
    parts += [arrow(BOX / 2, y - 18, middle - 2, y + 22), arrow(middle + BOX + 2, y + 22, right + BOX / 2, y - 17)]
    steps = [*found.down, *found.up]
    title = f"A U-Net from {_times(photo)} to {_times(found.logits)}, by way of {', '.join(map(_times, steps))}"
    return svg(y + 48, title, *parts)


def _box(x: float, y: float, shape: Shape, work: str, style: str = "") -> list[str]:
    middle = x + BOX / 2
    return [
        rect(x, y, BOX, 44, f"box {style}"),
        text(middle, y + 19, _times(shape), "name"),
        text(middle, y + 36, work, "quiet"),
    ]


def _times(shape: Shape) -> str:
    return "×".join(map(str, reversed(shape)))


def _labelled(photo: Image.Image, width: int, height: int, out_width: int, out_height: int) -> str:
    """The input with the border that gets no label dimmed; a tile is cut from the photo's middle and scaled to fit."""
    tall = PANEL * height / width
    shown = photo
    if width == height:
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        shown = photo.crop((left, top, left + side, top + side))
    scale = PANEL / width
    inner = (out_width * scale, out_height * scale)
    x, y = (PANEL - inner[0]) / 2, (tall - inner[1]) / 2
    hole = f"M0 0H{PANEL}V{tall:g}H0ZM{x:g} {y:g}v{inner[1]:g}h{inner[0]:g}v{-inner[1]:g}Z"
    dim = f'<path class="dim" d="{hole}"/>'
    words = f"The input, {width} by {height}, its middle {out_width} by {out_height} labelled"
    return svg(tall, words, photograph(shown, 0, 0, PANEL, tall), dim, rect(x, y, *inner, "window"))


LESSON = Lesson(
    name="U-Net's path",
    title="Down the U and up again",
    minutes=5,
    aim="You can follow a tile through U-Net and say why its border gets no label.",
    text="""
FCN adds *scores*; **U-Net** hands over *features*. Each step up doubles the map by a 2 × 2 transposed convolution,
concatenates the skip and merges both by two 3 × 3 convolutions.

The paper does not pad: each 3 × 3 costs a border of one pixel, skips are **cropped**, and only the tile's middle gets
labels. Padding loses nothing, but guesses the border from zeros.
""",
    question="Does a tile larger than 572 lose more? Does one of 576 work?",
    choices=(
        "It loses as many pixels a side; 576 fails",
        "It loses more pixels a side; 576 works",
        "It loses as many pixels a side; 576 works",
    ),
    answer="""
Every tile loses 92 pixels a side, so a larger one a smaller *share*: 572 keeps 46 %, 892 keeps 63 %. 576 fails: a map must
be even where it is pooled, or crop and skip would not meet. Sides that work are 16 apart.
""",
    controls=lambda: [
        radio("Convolutions", [("unpadded (paper)", "valid"), ("padded", "same")]),
        radio("Input", [TILE, PHOTO]),
        slider("Side of the tile", 572, *TILES, step=4),
    ],
    figure=draw,
    python="""
import torch
from segmodels.models.unet import unet

with torch.device("meta"):  # shapes alone: nothing is computed
    network = unet(2, in_channels=1, padding="valid")
    for side in (572, 588, 892):
        logits = network(torch.empty(1, 1, side, side))
        print(side, "->", logits.shape[-1])
""",
    references=(("unet", "section 2 and figure 1"),),
    see=See("anatomy", "The same path, as trained here", "unet_width24"),
    on_photo=True,
)
