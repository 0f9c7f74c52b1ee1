"""Lesson 14: elastic deformation, by hand, and what was measured over the number of training pictures."""

import json
import math
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segmodels.checkpoints.paths import WEIGHTS
from segmodels.inference.instances import Instances
from segmodels.inference.settings import check_integer

from ..components.figures import PANEL, figure, panel, svg, text
from .lesson import Lesson, See, slider
from .touching_cells import LINE, nuclei, shown, stretched

MEASURED = WEIGHTS / "unet_nuclei.rows.json"
"""What ``python -m tools.weights.cells`` measured, where its rows were trained."""
SCORES = {"foreground_iou": "foreground IoU", "precision_50": "mean precision at IoU 0.5"}
DEVIATIONS, CELLS, DRAWS = (0, 30), (2, 8), (1, 50)
MESH = 24
"""Pixels between the lines that are drawn over the picture."""
NOTICED = 0.1
"""A nucleus whose area changes by more than this part is counted."""
KEY = (
    '<span class="fit-key moved"></span> foreground IoU <span class="fit-key fitted"></span> mean precision at IoU 0.5. '
    "Each run took as many steps."
)
LEFT, RIGHT, TOP, FOOT, TALL = 40, 20, 14, 44, 250
"""Of the curve, in units of its view box."""


