"""Lesson 7: ASPP, several rates side by side, on the visitor's photo."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segmodels.inference.label_map import label_map
from segmodels.inference.settings import RATE_RANGE, check_integer
from segmodels.insight.receptive_field import share_of_taps_inside, taps
from segmodels.models import registry
from segmodels.models.deeplab import DeepLabV3Decoder

from ..components import photo_overlay
from ..components.figures import PANEL, Grid, contents, figure, panel, photograph, svg
from ..server import cache
from .lesson import Lesson, See, cell_at, place, slider, small_photo

MODEL = "deeplabv3_mobilenetv2"
MARKS = ("circle", "square", "triangle")
"""How the taps of the three atrous branches are drawn: to be told apart without colours."""


def run(photo: str, rate: int) -> tuple[list[Tensor], Tensor]:
    """What each branch gives for the photo at this path, (channels, h, w), and the logits, (classes, h, w)."""
    segmenter = cache.segmenter(MODEL)
    *_, deepest = segmenter.feature_maps(cache.features(photo, MODEL, None))
    with segmenter.exclusive(rate) as network, torch.inference_mode():
        decoder = network.decoder
        assert isinstance(decoder, DeepLabV3Decoder)
        branches = [branch(deepest) for branch in decoder.aspp.convs]
        logits = decoder.classifier(decoder.refine(decoder.aspp.project(torch.cat(branches, dim=1))))
        return [branch[0].float().cpu() for branch in branches], logits[0].float().cpu()


def draw(photo: str, rate: Any, across: Any, down: Any) -> str:
    """The taps on the photo, what the branches make of it, and the label map."""
    rate = check_integer("the atrous rate", rate, *RATE_RANGE)
    shown = small_photo(photo)
    maps, logits = run(photo, rate)
    _, height, width = maps[0].shape
    cell = cell_at(across, down, height, width)
    shares = [share_of_taps_inside(height, width, step * rate) for step in (1, 2, 3)]
    names = ["1 × 1", *(f"rate {step * rate}" for step in (1, 2, 3)), "image pooling"]
    notes = [
        "its own cell",
        *(f"{share:.0%} of its taps land" for step, share in zip((1, 2, 3), shares, strict=True)),
        "all cells, one mean",
    ]
    small = [
        panel(name, _activity(map_, name, cell), note) for name, map_, note in zip(names, maps, notes, strict=True)
    ]
    labels = label_map(
        logits, (shown.height, shown.width), aligned_size=cache.features(photo, MODEL, None).aligned_size
    )
    classes = registry.card(MODEL).class_list
    found = contents(labels, classes.names)
    answer = photo_overlay.picture(f"The photo segmented: {found}", photo_overlay.layer(labels))
    panels = [
        panel(f"Taps on the map of {width} × {height} cells", _taps(shown, height, width, cell, rate)),
        panel("All five together", answer, found),
        f'<div class="small">{"".join(small)}</div>',
    ]
    words = "○ □ △: taps, hollow off the map. " + "; ".join(
        f"{'rate' if step > 1 else 'Rate'} {step * rate} finds {neighbours(step * rate, width, height)}"
        for step in (1, 2, 3)
    )
    return figure(
        f"lesson-aspp-rate-{rate}",
        panels,
        words,
        photo_overlay.photo_attributes(photo, cache.display(photo), classes),
    )


def neighbours(rate: int, width: int, height: int) -> str:
    """Where taps at this rate meet another cell of a map of width x height cells, from some position at least."""
    if rate < min(width, height):
        return "neighbours both ways"
    if rate >= max(width, height):
        return "<b>its own cell alone</b>"
    return f"neighbours along the {'width' if width > height else 'height'} only"


def _taps(photo: Image.Image, height: int, width: int, cell: tuple[int, int], rate: int) -> str:
    """The photo under its map's grid with the taps of all branches around one cell; those off the map are at its edge."""
    tall = max(1.0, height / width)  # an upright photo is shown smaller, its marks are not
    edge = 14 * tall  # where the taps off the map stand
    grid = Grid(height, width, (PANEL - 2 * edge) / width, edge, edge)
    across, down = width * grid.cell, height * grid.cell
    parts = [photograph(photo, edge, edge, across, down, "dimmed"), grid.lines("grid faint")]
    for step, mark in zip((1, 2, 3), MARKS, strict=True):
        for row, column, inside in taps(*cell, step * rate, height, width):
            x, y = grid.centre(row, column)
            if (row, column) != cell:
                off = edge / 2
                x, y = min(max(x, off), edge + across + off), min(max(y, off), edge + down + off)
                parts.append(_mark(x, y, mark, inside, 5 * tall))
    parts.append(grid.box(*cell, 1, 1, "centre"))
    landed = [sum(inside for *_, inside in taps(*cell, step * rate, height, width)) for step in (1, 2, 3)]
    words = ", ".join(f"{count} of 9 at rate {step * rate}" for step, count in zip((1, 2, 3), landed, strict=True))
    return svg(down + 2 * edge, f"Taps of three branches; on the map are {words}", *parts)


