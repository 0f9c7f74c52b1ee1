"""The HTML of a result: three panels side by side, a table, and what ran.

A class is isolated by the browser alone, with CSS, so it answers at once and costs the server nothing.
"""

import base64
import io
from html import escape
from typing import Any

from PIL import Image

from segmodels import Card, Segmentation
from segmodels.inference.pictures import class_layer, edge_layer, label_image
from segmodels.insight.cost import Cost
from segmodels.labels import PALETTE

from .server.memory import Display


def viewer(display: Display, result: Segmentation) -> str:
    """The input, the segmented output and the per-class overlays; ``result`` is at the display's size."""
    photo = data_url(display.photo, "JPEG", quality=88)
    segmented = data_url(label_image(result.labels), "PNG")
    found = [name for name in result.shares if name != "background"]
    indices = {name: result.classes.index(name) for name in found}
    found_in_words = summary(result)
    layers = {name: data_url(class_layer(result.labels, index), "PNG") for name, index in indices.items()}
    edges = data_url(edge_layer(result.labels), "PNG")
    width, height = display.photo.size
    return f"""
<div class="panels" style="--photo: url({photo}); --edges: url({edges}); --ratio: {width} / {height}">
  <figure>
    <figcaption>Input</figcaption>
    <div class="picture"><img src="{photo}" alt="The photo, {display.size[0]} by {display.size[1]} pixels"></div>
    <p class="hint">{display.size[0]} × {display.size[1]} pixels{_sentences(display.notes)}</p>
  </figure>
  <figure>
    <figcaption>Segmented output</figcaption>
    <div class="picture segmented">
      <img src="{segmented}" alt="Segmented output: {escape(found_in_words)}">
      {_layers(indices, layers, "flat")}
      <div class="edges"></div>
    </div>
    <ul class="legend" aria-label="Legend">{legend(result)}</ul>
  </figure>
  <figure>
    <figcaption>Per-class overlays</figcaption>
    <div class="picture overlays">
      <img src="{photo}" alt="The photo, dimmed, with each class highlighted: {escape(found_in_words)}">
      {_layers(indices, layers, "lit")}
      <div class="edges"></div>
    </div>
    {_choices(indices) if found else _nothing_found()}
  </figure>
</div>"""


def empty() -> str:
    """What stands there before the first photo."""
    return '<div class="panels empty"><p>Drop in a photo, or pick one of the examples, to see it segmented.</p></div>'


def problem(sentence: str) -> str:
    """An error, as a sentence in place of the pictures."""
    return f'<div class="panels empty" role="alert"><p class="problem">{escape(sentence)}</p></div>'


def table(result: Segmentation) -> str:
    """Class, share of the photo, mean confidence."""
    rows = "".join(
        f"""<tr><th scope="row">{swatch(result.classes.index(name))}{escape(name)}</th>
        <td><span class="bar" style="--share: {share:.4f}"></span>{share:.1%}</td>
        <td>{_percent(result.confidence.get(name))}</td></tr>"""
        for name, share in result.shares.items()
    )
    return f"""<table class="classes"><caption>Classes found</caption>
<thead><tr><th scope="col">Class</th><th scope="col">Share of the photo</th><th scope="col">Mean confidence</th></tr></thead>
<tbody>{rows}</tbody></table>"""


def what_ran(card: Card, result: Segmentation, cost: Cost, remembered: bool) -> str:
    """Network, weights and what they were trained on, cost, time, size, and any note on the settings."""
    times = result.milliseconds
    backbone = "features remembered" if remembered else f"backbone {times['encode']:.0f} ms"
    width, height = result.working_size
    scores = card.measured["scores"]
    rows = {
        "Network": f"{card.title} <code>{card.name}</code>. {escape(card.summary)}",
        "Weights": escape(card.measured["training"]["summary"]),
        "Scores": f"{_miou(scores)}, pixel accuracy {scores['pixel_accuracy']:.3f} on {escape(scores['data'])}",
        "Cost": f"{cost.parameters / 1e6:.2f} M parameters, {cost.macs / 1e9:.1f} G multiply-accumulates at {width} × {height}",
        "Time": f"{backbone}, decoder {times['decode']:.0f} ms, label map {times['resize']:.0f} ms, in {result.precision}",
        "Settings": _settings(result),
    }
    items = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows.items())
    return f'<dl class="ran">{items}</dl>'


def credits_list(credits: dict[str, str]) -> str:
    """Who made the example photos, and under which licence they are here."""
    return f'<p class="hint">Example photos: {escape("; ".join(credits.values()))}.</p>'


def _miou(scores: dict[str, Any]) -> str:
    return f"mIoU-7 {scores['miou7']:.3f}" if "miou7" in scores else f"mIoU {scores['miou']:.3f}"


def _settings(result: Segmentation) -> str:
    width, height = result.working_size
    size = f"working size {width} × {height}"
    if result.output_stride is None:
        return f"{size}; atrous rate and output stride do not apply"
    rate = result.atrous_rate
    rates = "" if rate is None else f"atrous rates {rate}, {2 * rate}, {3 * rate} at "
    text = f"{rates}output stride {result.output_stride}, {size}"
    return text + "".join(f'<br><span class="note">{escape(note)}</span>' for note in result.notes)


def legend(result: Segmentation) -> str:
    """The classes found, each with its colour and its share, as list items."""
    return "".join(
        f"<li>{swatch(result.classes.index(name))}{escape(name)} <small>{share:.1%}</small></li>"
        for name, share in result.shares.items()
    )


def _layers(indices: dict[str, int], urls: dict[str, str], kind: str) -> str:
    return "".join(
        f'<div class="layer {kind}" data-class="{index}" style="--layer: url({urls[name]})"></div>'
        for name, index in indices.items()
    )


def _choices(indices: dict[str, int]) -> str:
    choices = {"all": "all classes"} | {str(index): name for name, index in indices.items()}
    buttons = "".join(
        f"""<label data-class="{value}"><input type="radio" name="chosen-class" value="{value}"{" checked" * (value == "all")}>
        {swatch(int(value)) if value != "all" else ""}{escape(name)}</label>"""
        for value, name in choices.items()
    )
    return f'<fieldset class="choices"><legend>Show</legend>{buttons}</fieldset>'


def _nothing_found() -> str:
    return (
        '<p class="hint">Nothing here that the network knows: it was taught twenty things, among them people, cats, '
        "dogs, horses, birds, cars, boats and sofas, and took all of this photo for background.</p>"
    )


def summary(result: Segmentation) -> str:
    """The classes found and their shares, as words for who cannot see the picture."""
    return ", ".join(f"{name} {share:.0%}" for name, share in result.shares.items())


def _sentences(notes: tuple[str, ...]) -> str:
    return "".join(f"; {escape(note)}" for note in notes)


def swatch(index: int) -> str:
    """A spot of a class's colour, to stand before its name."""
    red, green, blue = PALETTE[index]
    return f'<span class="swatch" style="background: rgb({red} {green} {blue})"></span>'


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def data_url(image: Image.Image, kind: str, **options: int) -> str:
    """The picture itself as an address, for an ``img`` or a style; ``kind`` is ``"PNG"`` or ``"JPEG"``."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
