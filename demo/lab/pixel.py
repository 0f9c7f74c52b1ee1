"""Click a pixel: where the network looked to label it, in theory, by its taps, and in effect."""

import functools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
import numpy as np
import torch
from PIL import ImageEnhance
from torch import Tensor

from segmodels import Segmenter, load, zoo
from segmodels.inference.label_map import nearest_cells
from segmodels.insight.parts import parts
from segmodels.insight.receptive_field import Reach, effective_receptive_field, largest_field, reach, taps
from segmodels.networks.layers import Grid, factor_between, resize_logits
from segmodels.networks.pooling import ASPP
from segmodels.settings import apply

from .. import view
from ..figures import SAVE_PNG, save_button
from ..segment_tab import Upload
from ..server import memory
from ..server.settings import sentence
from . import COMPUTES, Shown
from .controls import Settings, checked, controls
from .maps import Values, map_image, scale

TITLE = "Click a pixel"

LAYERS = ("Effective field", "Theoretical field", "Taps")
"""What can be drawn on the photo."""
WINNER = "the best class"
BARS = 5
GRAIN = 4
"""Pixels along the edge of the squares over which the heat map is drawn as a mean: strided convolutions leave gaps."""
"""How many classes have a bar."""
MARGIN = 0.11
"""The strip around the photo in which taps off the map are drawn, as a part of the photo's longer side."""

ABOUT = (
    "<b>Theoretical receptive field</b>: no pixel outside of its box can move this pixel's scores, whatever the weights. "
    "<b>Taps</b>: the cells of the backbone's last map that the ASPP reads for the cell under the pixel; those off the map "
    "read padding, which is zero. <b>Effective receptive field</b>: how much each pixel of the photo moves the score "
    "followed, here and now: the size of its gradient, with these weights on this photo. The boxes hold for any photo, the "
    "heat map for this one."
)


@dataclass(frozen=True)
class Box:
    """Pixels of the photo at the size at which the network sees it, first and last included."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class Branch:
    """One ASPP branch, seen from the cell under the pixel."""

    name: str
    rate: int | None
    """None for the 1x1 convolution and for image pooling."""
    box: Box
    """What the score depends on if the other branches are off."""
    taps: tuple[tuple[int, int, bool], ...]
    """(row, column, whether on the map), in cells; empty for image pooling, which reads all."""

    @property
    def inside(self) -> int:
        return sum(inside for *_, inside in self.taps)


@dataclass(frozen=True)
class Look:
    """Where a network looks to label one pixel. All is at the size at which it sees the photo."""

    size: tuple[int, int]
    """(width, height) in pixels."""
    row: int
    column: int
    box: Box
    """The theoretical field, image pooling aside."""
    map_size: tuple[int, int]
    """(width, height) of the backbone's last map, in cells."""
    branches: tuple[Branch, ...]
    """Of the ASPP; empty without one."""
    grid: Grid
    """Where the cells of the map lie."""
    probabilities: tuple[float, ...]
    followed: int
    """The class whose score the effective field is of."""


def section(photo: gr.Image, tab: Shown) -> None:
    """Put the section into the tab that is being built; nothing is computed before it is shown."""
    chosen = controls("pixel", zoo.bundled_models())
    with gr.Row():
        with gr.Column(scale=7, min_width=300):
            picture = gr.HTML(view.empty(), elem_id="pixel", js_on_load=SAVE_PNG + CLICK)
        with gr.Column(scale=5, min_width=300):
            with gr.Row():
                x = _slider("Across, %", "pixel-x")
                y = _slider("Down, %", "pixel-y")
            with gr.Row():
                followed = gr.Dropdown(
                    [WINNER, *zoo.card(zoo.bundled_models()[0]).classes],
                    value=WINNER,
                    label="Score followed",
                    filterable=False,
                    elem_id="pixel-class",
                    min_width=160,
                )
                layers = gr.CheckboxGroup(
                    list(LAYERS), value=list(LAYERS), label="Show", elem_id="pixel-layers", min_width=280
                )
            facts = gr.HTML(elem_id="pixel-facts")
    gr.HTML(f'<p class="about-section">{ABOUT}</p>')
    gr.on(
        [tab.select, *chosen.changes, x.change, y.change, followed.change],
        show,
        [photo, *chosen.all, x, y, followed],
        [picture, facts],
        trigger_mode="always_last",
        show_progress="minimal",
        show_progress_on=[picture],
        **COMPUTES,
    )
    picture.select(None, None, [x, y], js=CLICKED)
    layers.change(None, [layers], js=CHOOSE_LAYERS)


