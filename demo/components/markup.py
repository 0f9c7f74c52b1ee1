"""The HTML of a result: its classes in a legend and a table, and what ran. Its pictures are drawn by ``drawing.js``."""

import base64
import io
from html import escape
from typing import Any

from PIL import Image

from segmodels import Card, Segmentation
from segmodels.insight.cost import Cost
from segmodels.labels import VOC, ClassList


def empty() -> str:
    """What stands there before the first photo."""
    return '<div class="panels empty"><p>Drop in a photo, or pick an example.</p></div>'


def problem(sentence: str) -> str:
    """An error, as a sentence in place of the pictures."""
    return f'<div class="panels empty" role="alert"><p class="problem">{escape(sentence)}</p></div>'


def table(result: Segmentation) -> str:
    """Class, share of the photo, mean confidence."""
    rows = "".join(
        f"""<tr><th scope="row">{swatch(result.classes.index(name), result.class_list)}{escape(name)}</th>
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
    rows = {
        "Network": f"{card.title} <code>{card.name}</code>. {escape(card.summary)}",
        **_weights(card),
        "Cost": f"{cost.parameters / 1e6:.2f} M parameters, {cost.macs / 1e9:.1f} G multiply-accumulates at {width} × {height}",
        "Time": f"{backbone}, decoder {times['decode']:.0f} ms, label map {times['resize']:.0f} ms, in {result.precision}",
        "Settings": _settings(result),
    }
    items = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows.items())
    return f'<dl class="ran">{items}</dl>'


def _weights(card: Card) -> dict[str, str]:
    """What the weights were trained on, how they score, and their licence where it is not the code's; of one's own, what
    their file says."""
    if card.source == "own":
        return {"Weights": f"Your own, {escape(card.origin or '')}"}
    scores = card.measured["scores"]
    licence = {} if card.class_list == VOC else {"Licence": escape(card.measured["licence"])}
    return {
        "Weights": escape(card.measured["training"]["summary"]),
        "Scores": f"{_miou(scores)}, pixel accuracy {scores['pixel_accuracy']:.3f} on {escape(scores['data'])}",
        **licence,
    }


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
        f"<li>{swatch(result.classes.index(name), result.class_list)}{escape(name)} <small>{share:.1%}</small></li>"
        for name, share in result.shares.items()
    )


def summary(result: Segmentation) -> str:
    """The classes found and their shares, as words for who cannot see the picture."""
    return ", ".join(f"{name} {share:.0%}" for name, share in result.shares.items())


VOC_NOTHING = (
    "The network found nothing here: it was taught twenty things, among them people, cats, birds and cars. "
    "What is small in a large photo may be too small for it."
)
NAMED = 8
"""Of classes of one's own, so many are named."""


def nothing(classes: ClassList) -> str:
    """What is said where all of a photo is background; nothing if no class is."""
    if classes.names == VOC.names:
        return VOC_NOTHING
    if classes.background is None:
        return ""
    taught = [name for index, name in enumerate(classes.names) if index != classes.background]
    more = " and more" if len(taught) > NAMED else ""
    return (
        f"The network found nothing here: it was taught {', '.join(taught[:NAMED])}{more}, "
        f"and took all of this photo for {classes.names[classes.background]}."
    )


def swatch(index: int, classes: ClassList = VOC) -> str:
    """A spot of a class's colour, to stand before its name."""
    return f'<span class="swatch" style="{colour_style(index, classes)}"></span>'


def colour_style(index: int, classes: ClassList = VOC) -> str:
    """A class's colours for a ``style``; which of them is seen is the style sheet's."""
    return "; ".join(f"--{name}: {colour}" for name, colour in colours(index, classes).items())


def colours(index: int, classes: ClassList = VOC) -> dict[str, str]:
    """A class's colour on the page, and the one in files, Pascal VOC's or the class's own."""
    palettes = {"display": classes.display_palette, "voc": classes.palette}
    return {name: f"#{palette[index].tobytes().hex()}" for name, palette in palettes.items()}


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def data_url(image: Image.Image, kind: str, **options: int) -> str:
    """The picture itself as an address, for an ``img`` or a style; ``kind`` is ``"PNG"`` or ``"JPEG"``."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
