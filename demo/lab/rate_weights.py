"""Weights that fit the rate: a decoder moved to another atrous rate, beside one that was trained there."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
import numpy as np
from markupsafe import Markup, escape

from segmodels import Segmentation
from segmodels.inference.settings import quoted
from segmodels.models import registry
from segmodels.training import rates

from ..components import computed, figures, markup, photo_overlay
from ..components.templates import render
from ..server import cache

ID = "weights"
TITLE = "Weights that fit"

ABOUT = (
    "Weights moved to another rate meet features they never met in training. These decoders began with DeepLab v3's own "
    "and went on learning for 120 steps, each at its rate. At rate 1 that brings back most of what moving loses; at 3 and 12, "
    "where moving loses little, it costs more than it gives."
)
TAUGHT = registry.card(rates.NETWORK).title
KINDS = (
    ("Side by side", "both"),
    ("Rate 6's weights, run here", "moved"),
    ("Weights trained here", "fitted"),
)


def section(photo: gr.Image, network: gr.Radio) -> None:
    """Put the section into the tab that is being built."""
    with gr.Column():
        setting = gr.Radio(choices(), value="1/16", label="Atrous rate and output stride", elem_id="fit-setting")
        kind = gr.Radio(list(KINDS), value="both", label="Show", elem_id="fit-kind")
    computed.computed(show, [photo, setting, kind], "fit")
    gr.Markdown(ABOUT, elem_classes="about-section")


def choices() -> list[tuple[str, str]]:
    """The settings that a decoder was trained at."""
    return [(f"{rate} at stride {stride}", f"{rate}/{stride}") for rate, stride in rates.FITTED]


def show(path: str, setting: Any, kind: Any) -> str:
    """Return the photo under both decoders' label maps, and the scores of all settings."""
    pairs = {f"{rate}/{stride}": (rate, stride) for rate, stride in rates.FITTED}
    if setting not in pairs or kind not in (value for _, value in KINDS):
        raise ValueError(f"there are decoders for {', '.join(pairs)}, not for {quoted(setting)}")
    return _page(path, *pairs[setting], kind)


def both(path: str, rate: int, stride: int, size: tuple[int, int]) -> tuple[Segmentation, Segmentation]:
    """The photo at ``path`` by the decoder of rate 6 moved to ``rate``, and by the one trained there.

    One run of the backbone serves both; ``size`` is the label maps' (width, height).
    """
    features = cache.features(path, rates.NETWORK, stride)
    moved = cache.fitted(*rates.HOME).decode(features, rate, size)
    return moved, cache.fitted(rate, stride).decode(features, rate, size)


def _page(path: str, rate: int, stride: int, kind: str) -> str:
    display = cache.display(path)
    moved, fitted = both(path, rate, stride, display.photo.size)
    scores = {name: _score(name, rate, stride) for name in ("moved", "fitted")}
    panels = []
    if kind != "fitted":
        panels.append(_picture("Rate 6's weights, run here", moved, scores["moved"]))
    if kind != "moved":
        panels.append(_picture("Weights trained here", fitted, scores["fitted"]))
    if kind == "both":
        panels.append(_difference(moved, fitted))
    over = photo_overlay.photo_attributes(path, display, fitted.class_list)
    pictures = figures.figure("weights-that-fit", panels, escape(_summary(rate, stride, moved, fitted)), over)
    measured = rates.measured()
    drawn = figures.panel("mIoU-7, mean IoU of seven classes, over the field of view", plot(measured, (rate, stride)))
    scores_drawn = figures.figure("rates", [drawn], KEY)
    return Markup('{}<div class="fit-scores">{}{}</div>').format(pictures, scores_drawn, table(measured))


def _score(kind: str, rate: int, stride: int) -> float:
    row = next(row for row in rates.measured()[kind] if (row["rate"], row["stride"]) == (rate, stride))
    return float(row["miou7"])


def _picture(name: str, result: Segmentation, score: float) -> str:
    found = markup.summary(result)
    drawn = photo_overlay.picture(f"{name}: {found}", photo_overlay.layer(result.labels))
    return figures.panel(name, drawn, f"mIoU-7 {score:.3f}. {escape(found)}.")


def _difference(moved: Segmentation, fitted: Segmentation) -> str:
    share = f"{np.mean(moved.labels != fitted.labels):.1%}"
    drawn = photo_overlay.picture(
        f"Where they differ: {share} of the photo", photo_overlay.differences(moved.labels, fitted.labels)
    )
    return figures.panel("Where they differ", drawn, f"{share} of the pixels.")