def _slider(label: str, elem_id: str) -> gr.Slider:
    return gr.Slider(0, 100, value=50, step=0.5, label=label, elem_id=elem_id, min_width=160)


CLICK = """
element.addEventListener('click', event => {
  const photo = event.target.closest('.picture')?.querySelector('.photo');
  if (!photo) return;
  const box = photo.getBoundingClientRect();
  const percent = (at, start, length) => Math.round(Math.min(Math.max((at - start) / length, 0), 1) * 200) / 2;
  element.dataset.x = percent(event.clientX, box.left, box.width);
  element.dataset.y = percent(event.clientY, box.top, box.height);
  trigger('select');
});
"""
CLICKED = """() => {
  const chosen = document.querySelector('#pixel [data-x], #pixel[data-x]').dataset;
  return [Number(chosen.x), Number(chosen.y)];
}"""
"""A click on the photo moves the sliders, and those do the rest: what the mouse can, the keyboard can."""

CHOOSE_LAYERS = f"""(layers) => {{
  document.querySelector('#pixel').dataset.hidden = {json.dumps(LAYERS)}
    .filter(name => !layers.includes(name)).map(name => name.split(' ')[0].toLowerCase()).join(' ');
}}"""


def show(
    upload: Upload, model: Any, rate: Any, stride: Any, x: Any, y: Any, followed: Any
) -> Iterator[tuple[str, str]]:
    """Boxes, taps and bars, then the same with the heat map, which takes longer; or a sentence in their place."""
    if upload is None:
        yield view.empty(), ""
        return
    try:
        path, settings = upload["path"], checked(model, rate, stride, zoo.bundled_models())
        looked = look(path, settings, _percent("across", x), _percent("down", y), _class(settings, followed))
        photo = memory.display(path)
        if not has_effective(path, settings, looked):
            yield figure(photo, settings, looked, None), facts_table(settings, looked, None)
        heat = effective(path, settings, looked)
    except (ValueError, OSError) as error:
        yield view.problem(sentence(error)), ""
        return
    yield figure(photo, settings, looked, heat), facts_table(settings, looked, heat)


