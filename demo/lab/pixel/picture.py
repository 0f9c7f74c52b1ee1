"""The photo with a pixel's receptive fields and taps drawn on it."""

from html import escape

import numpy as np
import torch
from PIL import ImageEnhance

from segmodels.models.layers import factor_between

from ...components import markup
from ...components.figures import save_button
from ...components.heat_map import Values, map_image, scale
from ...components.model_picker import Settings
from ...server import cache
from .receptive_field import Branch, Look

GRAIN = 4
"""Pixels along the edge of the squares over which the heat map is drawn as a mean: strided convolutions leave gaps."""
MARGIN = 0.11
"""The strip around the photo in which taps off the map are drawn, as a part of the photo's longer side."""
MARKS = {0: ("#ffffff", "plus"), 1: ("#ffd60a", "circle"), 2: ("#4cc9f0", "square"), 3: ("#ff70a6", "diamond")}
"""Colour and shape of each branch with taps, so that none is told by its colour alone."""


def figure(photo: cache.Display, settings: Settings, looked: Look, heat: Values | None) -> str:
    """The photo, a little darkened, with the fields, the taps and the pixel on it."""
    width, height = looked.size
    border = MARGIN * max(looked.size) if any(branch.rate for branch in looked.branches) else 0.0
    box = f"{-border:g} {-border:g} {width + 2 * border:g} {height + 2 * border:g}"
    unit = max(width, height) / 100
    grey = ImageEnhance.Brightness(ImageEnhance.Color(photo.photo).enhance(0.4)).enhance(0.8)
    pixel = "({}, {})".format(*(int(part * size) for part, size in zip(_centre(looked), photo.size, strict=True)))
    name = escape(settings.card.classes[looked.followed])
    described = f"Pixel {pixel}, its receptive field and the taps on the backbone's last map"
    return f"""<figure class="looked-at"><figcaption>{escape(settings.sentence)}, pixel {pixel}: score of {name}</figcaption>
<div class="picture"><svg viewBox="{box}" xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(described)}" font-family="system-ui, sans-serif">
<clipPath id="pixel-photo"><rect width="{width}" height="{height}"/></clipPath>{_padding(looked, border, unit)}
<image class="photo" href="{markup.data_url(grey, "JPEG", quality=85)}" width="{width}" height="{height}" preserveAspectRatio="none"/>
{_heat(heat, looked)}{_boxes(looked, unit)}
<g class="taps">{_taps(looked, border, unit)}</g>
{_cross(looked, unit)}</svg></div>
{scale("inferno", ("0", "1/16", "1/4", "9/16", "most"), "effective field from nothing to the most")}
<p class="hint">{_key(looked)} {"Computing the effective field …" if heat is None else ""}</p>
{save_button(f"{settings.card.name}_pixel.png")}</figure>"""


def _key(looked: Look) -> str:
    """What the lines and marks of the picture mean, of those that are in it."""
    words = ["Click the photo, or move the sliders.", "White box: the theoretical field."]
    dashed = {branch.box for branch in looked.branches if branch.rate} - {looked.box}
    if dashed:
        words.append("Dashed: one branch's field, in the colour of its taps.")
    if any(branch.inside < len(branch.taps) for branch in looked.branches):
        words.append("Hollow taps are off the map.")
    return " ".join(words)


def _centre(looked: Look) -> tuple[float, float]:
    """The pixel's middle as parts of the photo's width and height."""
    return (looked.column + 0.5) / looked.size[0], (looked.row + 0.5) / looked.size[1]


def _padding(looked: Look, border: float, unit: float) -> str:
    if not border:
        return ""
    width, height = looked.size
    return (
        f'<rect x="{-border:g}" y="{-border:g}" width="{width + 2 * border:g}" height="{height + 2 * border:g}" fill="#262b33"/>'
        f'<text x="0" y="{-border + 5.2 * unit:g}" font-size="{4.8 * unit:g}" fill="#cbd5e1">padding: zeros</text>'
    )


def _heat(heat: Values | None, looked: Look) -> str:
    """The gradient's size by the square root of its share of the largest, else a few pixels would be all there is to see."""
    if heat is None or not heat.any():
        return ""
    grains = coarse(heat, GRAIN)
    strength = np.sqrt(grains / np.quantile(grains, 0.998).clip(min=np.finfo(np.float32).tiny)).astype(np.float32)
    image = map_image(strength, 1, "inferno", np.minimum(np.linspace(0, 1.3, 256), 0.65))
    height, width = (GRAIN * side for side in grains.shape)
    return (
        f'<image class="effective" href="{markup.data_url(image, "PNG")}" width="{width}" height="{height}" '
        'preserveAspectRatio="none" clip-path="url(#pixel-photo)"/>'
    )


