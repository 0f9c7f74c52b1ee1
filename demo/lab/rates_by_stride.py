"""Rates x stride: one photo at every pair of atrous rate and output stride, beside the pair that was trained."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from segmodels import Card, Segmentation
from segmodels.inference.settings import quoted
from segmodels.insight.receptive_field import share_of_taps_inside
from segmodels.models import registry

from ..components import computed, photo_overlay
from ..components.download_button import download_button
from ..components.templates import render
from ..server import cache
from .contact_sheet import Picture, sheet

ID = "grid"
TITLE = "Rates × stride"
RATES = (1, 2, 3, 6, 12, 18)
STRIDES = (32, 16, 8)
SIDE = 640
"""The longer side of the label maps in pixels: sharp when a cell is enlarged, and 18 of them are made."""

ABOUT = (
    "The weights stay the same. Rate 6 runs the ASPP at 6, 12 and 18; the output stride sets how fine its map is. Choose a "
    "cell to enlarge it."
)
KEY = (
    "In a cell: the decoder's time, the taps on the map, and the pixels that differ from the trained setting (solid "
    "frame). Dashed: the same field of view, rate × stride."
)


@dataclass(frozen=True)
class Column:
    """The photo at one output stride and all atrous rates, which share one run of the backbone."""

    stride: int
    map_size: tuple[int, int]
    """(width, height) of the map that the ASPP sees, in cells."""
    milliseconds: float
    """Of the backbone."""
    results: tuple[Segmentation, ...]
    """One a rate, in the order of ``rates``."""


def networks() -> list[tuple[str, str]]:
    """The networks with an ASPP whose weights are on this machine."""
    return [
        (card.title, card.name) for card in registry.CARDS.values() if card.atrous_rate is not None and card.at_hand
    ]


def rates(card: Card) -> tuple[int, ...]:
    """``RATES``, with the one that the weights were trained at in place of the nearest, if it is another."""
    trained = card.atrous_rate or RATES[0]
    nearest = min(RATES, key=lambda rate: abs(rate - trained))
    return tuple(trained if rate == nearest else rate for rate in RATES)


def section(photo: gr.Image, network: gr.Radio) -> None:
    """Put the section into the tab that is being built."""
    offered = networks()
    model = gr.Radio(offered, value=network.value, label="Network", elem_id="grid-model")
    computed.computed(show, [photo, model], "grid", script=KEEP_CHOICE + REVEAL)
    # The network chosen in the Segment tab is this one's too; then nothing is computed until the section is looked at.
    names = json.dumps([name for _, name in offered])
    network.change(
        None,
        [network, model],
        [model],
        js=f"(chosen, mine) => {names}.includes(chosen) ? chosen : mine",
        api_visibility="private",
    )
    with gr.Row(elem_id="grid-download"):
        download_button("All cells (PNG)", "rates.png", write_sheet, [photo, model])
    gr.Markdown(f"{ABOUT}\n\n{KEY}", elem_classes="about-section")


KEEP_CHOICE = """
element.addEventListener('change', event => { element.dataset.chosen = event.target.value; });
place.addEventListener('answered', () => {
  const chosen = element.querySelector(`input[value="${element.dataset.chosen || 'all'}"]`);
  if (chosen) chosen.checked = true;
});
"""
"""A picture that is drawn again, with another rate say, still shows the class that was chosen."""


REVEAL = """
element.addEventListener('change', event => {
  const detail = event.target.closest('label').nextElementSibling;
  if (window.innerWidth < 1000) detail.scrollIntoView({block: 'nearest', behavior: 'smooth'});
});
"""
"""Where the page is too narrow for the enlarged cell to stand beside the grid, it is scrolled to."""


def show(path: str, model: Any, *, step: int) -> dict[str, Any]:
    """Return the grid, one column more at each step, or all of it where all columns are cached."""
    photo = _checked(path, model)
    over = photo_overlay.photo_attributes(path, cache.display(path), registry.card(model).class_list)
    done: dict[int, Column] = {}
    for stride in _order(model):
        if len(done) > step and (path, model, stride, photo.size) not in _columns:
            return {"html": {"": page(over, model, done)}, "more": True}
        done[stride] = column(path, model, stride, photo.size)
    return {"html": {"": page(over, model, done)}}


def _checked(path: str, model: Any) -> Image.Image:
    """The photo at ``path`` as small as the grid shows it.

    Raises:
        ValueError: with a sentence, if it is no photo, or ``model`` no network that the grid is for.
    """
    if model not in (name for _, name in networks()):
        raise ValueError(f"there is no network with an ASPP, its weights at hand, called {quoted(model)}")
    photo = cache.display(path).photo.copy()
    photo.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    return photo


def write_sheet(path: str, file: Path, model: Any) -> None:
    """The grid of the photo at ``path`` as one PNG. Raises ValueError as ``_checked``."""
    photo = _checked(path, model)
    done = {stride: column(path, model, stride, photo.size) for stride in _order(model)}
    card = registry.card(model)
    trained = trained_cell(card, done)
    assert trained is not None
    pictures = [
        [
            Picture(result.labels, _name(card, rate, stride), _facts(done[stride], result, trained), result.class_list)
            for rate, result in zip(rates(card), done[stride].results, strict=True)
        ]
        for stride in STRIDES
    ]
    sheet(photo, f"{card.title} at all rates and output strides", pictures).save(file)


def _facts(column: Column, result: Segmentation, trained: Segmentation) -> str:
    taps = np.mean(taps_inside(column.map_size, result.atrous_rate or 1))
    differs = np.mean(result.labels != trained.labels)
    return f"{result.milliseconds['decode']:.0f} ms, {taps:.0%} of taps inside, {differs:.1%} differ"


def _order(model: str) -> list[int]:
    """Return the strides, the trained one first: the others are compared with it."""
    return sorted(STRIDES, key=lambda stride: stride != registry.card(model).output_stride)


_columns: cache.LRUCache[Column] = cache.LRUCache(
    64 * 2**20, lambda column: sum(result.labels.nbytes for result in column.results)
)


def column(path: str, model: str, stride: int, size: tuple[int, int]) -> Column:
    """Return the photo at ``path`` at one output stride and all rates; label maps of (width, height) ``size``.

    The backbone runs once, or not at all where its features are cached.
    """

    def make() -> Column:
        segmenter = cache.segmenter(model)
        features = cache.features(path, model, stride)
        height, width = features.maps[-1].shape[-2:]
        results = tuple(segmenter.decode(features, rate, size) for rate in rates(segmenter.card))
        return Column(stride, (width, height), features.milliseconds, results)

    return _columns.get((path, model, stride, size), make)


def taps_inside(map_size: tuple[int, int], rate: int) -> tuple[float, float, float]:
    """The shares of the taps that land inside a (width, height) map, for the ASPP's rates r, 2r and 3r."""
    width, height = map_size
    return (
        share_of_taps_inside(height, width, rate),
        share_of_taps_inside(height, width, 2 * rate),
        share_of_taps_inside(height, width, 3 * rate),
    )


