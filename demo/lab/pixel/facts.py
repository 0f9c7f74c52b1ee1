"""What a network sees of a pixel, in numbers and sentences."""

import math
from typing import Any

import numpy as np

from segmodels.insight.pixel import Branch, Look, field_size, share_that_matters

from ...components.heat_map import Values
from ...components.model_picker import NetworkSettings
from ...components.templates import render
from .picture import MARKS

BARS = 5
"""How many classes have a bar."""


def facts_table(settings: NetworkSettings, looked: Look, heat: Values | None) -> str:
    """The classes at the pixel as bars, and what the picture shows in numbers and sentences."""
    best = np.argsort(looked.probabilities)[::-1][:BARS].tolist()
    return render(
        "lab/pixel/facts.html",
        classes=settings.card.class_list,
        looked=looked,
        bars=[(index, looked.probabilities[index]) for index in best],
        theory=_theory(settings, looked),
        branches=[_branch(branch, place, looked) for place, branch in enumerate(looked.branches)],
        whole="ASPP" if any(branch.rate for branch in looked.branches) else "head",
        outside=_outside(looked),
        effect=_effect(settings, looked, heat),
    )


def _theory(settings: NetworkSettings, looked: Look) -> str:
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
    return f"{start}{extent}. The network sees the photo at {width} × {height}, {here}."


def _branch(branch: Branch, place: int, looked: Look) -> dict[str, Any]:
    """A row of the table of branches."""
    box, (width, height) = branch.box, looked.size
    return {
        "name": branch.name,
        "mark": MARKS[place] if place in MARKS and branch.taps else None,
        "on_map": f"{branch.inside} of {len(branch.taps)}" if branch.taps else "all cells, their mean",
        "share": (box.right - box.left + 1) * (box.bottom - box.top + 1) / (width * height),
    }


def _outside(looked: Look) -> str:
    """Which taps are off the map, by direction."""
    return "; ".join(
        f"{branch.name}: {', '.join(_directions(branch))}"
        for branch in looked.branches
        if branch.inside < len(branch.taps)
    )


def _directions(branch: Branch) -> list[str]:
    """The taps of a 3x3 that are off the map, in words, from the upper left on."""
    names = (
        "above left", "above", "above right", "left", "middle", "right", "below left", "below", "below right",
    )  # fmt: skip
    return [name for name, (*_, inside) in zip(names, branch.taps, strict=True) if not inside]


def _effect(settings: NetworkSettings, looked: Look, heat: Values | None) -> str:
    """What the heat map amounts to, as a sentence."""
    if heat is None:
        return ": computing …"
    if not heat.any():
        return ": nothing in the photo moves this score."
    half, most = share_that_matters(heat, 0.5), share_that_matters(heat, 0.9)
    rows, columns = np.indices(heat.shape)
    distance = np.hypot(rows - looked.row, columns - looked.column)
    mean = math.sqrt(float((heat * distance**2).sum() / heat.sum()))
    return (
        f" of the score of {settings.card.classes[looked.followed]}: half of the gradient comes from {half:.0%} of the "
        f"photo, nine tenths from {most:.0%}; root mean square distance {mean:.0f} pixels."
    )