def coarse(values: Values, grain: int) -> Values:
    """Means over squares of ``grain`` by ``grain`` pixels, over what there is of them at the right and the bottom."""
    known = torch.from_numpy(values)[None, None]
    means = torch.nn.functional.avg_pool2d(known, grain, ceil_mode=True, count_include_pad=False)
    return means[0, 0].numpy()


def _boxes(looked: Look, unit: float) -> str:
    """The theoretical field, and that of each branch where it is another."""
    boxes = {looked.box: ("#ffffff", "none")}
    for place, branch in enumerate(looked.branches):
        if place in MARKS and branch.taps:
            boxes.setdefault(branch.box, (MARKS[place][0], f"{2 * unit:g} {unit:g}"))
    drawn = "".join(
        f'<rect x="{box.left}" y="{box.top}" width="{box.right - box.left + 1}" height="{box.bottom - box.top + 1}" '
        f'fill="none" stroke="{colour}" stroke-width="{width * unit:g}" stroke-dasharray="{dashes}"/>'
        for box, (mark, dashes) in boxes.items()
        for colour, width in (("#000000", 0.9), (mark, 0.5))
    )
    return f'<g class="theoretical">{drawn}</g>'


def _taps(looked: Look, border: float, unit: float) -> str:
    """The taps of all branches, the middle one, which they share, on top of all."""
    branches = [(branch, place) for place, branch in enumerate(looked.branches) if place in MARKS]
    return "".join(_dots(branch, place, looked, border, unit) for branch, place in reversed(branches))


def _dots(branch: Branch, place: int, looked: Look, border: float, unit: float) -> str:
    """The taps of one branch: filled on the map, hollow off it, near the picture's edge if they lie beyond."""
    colour, shape = MARKS[place]
    (width, height), (columns, rows) = looked.size, looked.map_size
    edge = border - (1.6 + 2.6 * (len(MARKS) - 1 - place)) * unit  # so that those of two branches stand side by side
    drawn = []
    for tap, (row, column, inside) in enumerate(branch.taps):
        if tap == len(branch.taps) // 2 and place:
            continue  # the middle tap is drawn once, as the 1x1 convolution's
        x = min(max(middle(column, columns, width, looked.align_corners), -edge), width + edge)
        y = min(max(middle(row, rows, height, looked.align_corners), -edge), height + edge)
        drawn.append(mark(shape, x, y, 1.3 * unit, colour, inside))
    return f'<g data-branch="{escape(branch.name)}">{"".join(drawn)}</g>'


def middle(cell: int, cells: int, pixels: int, align_corners: bool) -> float:
    """Where the middle of a cell of a map ``cells`` long lies along an edge of ``pixels``; on or off the map."""
    if align_corners:
        return cell * factor_between(cells, pixels) + 0.5
    return (cell + 0.5) * pixels / cells


def mark(shape: str, x: float, y: float, size: float, colour: str, filled: bool) -> str:
    """A tap as SVG, ``size`` from its middle to its side; hollow ones have a coloured outline and a dark inside."""
    fill, line = (colour, "#000000") if filled else ("none", colour)
    style = f'class="{"on" if filled else "off"}" fill="{fill}" stroke="{line}" stroke-width="{size * 0.35:g}"'
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.2f}" {style}/>'
    if shape == "plus":
        return (
            f'<path d="M{x - size:.1f} {y:.1f}h{2 * size:.1f}M{x:.1f} {y - size:.1f}v{2 * size:.1f}" '
            f'class="on" stroke="{colour}" stroke-width="{size * 0.6:g}"/>'
        )
    turned = f' transform="rotate(45 {x:.1f} {y:.1f})"' if shape == "diamond" else ""
    side = 1.8 * size
    return (
        f'<rect x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" width="{side:.2f}" height="{side:.2f}"{turned} {style}/>'
    )


def _cross(looked: Look, unit: float) -> str:
    """Four strokes that point at the pixel and leave it free."""
    x, y = looked.column + 0.5, looked.row + 0.5
    strokes = "".join(
        f"M{x + across * 1.8 * unit:.1f} {y + down * 1.8 * unit:.1f}l{across * 2.6 * unit:.1f} {down * 2.6 * unit:.1f}"
        for across, down in ((1, 0), (-1, 0), (0, 1), (0, -1))
    )
    return "".join(
        f'<path d="{strokes}" fill="none" stroke="{colour}" stroke-width="{width * unit:g}"/>'
        for colour, width in (("#000000", 1.1), ("#7cff6b", 0.6))
    )