def changes(trained: Segmentation, result: Segmentation) -> dict[tuple[str, str], float]:
    """The share of the photo's pixels that went from one class to another, by (trained, now), largest first."""
    number = len(result.classes)
    pairs = trained.labels.astype(np.int64) * number + result.labels
    counts = np.bincount(pairs.ravel(), minlength=number**2)
    moved = sorted(
        (pair for pair in np.flatnonzero(counts) if pair // number != pair % number), key=lambda pair: -counts[pair]
    )
    names = result.classes
    return {(names[pair // number], names[pair % number]): float(counts[pair] / pairs.size) for pair in moved}


def page(over: str, model: str, done: Mapping[int, Column]) -> str:
    """The grid of small overlays with the enlarged cell beside it; columns not ``done`` yet are empty.

    ``over`` is ``photo_attributes`` of the photo.
    """
    card = registry.card(model)
    trained = trained_cell(card, done)
    columns = [(stride, done.get(stride), _cells(card, done.get(stride), trained)) for stride in STRIDES]
    return render("lab/rates_by_stride.html", over=over, columns=columns, rates=rates(card), trained=trained)


def trained_cell(card: Card, done: Mapping[int, Column]) -> Segmentation | None:
    """The answer at the setting that the weights were trained with; None until its column is done."""
    column = done.get(card.output_stride)
    return None if column is None else column.results[rates(card).index(card.atrous_rate or RATES[0])]


def _cells(card: Card, column: Column | None, trained: Segmentation | None) -> list[dict[str, Any] | None]:
    """What the template shows of a column, from the first rate on; None for what is not computed yet."""
    if column is None or trained is None:
        return [None] * len(RATES)
    return [
        {
            "rate": rate,
            "note": _note(card, rate, column.stride),
            "name": _name(card, rate, column.stride),
            "facts": _facts(column, result, trained),
            "result": result,
            "taps": taps_inside(column.map_size, rate),
            "differs": (result.labels != trained.labels).mean(),
            "changes": list(changes(trained, result).items()),
        }
        for rate, result in zip(rates(card), column.results, strict=True)
    ]


def _note(card: Card, rate: int, stride: int) -> str:
    """What is to be said of a cell."""
    assert card.atrous_rate is not None
    if (rate, stride) == (card.atrous_rate, card.output_stride):
        return "trained"
    return "same field" if rate * stride == card.atrous_rate * card.output_stride else ""


def _name(card: Card, rate: int, stride: int) -> str:
    note = _note(card, rate, stride)
    return f"Rate {rate}, output stride {stride}" + (f", {note}" if note else "")
