"""The photo with a pixel's receptive fields and taps drawn on it."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image, ImageEnhance

from segmodels.insight.pixel import Box, Branch, Look
from segmodels.models.layers import factor_between

from ...components.heat_map import Values, map_image
from ...components.model_picker import NetworkSettings
from ...components.templates import render
from ...server import cache

GRAIN = 4
"""Pixels along the edge of the squares over which the heat map is drawn as a mean: strided convolutions leave gaps."""
MARGIN = 0.11
"""The strip around the photo in which taps off the map are drawn, as a part of the photo's longer side."""
MARKS = {0: ("#ffffff", "plus"), 1: ("#ffd60a", "circle"), 2: ("#4cc9f0", "square"), 3: ("#ff70a6", "diamond")}
"""Colour and shape of each branch with taps, so that none is told by its colour alone."""


def figure(photo: cache.Display, settings: NetworkSettings, looked: Look, heat: Values | None) -> str:
    """The photo, a little darkened, with the fields, the taps and the pixel on it."""
    unit = max(looked.size) / 100
    border = MARGIN * max(looked.size) if any(branch.rate for branch in looked.branches) else 0.0
    centre = (looked.column + 0.5) / looked.size[0], (looked.row + 0.5) / looked.size[1]
    branches = [(branch, place) for place, branch in enumerate(looked.branches) if place in MARKS]
    return render(
        "lab/pixel/picture.html",
        settings=settings,
        looked=looked,
        pixel="({}, {})".format(*(int(part * size) for part, size in zip(centre, photo.size, strict=True))),
        unit=unit,
        border=border,
        grey=ImageEnhance.Brightness(ImageEnhance.Color(photo.photo).enhance(0.4)).enhance(0.8),
        effective=_effective(heat),
        grain=GRAIN,
        fields=_fields(looked, unit),
        # The middle tap, which all share, is on top.
        taps=[
            (branch.name, *MARKS[place], list(_taps(branch, place, looked, border, unit)))
            for branch, place in reversed(branches)
        ],
        key=_key(looked),
        computed=heat is not None,
    )


def _key(looked: Look) -> str:
    """What the lines and marks of the picture mean, of those that are in it."""
    words = ["Click the photo, or move the sliders.", "White box: the theoretical field."]
    dashed = {branch.box for branch in looked.branches if branch.rate} - {looked.box}
    if dashed:
        words.append("Dashed: one branch's field, in the colour of its taps.")
    if any(branch.inside < len(branch.taps) for branch in looked.branches):
        words.append("Hollow taps are off the map.")
    return " ".join(words)


def _effective(heat: Values | None) -> Image.Image | None:
    """The gradient's size by the square root of its share of the largest, else a few pixels would be all there is to see."""
    if heat is None or not heat.any():
        return None
    grains = coarse(heat, GRAIN)
    strength = np.sqrt(grains / np.quantile(grains, 0.998).clip(min=np.finfo(np.float32).tiny)).astype(np.float32)
    return map_image(strength, 1, "inferno", np.minimum(np.linspace(0, 1.3, 256), 0.65))


def coarse(values: Values, grain: int) -> Values:
    """Means over squares of ``grain`` by ``grain`` pixels, over what there is of them at the right and the bottom."""
    known = torch.from_numpy(values)[None, None]
    means = torch.nn.functional.avg_pool2d(known, grain, ceil_mode=True, count_include_pad=False)
    return means[0, 0].numpy()


def _fields(looked: Look, unit: float) -> dict[Box, tuple[str, str]]:
    """The theoretical field, and that of each branch where it is another; each with its colour and its dashes."""
    fields = {looked.box: ("#ffffff", "none")}
    for place, branch in enumerate(looked.branches):
        if place in MARKS and branch.taps:
            fields.setdefault(branch.box, (MARKS[place][0], f"{2 * unit:g} {unit:g}"))
    return fields


def _taps(branch: Branch, place: int, looked: Look, border: float, unit: float) -> Iterator[tuple[float, float, bool]]:
    """The taps of one branch, (x, y, whether on the map): near the picture's edge if they lie beyond."""
    (width, height), (columns, rows) = looked.size, looked.map_size
    edge = border - (1.6 + 2.6 * (len(MARKS) - 1 - place)) * unit  # so that those of two branches stand side by side
    for tap, (row, column, inside) in enumerate(branch.taps):
        if tap == len(branch.taps) // 2 and place:
            continue  # the middle tap is drawn once, as the 1x1 convolution's
        x = min(max(middle(column, columns, width, looked.align_corners), -edge), width + edge)
        y = min(max(middle(row, rows, height, looked.align_corners), -edge), height + edge)
        yield x, y, inside


def middle(cell: int, cells: int, pixels: int, align_corners: bool) -> float:
    """Where the middle of a cell of a map ``cells`` long lies along an edge of ``pixels``; on or off the map."""
    if align_corners:
        return cell * factor_between(cells, pixels) + 0.5
    return (cell + 0.5) * pixels / cells