def _percent(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError(f"how far {name} the pixel lies must be a number from 0 to 100, not {str(value)[:40]!r}")
    return value / 100


def _class(settings: Settings, followed: Any) -> int | None:
    """The index of a class; None for whichever is best."""
    if followed == WINNER:
        return None
    if followed not in settings.card.classes:
        raise ValueError(f"there is no class called {str(followed)[:40]!r}; choose one of the list")
    return settings.card.classes.index(followed)


def look(path: str, settings: Settings, x: float, y: float, followed: int | None = None) -> Look:
    """Where the network looks to label the pixel of the photo at ``path`` at (x, y), parts of its width and height."""
    card = settings.card
    features = memory.features(path, card.name, settings.stride)
    width, height = features.working_size
    row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
    logits = memory.segmenter(card.name).logits(features, settings.rate)
    scores = resize_logits(logits[None], (height, width), features.grid)[0, :, row, column]
    probabilities = tuple(scores.softmax(0).tolist())
    rows, columns = features.maps[-1].shape[-2:]
    reaches = _reaches(card.name, height, width, settings.rate, settings.stride)
    boxes = {name: _box(each, row, column) for name, each in reaches.items()}
    seen = features.corners or (None, None)
    cell = int(nearest_cells(rows, height, seen[0])[row]), int(nearest_cells(columns, width, seen[1])[column])
    return Look(
        size=(width, height),
        row=row,
        column=column,
        box=boxes.pop(""),
        map_size=(columns, rows),
        branches=tuple(_branch(name, settings.rate, box, cell, (rows, columns)) for name, box in boxes.items()),
        grid=features.grid,
        probabilities=probabilities,
        followed=int(np.argmax(probabilities)) if followed is None else followed,
    )


@functools.lru_cache(maxsize=64)
def _reaches(model: str, height: int, width: int, rate: int | None, stride: int | None) -> dict[str, Reach]:
    """The reach of every pixel without image pooling, under ``""``, and through each of the ASPP's branches alone."""
    network = zoo.skeleton(model)
    apply(network, rate, stride)
    aspp = next((module for module in network.decoder.modules() if isinstance(module, ASPP)), None)
    branches = list(parts(network))[: len(aspp.convs)] if aspp is not None else []
    offs = {"": [name for name in branches if name == "image pooling"]}
    offs |= {name: [other for other in branches if other != name] for name in branches}
    return dict(zip(offs, reach(network, height, width, *offs.values()), strict=True))


def _box(found: Reach, row: int, column: int) -> Box:
    (top, bottom), (left, right) = found.rows[row].tolist(), found.columns[column].tolist()
    return Box(top, left, bottom, right)


def _branch(name: str, rate: int | None, box: Box, cell: tuple[int, int], map_size: tuple[int, int]) -> Branch:
    if name == "1x1":
        return Branch("1x1", None, box, ((*cell, True),))
    if name == "image pooling" or rate is None:
        return Branch(name, None, box, ())
    own = rate * int(name.removeprefix("rate ").removesuffix("r") or 1)
    return Branch(f"rate {own}", own, box, tuple(taps(*cell, own, *map_size)))


_exact: memory.Remembered[Segmenter] = memory.Remembered(256 * 2**20, lambda exact: exact.nbytes)
_pixels: memory.Remembered[Tensor] = memory.Remembered(64 * 2**20, lambda pixels: pixels.nbytes)
_effective: memory.Remembered[Values] = memory.Remembered(32 * 2**20, lambda field: field.nbytes)


def _key(path: str, settings: Settings, looked: Look) -> tuple[Any, ...]:
    return path, settings, looked.row, looked.column, looked.followed


def has_effective(path: str, settings: Settings, looked: Look) -> bool:
    """Whether ``effective`` would answer at once."""
    return _key(path, settings, looked) in _effective


def effective(path: str, settings: Settings, looked: Look) -> Values:
    """How much each pixel of the photo, as the network sees it, moves the score followed: (H, W).

    In float32: a gradient through dozens of layers in bfloat16 would be noise where it is small.
    """

    def make() -> Values:
        exact = _in_float32(settings.card.name)
        pixels = _pixels.get((path, settings.card.name), lambda: exact.pixels(memory.photo(path).image))
        with exact.turn(settings.rate, settings.stride) as network:
            field = effective_receptive_field(network, pixels, looked.row, looked.column, looked.followed)
        return field.numpy(force=True)

    return _effective.get(_key(path, settings, looked), make)


def _in_float32(model: str) -> Segmenter:
    usual = memory.segmenter(model)
    if usual.precision == "float32":
        return usual
    return _exact.get(model, lambda: load(model, precision="float32"))


def share_that_matters(heat: Values, part: float) -> float:
    """The share of the photo's pixels that make up ``part`` of the sum of ``heat``, the strongest first."""
    strongest = np.sort(heat.ravel().astype(np.float64))[::-1]
    return float((np.searchsorted(strongest.cumsum(), part * strongest.sum()) + 1) / strongest.size)


# --- What is drawn -------------------------------------------------------------------------------------------------

MARKS = {0: ("#ffffff", "plus"), 1: ("#ffd60a", "circle"), 2: ("#4cc9f0", "square"), 3: ("#ff70a6", "diamond")}
"""Colour and shape of each branch with taps, so that none is told by its colour alone."""


def figure(photo: memory.Display, settings: Settings, looked: Look, heat: Values | None) -> str:
    """The photo, darkened, with the fields, the taps and the pixel on it."""
    width, height = looked.size
    border = MARGIN * max(looked.size) if any(branch.rate for branch in looked.branches) else 0.0
    box = f"{-border:g} {-border:g} {width + 2 * border:g} {height + 2 * border:g}"
    unit = max(width, height) / 100
    grey = ImageEnhance.Brightness(ImageEnhance.Color(photo.photo).enhance(0.15)).enhance(0.55)
    name = settings.card.classes[looked.followed]
    described = f"The photo with pixel ({looked.column}, {looked.row}) marked, its receptive field and the ASPP's taps"
    left, top = (int(part * size) for part, size in zip(_centre(looked), photo.size, strict=True))
    return f"""<figure class="looked-at"><figcaption>{escape(settings.sentence)}, pixel ({left}, {top}): score of {escape(name)}</figcaption>
<div class="picture"><svg viewBox="{box}" xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(described)}" font-family="system-ui, sans-serif">
<clipPath id="pixel-photo"><rect width="{width}" height="{height}"/></clipPath>{_padding(looked, border, unit)}
<image class="photo" href="{view.data_url(grey, "JPEG", quality=85)}" width="{width}" height="{height}" preserveAspectRatio="none"/>
{_heat(heat, looked)}{_boxes(looked, unit)}
<g class="taps">{_taps(looked, border, unit)}</g>
{_cross(looked, unit)}</svg></div>
{scale("inferno", ("0", "1/16", "1/4", "9/16", "most"), "effective field from nothing, dark, to the most, bright")}
<p class="hint">Colours: the effective field, as parts of its most. {"Computing it …" if heat is None else ""}</p>
{save_button(f"{settings.card.name}_pixel.png")}
<p class="hint">Click anywhere on the photo, or move the sliders.</p></figure>"""


def _centre(looked: Look) -> tuple[float, float]:
    """The pixel's middle as parts of the photo's width and height."""
    return (looked.column + 0.5) / looked.size[0], (looked.row + 0.5) / looked.size[1]


def _padding(looked: Look, border: float, unit: float) -> str:
    if not border:
        return ""
    width, height = looked.size
    return (
        f'<rect x="{-border:g}" y="{-border:g}" width="{width + 2 * border:g}" height="{height + 2 * border:g}" fill="#262b33"/>'
        f'<text x="0" y="{-border + 2.6 * unit:g}" font-size="{2.2 * unit:g}" fill="#cbd5e1">padding: zeros</text>'
    )


def _heat(heat: Values | None, looked: Look) -> str:
    """The gradient's size by the square root of its share of the largest, else a few pixels would be all there is to see."""
    if heat is None or not heat.any():
        return ""
    grains = coarse(heat, GRAIN)
    strength = np.sqrt(grains / np.quantile(grains, 0.998).clip(min=np.finfo(np.float32).tiny)).astype(np.float32)
    image = map_image(strength, 1, "inferno", np.minimum(np.linspace(0, 2, 256), 0.92))
    height, width = (GRAIN * side for side in grains.shape)
    return (
        f'<image class="effective" href="{view.data_url(image, "PNG")}" width="{width}" height="{height}" '
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
        x = min(max(middle(column, columns, width, looked.grid), -edge), width + edge)
        y = min(max(middle(row, rows, height, looked.grid), -edge), height + edge)
        drawn.append(mark(shape, x, y, 1.3 * unit, colour, inside))
    return f'<g data-branch="{escape(branch.name)}">{"".join(drawn)}</g>'


def middle(cell: int, cells: int, pixels: int, grid: Grid) -> float:
    """Where the middle of a cell of a map ``cells`` long lies along an edge of ``pixels``; on or off the map."""
    if grid == "corner":
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


def facts_table(settings: Settings, looked: Look, heat: Values | None) -> str:
    """The classes at the pixel as bars, and what the picture shows in numbers and sentences."""
    best = np.argsort(looked.probabilities)[::-1][:BARS]
    bars = "".join(_bar(settings, looked, int(index)) for index in best)
    return f"""<table class="classes pixel-bars"><caption>The pixel's {BARS} best classes</caption>
<thead><tr><th scope="col">Class</th><th scope="col">Probability</th></tr></thead><tbody>{bars}</tbody></table>
<p>{_theory(settings, looked)}</p>{_branches(looked)}<p role="status">{_effect(settings, looked, heat)}</p>"""


def _bar(settings: Settings, looked: Look, index: int) -> str:
    probability = looked.probabilities[index]
    return (
        f'<tr><th scope="row">{view.swatch(index)}{escape(settings.card.classes[index])}</th>'
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
    here = f"the box, {area:.0%} of the photo" if area < 1 else "the whole photo, so its edge is the box"
    if area == 1:
        here = "so the field reaches beyond it on every side: the box is the photo's own edge"
    elif size > min(width, height):
        here = f"so the field is larger than it: the box is what lies in it, {area:.0%} of the photo"
    else:
        here = f"and the box is {area:.0%} of it"
    return f"<b>Theoretical field</b>: {start}{extent}. The network sees the photo at {width} × {height}, {here}."


@functools.lru_cache(maxsize=256)
def field_size(model: str, rate: int | None, stride: int | None) -> float:
    """How many pixels a pixel depends on, along an edge, at most, without image pooling; infinite if on all."""
    network = zoo.skeleton(model)
    apply(network, rate, stride)
    return largest_field(network, [name for name in parts(network) if name == "image pooling"])


def _branches(looked: Look) -> str:
    """The ASPP's branches as a table, and where their taps off the map lie."""
    if not looked.branches:
        return ""
    rows = "".join(_branch_row(branch, place, looked) for place, branch in enumerate(looked.branches))
    columns, height = looked.map_size
    return f"""<div class="wide" tabindex="0" role="region" aria-label="Branches of the ASPP"><table class="classes">
<caption>The ASPP's branches on the map of {columns} × {height} cells</caption>
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
        return "All taps lie on the map. The middle one is every branch's."
    return f"<b>Off the map</b>, drawn hollow, reading zeros: {escape('; '.join(missing))}. The middle tap is every branch's."


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
        f"comes from {half:.0%} of the photo, nine tenths from {most:.0%}; its root mean square distance from the pixel is "
        f"{mean:.0f} pixels."
    )