def deformed(deviation: int, cells: int, number: int) -> tuple[NDArray[np.float32], ...]:
    """Return the picture and its mesh, (H, W) from 0 to 255, the numbers of its nuclei, and the displacements (2, H, W).

    ``number`` is that of the random draw: a larger ``deviation`` moves the same draw further.
    """
    # Here: the page starts without training.
    from segmodels.training.instances import elastic_field, sampling_grid, warp

    picture, numbers = nuclei()
    side = len(picture)
    field = elastic_field(side, np.random.default_rng(number), deviation, cells)
    mesh = np.zeros_like(picture)
    mesh[MESH // 2 :: MESH], mesh[:, MESH // 2 :: MESH] = 255, 255
    middles = torch.arange(side) + 0.5
    rows, columns = torch.meshgrid(middles, middles, indexing="ij")
    grid = sampling_grid(rows + torch.from_numpy(field[0]), columns + torch.from_numpy(field[1]), side, side)
    planes = torch.from_numpy(np.stack([picture, mesh]))
    moved = warp(planes, grid, "bilinear").numpy()
    renumbered = warp(torch.from_numpy(numbers)[None].float(), grid, "nearest")[0].numpy()
    return moved[0], moved[1], renumbered.astype(np.int32), field


def folded(field: NDArray[np.float32]) -> float:
    """Return the share of pixels around which displacements (2, H, W) turn the picture over."""
    (down_down, down_right), (right_down, right_right) = np.gradient(field[0]), np.gradient(field[1])
    return float(np.mean((1 + down_down) * (1 + right_right) - down_right * right_down <= 0))


def draw(deviation: Any, cells: Any, number: Any) -> str:
    """The picture as it is and deformed, with the outlines of its nuclei, and the curve if it was measured."""
    deviation = check_integer("the deviation", deviation, *DEVIATIONS)
    cells, number = check_integer("the grid", cells, *CELLS), check_integer("the draw", number, *DRAWS)
    before = np.bincount(nuclei()[1].ravel())[1:]
    picture, mesh, numbers, field = deformed(deviation, cells, number)
    after = np.bincount(numbers.ravel(), minlength=len(before) + 1)[1 : len(before) + 1]
    there = before > 0
    changed = np.abs(after / np.maximum(before, 1) - 1)[there] > NOTICED
    still, flat, there_before, _ = deformed(0, cells, number)
    panels = [
        panel("The picture and its outlines", _picture(still, flat, there_before, "As it is")),
        panel("Deformed, as training sees it", _picture(picture, mesh, numbers, f"Deformed by {deviation} pixels")),
    ]
    panels += _curve_panel()
    distance = np.hypot(*field)
    words = (
        f"Pixels move by {np.median(distance):.0f} pixels in the median, by {distance.max():.0f} at most. "
        f"{changed.sum()} of {there.sum()} nuclei change their area by more than {NOTICED:.0%}. "
        f"The picture folds at <b>{folded(field):.1%}</b> of the pixels"
    )
    return figure(f"lesson-thirty-pictures-{deviation}-{cells}-{number}", panels, words)


def _picture(picture: NDArray[Any], mesh: NDArray[Any], numbers: NDArray[Any], words: str) -> str:
    pixels = stretched(picture)
    pixels += 0.3 * mesh[..., None] * (1 - pixels / 255)
    pixels[Instances(numbers, ()).outlines] = LINE
    return shown(pixels.astype(np.uint8), words)


@cache
def measured() -> dict[int, dict[str, float]]:
    """Return the scores by the number of training pictures, as far as they were measured."""
    if not MEASURED.is_file():
        return {}
    rows = json.loads(MEASURED.read_text(encoding="utf-8"))["rows"]
    return {
        rows[name]["pictures"]: rows[name]["scores"] for name in sorted(rows) if name.startswith(("all", "pictures-"))
    }


def _curve_panel() -> list[str]:
    """The curve over the number of pictures; nothing where fewer than two numbers were measured."""
    rows = dict(sorted(measured().items()))
    if len(rows) < 2:
        return []
    said = "; ".join(f"{count} pictures: {scores['foreground_iou']:.3f}" for count, scores in rows.items())
    drawn = svg(TALL, f"Foreground IoU by training pictures. {said}", *_curve(rows))
    return [panel("Scores by the number of training pictures", drawn, KEY)]


def _curve(rows: dict[int, dict[str, float]]) -> Iterable[str]:
    least, most = math.log(min(rows)), math.log(max(rows))
    values = [scores[key] for scores in rows.values() for key in SCORES]
    bottom, top = math.floor(min(values) * 10) / 10, math.ceil(max(values) * 10) / 10

    def place(count: int, score: float) -> tuple[float, float]:
        x = LEFT + (math.log(count) - least) / (most - least) * (PANEL - LEFT - RIGHT)
        return x, TOP + (top - score) / (top - bottom) * (TALL - TOP - FOOT)

    for step in range(round((top - bottom) * 10) + 1):
        _, y = place(min(rows), bottom + step / 10)
        yield f'<path class="grid" d="M{LEFT} {y:.4g}H{PANEL - RIGHT}"/>'
        yield text(LEFT - 18, y + 4, f"{bottom + step / 10:.1f}", "quiet")
    for count in rows:
        yield text(place(count, bottom)[0], TALL - FOOT + 18, str(count), "quiet")
    for style, key in zip(("moved", "fitted"), SCORES, strict=True):
        points = [place(count, scores[key]) for count, scores in rows.items()]
        yield f'<polyline class="{style}" points="{" ".join(f"{x:.4g},{y:.4g}" for x, y in points)}"/>'
        for (x, y), (count, scores) in zip(points, rows.items(), strict=True):
            name = f"{count} pictures: {SCORES[key]} {scores[key]:.3f}"
            yield f'<circle class="{style}" cx="{x:.4g}" cy="{y:.4g}" r="5"><title>{name}</title></circle>'


LESSON = Lesson(
    name="Thirty pictures",
    title="Thirty pictures are enough",
    minutes=5,
    aim="You can say which deformations make new training pictures, and which make nonsense.",
    text="""
U-Net's paper had 30 training pictures for its first task, and 35 and 20 for the others. It made more of them: tissue bends,
so a **bent picture** of cells is a picture of cells that could exist, and the outlines bend with it.

For each pixel a displacement is needed, and neighbours must move alike. So the displacements of a **coarse grid**, 3 × 3 in
the paper, are drawn from a Gaussian with a deviation of 10 pixels; between them they are interpolated
bicubically. Each step of the training draws anew.
""",
    question="On a grid of 8 × 8, what do 30 pixels of deviation do that 10 pixels on 3 × 3 never do?",
    choices=("They fold the picture", "They move every pixel alike", "They shrink all nuclei"),
    answer="""
They **fold** the picture: neighbours change places, and nuclei are torn or turned over. No tissue does that, so the network
would learn what does not exist. The caption counts the pixels. A coarse grid bends long pieces at once: of the 50 draws
here none folds on 3 × 3, not even at 30 pixels; on 8 × 8 all do.
""",
    controls=lambda: [
        slider("Deviation (pixels)", 10, *DEVIATIONS),
        slider("Grid", 3, *CELLS),
        slider("Draw", 1, *DRAWS),
    ],
    figure=draw,
    again="Another draw",
    python="""
import numpy as np
from segmodels.training.instances import elastic_field

for deviation, cells in ((10, 3), (30, 3), (30, 8)):
    down, right = elastic_field(360, np.random.default_rng(1), deviation, cells)
    (dd, dr), (rd, rr) = np.gradient(down), np.gradient(right)
    folded = (1 + dd) * (1 + rr) - dr * rd <= 0  # there the picture is turned over
    print(f"{deviation} pixels on {cells} x {cells}: {folded.mean():.1%} folded")
""",
    references=(("unet", "sections 3.1 and 4"),),
    see=See("anatomy", "The network that learns from them", "unet_nuclei"),
)
