"""What a network sees of a pixel, in numbers and sentences."""

import math
from html import escape

import numpy as np

from ...components import markup
from ...components.heat_map import Values
from ...components.model_picker import Settings
from .picture import MARKS, mark
from .receptive_field import Branch, Look, field_size, share_that_matters

BARS = 5
"""How many classes have a bar."""


def facts_table(settings: Settings, looked: Look, heat: Values | None) -> str:
    """The classes at the pixel as bars, and what the picture shows in numbers and sentences."""
    best = np.argsort(looked.probabilities)[::-1][:BARS]
    bars = "".join(_bar(settings, looked, int(index)) for index in best)
    return f"""<table class="classes pixel-bars"><caption>The pixel's {len(best)} best classes</caption>
<thead><tr><th scope="col">Class</th><th scope="col">Probability</th></tr></thead><tbody>{bars}</tbody></table>
<p>{_theory(settings, looked)}</p>{_branches(looked)}<p role="status">{_effect(settings, looked, heat)}</p>"""


def _bar(settings: Settings, looked: Look, index: int) -> str:
    probability = looked.probabilities[index]
    return (
        f'<tr><th scope="row">{markup.swatch(index, settings.card.class_list)}{escape(settings.card.classes[index])}</th>'
        f'<td><span class="bar" style="--share: {probability:.4f}"></span>{probability:.1%}</td></tr>'
    )


def _theory(settings: Settings, looked: Look) -> str:
    """What the theoretical field is, as a sentence."""
    (width, height), box = looked.size, looked.box
    area = (box.right - box.left + 1) * (box.bottom - box.top + 1) / (width * height)
    pooled = any(branch.name == "image pooling" for branch in looked.branches)
    start = "everything, because image pooling sees the whole photo. Without it, " if pooled else ""
    size = field_size(settings.card.name, settings.rate, settings.stride)
    extent = f"up to {size} × {size} pixels around this one" if size < math.inf else "the whole photo, of any size"
    if area == 1:
        here = "so the field reaches beyond it on every side"
    elif size > min(width, height):
        here = f"so the field is larger: the box is {area:.0%} of the photo"
    else:
        here = f"and the box is {area:.0%} of it"
    return f"<b>Theoretical field</b>: {start}{extent}. The network sees the photo at {width} × {height}, {here}."


def _branches(looked: Look) -> str:
    """The branches of the ASPP, or of a head without rates, as a table, and where their taps off the map lie."""
    if not looked.branches:
        return ""
    rows = "".join(_branch_row(branch, place, looked) for place, branch in enumerate(looked.branches))
    columns, height = looked.map_size
    whole = "ASPP" if any(branch.rate for branch in looked.branches) else "head"
    return f"""<div class="wide" tabindex="0" role="region" aria-label="Branches of the {whole}"><table class="classes">
<caption>The {whole}'s branches on the map of {columns} × {height} cells</caption>
<thead><tr><th scope="col">Branch</th><th scope="col">Taps on the map</th><th scope="col">Through it alone</th></tr></thead>
<tbody>{rows}</tbody></table></div><p>{_outside(looked)}</p>"""


def _branch_row(branch: Branch, place: int, looked: Look) -> str:
    box, (width, height) = branch.box, looked.size
    share = (box.right - box.left + 1) * (box.bottom - box.top + 1) / (width * height)
    icon = ""
    if place in MARKS and branch.taps:
        colour, shape = MARKS[place]
        icon = f'<svg class="mark" viewBox="-6 -6 12 12" aria-hidden="true">{mark(shape, 0, 0, 4, colour, True)}</svg>'
    on_map = f"{branch.inside} of {len(branch.taps)}" if branch.taps else "all cells, their mean"
    return f'<tr><th scope="row">{icon}{escape(branch.name)}</th><td>{on_map}</td><td>sees {share:.0%} of the photo</td></tr>'


def _outside(looked: Look) -> str:
    """Which taps are off the map, by direction."""
    missing = [
        f"{branch.name}: {', '.join(_directions(branch))}"
        for branch in looked.branches
        if branch.inside < len(branch.taps)
    ]
    if not missing:
        return "All taps lie on the map."
    return f"<b>Off the map</b>, reading zeros: {escape('; '.join(missing))}."


def _directions(branch: Branch) -> list[str]:
    """The taps of a 3x3 that are off the map, in words, from the upper left on."""
    names = (
        "above left", "above", "above right", "left", "middle", "right", "below left", "below", "below right",
    )  # fmt: skip
    return [name for name, (*_, inside) in zip(names, branch.taps, strict=True) if not inside]


def _effect(settings: Settings, looked: Look, heat: Values | None) -> str:
    """What the heat map amounts to, as a sentence."""
    if heat is None:
        return "<b>Effective field</b>: computing …"
    if not heat.any():
        return "<b>Effective field</b>: nothing in the photo moves this score."
    half, most = share_that_matters(heat, 0.5), share_that_matters(heat, 0.9)
    rows, columns = np.indices(heat.shape)
    distance = np.hypot(rows - looked.row, columns - looked.column)
    mean = math.sqrt(float((heat * distance**2).sum() / heat.sum()))
    return (
        f"<b>Effective field</b> of the score of {escape(settings.card.classes[looked.followed])}: half of the gradient "
        f"comes from {half:.0%} of the photo, nine tenths from {most:.0%}; root mean square distance {mean:.0f} pixels."
    )