def _mark(x: float, y: float, mark: str, inside: bool, size: float) -> str:
    """A tap's mark, ``size`` units from its middle to its side."""
    style = f'class="mark {mark}{"" if inside else " off"}"'
    if mark == "circle":
        return f'<circle {style} cx="{x:.4g}" cy="{y:.4g}" r="{size:.3g}"/>'
    if mark == "square":
        return f'<rect {style} x="{x - size:.4g}" y="{y - size:.4g}" width="{2 * size:.3g}" height="{2 * size:.3g}"/>'
    wide = 1.2 * size
    return f'<polygon {style} points="{x:.4g},{y - wide:.4g} {x + wide:.4g},{y + size:.4g} {x - wide:.4g},{y + size:.4g}"/>'


def _activity(map_: Tensor, name: str, cell: tuple[int, int]) -> str:
    """The mean over a branch's channels as grey, black at its least and white at its largest."""
    mean = map_.mean(0)
    least, most = mean.min(), mean.max()
    spread = (mean - least) / (most - least) if most > least else torch.full_like(mean, 0.5)
    grey = (255 * spread).round().to(torch.uint8).cpu().numpy()
    height, width = grey.shape
    grid = Grid(height, width, 160 / width)
    words = f"The mean of branch {name}, from {least:.2f} to {most:.2f}"
    picture = photograph(Image.fromarray(np.asarray(grey)), 0, 0, 160, height * grid.cell, "map")
    return svg(height * grid.cell, words, picture, grid.box(*cell, 1, 1, "centre"), width=160)


LESSON = Lesson(
    name="ASPP",
    title="Several scales side by side",
    minutes=5,
    aim="You can name the five branches of ASPP and say what each one sees.",
    text="""
No single rate suits both a cat that fills the photo and one in a corner. **Atrous spatial pyramid pooling** (ASPP) runs
five branches on the same features: a 1 × 1 convolution, 3 × 3 convolutions at three rates, here trained at 6, 12 and 18, and
**image pooling**, the mean of the whole map. A last 1 × 1 convolution weighs them.

Grey is the mean over a branch's channels.
""",
    question="At rate 12, which branches still see more than their own cell?",
    choices=("Those at 12 and 24, and image pooling", "All five", "Image pooling alone"),
    answer="""
Rates 12 and 24: a photo of 4 to 3 leaves a map of 33 × 25 cells, on which a step of 24 still meets a neighbour. Rate 36 is
longer than the map, so its branch is a second 1 × 1 convolution with weights trained for something else. Image pooling sees the
whole photo at any rate.
""",
    controls=lambda: [
        slider("Atrous rate", 6, *RATE_RANGE),
        *place(),
    ],
    figure=draw,
    python="""
import segmodels
from segmodels.checkpoints.paths import EXAMPLES

segmenter = segmodels.load("deeplabv3_mobilenetv2")
features = segmenter.encode(segmodels.read_photo(EXAMPLES / "cat.jpg").image)  # the backbone runs once
for rate in (6, 12, 24):  # the ASPP runs at rate, 2 rate and 3 rate
    result = segmenter.decode(features, rate)
    print(rate, {name: f"{share:.1%}" for name, share in result.shares.items()})
""",
    references=(
        ("deeplabv3", "section 3.3 and figure 5"),
        ("deeplabv2", "section 3.2"),
    ),
    see=See("lab", "Rates and branches on your photo", section="grid"),
    on_photo=True,
)