def _summary(rate: int, stride: int, moved: Segmentation, fitted: Segmentation) -> str:
    scores = [_score(kind, rate, stride) for kind in ("moved", "fitted")]
    differs = float(np.mean(moved.labels != fitted.labels))
    same = ""
    if (rate, stride) == rates.HOME:
        same = " Both are the same decoder."
    elif rate * stride == math.prod(rates.HOME):
        same = " Rate × stride, and so the field of view, is as trained."
    return (
        f"{TAUGHT} at atrous rate {rate} and output stride {stride}: mIoU-7 {scores[0]:.3f} with rate 6's weights, "
        f"{scores[1]:.3f} with weights trained there; on this photo they differ on {differs:.1%} of the pixels.{same}"
    )


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400, 270, 48, 14, 14, 46
"""The plot's size and margins, in units of its view box."""
TICK = 0.01


def plot(measured: dict[str, Any], chosen: tuple[int, int]) -> str:
    """mIoU-7 over the rate at stride 16 that covers the same field of view: a line a kind and stride."""
    rows = [*measured["moved"], *measured["fitted"]]
    fields = [_field(row) for row in rows]
    least, most = min(fields), max(fields)
    scores = [row["miou7"] for row in rows]
    bottom, top = math.floor(min(scores) / TICK) * TICK, math.ceil(max(scores) / TICK) * TICK

    def place(row: dict[str, Any]) -> tuple[float, float]:
        across = math.log(_field(row) / least) / math.log(most / least)
        x = LEFT + across * (WIDTH - LEFT - RIGHT)
        return x, TOP + (top - row["miou7"]) / (top - bottom) * (HEIGHT - TOP - BOTTOM)

    parts = [*_axes(sorted(set(fields)), bottom, top, place)]
    for kind in ("moved", "fitted"):
        for stride in (16, 8):
            line = sorted((row for row in measured[kind] if row["stride"] == stride), key=_field)
            parts += _line(f"{kind} stride{stride}", line, place, chosen)
    title = "mIoU-7 over the atrous rate; the table below has the numbers"
    return figures.svg(HEIGHT, title, *parts, width=WIDTH)


def _field(row: dict[str, Any]) -> float:
    """The rate at stride 16 with the same field of view."""
    return float(row["rate"] * row["stride"] / 16)


Place = Callable[[dict[str, Any]], tuple[float, float]]
"""Where the score of a setting is drawn: (x, y)."""


def _axes(fields: list[float], bottom: float, top: float, place: Place) -> Iterable[str]:
    for step in range(round((top - bottom) / TICK) + 1):
        score = bottom + step * TICK
        _, y = place({"rate": fields[0], "stride": 16, "miou7": score})
        yield Markup('<path class="grid" d="M{} {:.4g}H{}"/>').format(LEFT, y, WIDTH - RIGHT)
        yield figures.text(LEFT - 24, y + 4, f"{score:.2f}", "quiet")
    for field in fields:
        x, y = place({"rate": field, "stride": 16, "miou7": bottom})
        yield figures.text(x, y + 18, f"{field:g}", "quiet")
    yield figures.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "atrous rate × output stride / 16", "quiet")


def _line(style: str, rows: list[dict[str, Any]], place: Place, chosen: tuple[int, int]) -> Iterable[str]:
    points = " ".join("{:.4g},{:.4g}".format(*place(row)) for row in rows)
    yield Markup('<polyline class="{}" points="{}"/>').format(style, points)
    for row in rows:
        here = (row["rate"], row["stride"]) == chosen
        name = f"rate {row['rate']} at stride {row['stride']}: mIoU-7 {row['miou7']:.3f}"
        yield Markup('<circle class="{}{}" cx="{:.4g}" cy="{:.4g}" r="{}"><title>{}</title></circle>').format(
            style, " chosen" * here, *place(row), 7 if here else 4.5, name
        )


KEY = Markup(
    '<span class="fit-key moved"></span> rate 6 moved <span class="fit-key fitted"></span> trained at the rate. Full: '
    "stride 16; hollow: 8; large: chosen. The scale does not begin at 0."
)


def table(measured: dict[str, Any]) -> str:
    """All scores as numbers."""
    kinds = ("moved", "fitted")
    scores = {kind: {(row["stride"], row["rate"]): row["miou7"] for row in measured[kind]} for kind in kinds}
    settings = sorted(scores["moved"].keys() | scores["fitted"].keys(), key=lambda key: (-key[0], key[1]))
    rows = [(rate, stride, [scores[kind].get((stride, rate)) for kind in kinds]) for stride, rate in settings]
    return render("lab/rate_weights_table.html", measured=measured, rows=rows)
