"""Parts on and off: what each part of a decoder is good for, seen on the photo without it."""

from collections.abc import Collection
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segmodels import Features
from segmodels.inference.label_map import label_map
from segmodels.inference.settings import quoted
from segmodels.label_files import read_label_map
from segmodels.labels import VOID
from segmodels.models import registry
from segmodels.models.ablation import Part, parts
from segmodels.models.fcn import FCN
from segmodels.models.registry import DEFAULT_MODEL, Card
from segmodels.training.metrics import Scores, confusion_matrix

from ..components import computed, markup, photo_overlay
from ..components.figures import SAVE_PNG, save_button
from ..server import cache
from ..server.uploads import Upload

ID = "parts"
TITLE = "Parts on and off"

Labels = NDArray[np.uint8]

SMALL_SIDE = 320
"""The longer side, in pixels, of the pictures of the overview."""

ABOUT = (
    "A part that is off outputs zeros; the rest stays as trained. This shows what the network <i>relies</i> on, not how well "
    "one trained without the part would do."
)
OFF_AT_FIRST = ("low-level path", "score 16", "skip 16", "rate r", "skip 8")
"""The section opens without the first of these that a network has: a part whose absence can be seen."""
TRUTH = "PNG, palette or grey: the network's classes from 0 on, 255 for void."

WITHOUT_TRUTH = "() => {{ uploads.instead('{}'); return null; }}"
"""Another photo has another label map; one that is being uploaded to the control of this id is left out when it arrives."""


def section(photo: gr.Image, network: gr.Radio) -> None:
    """Put the section into the tab that is being built; nothing is computed before it is shown."""
    with gr.Row():
        with gr.Column(scale=9, min_width=300):
            model = gr.Radio(
                [(registry.card(name).title, name) for name in registry.bundled_models()],
                value=DEFAULT_MODEL,
                label="Network",
                elem_id="parts-model",
            )
            on = gr.CheckboxGroup(**_choices(DEFAULT_MODEL), label="Parts that are on", elem_id="parts-on")
        with gr.Column(scale=3, min_width=260):
            truth = gr.File(
                label="Label map to score against",
                file_types=[".png"],
                height=80,
                elem_id="parts-truth",
            )
            gr.HTML(f'<p class="hint">{TRUTH}</p>')
    computed.computed(
        show, [photo, model, on, truth], "parts", changes=[photo.change, on.change, truth.change], script=SAVE_PNG
    )
    # Another network changes the list of parts, which the pictures follow; the overview waits for the network alone.
    settled = gr.Textbox(DEFAULT_MODEL, visible="hidden", container=False)
    changes = [photo.change, settled.change, truth.change]
    computed.computed(show_each, [photo, model, truth], "parts-overview", changes=changes)
    gr.HTML(f'<p class="about-section">{ABOUT}</p>')
    model.change(adapt, [model], [on, settled], api_visibility="private", preprocess=False, queue=False)
    photo.change(None, None, [truth], js=WITHOUT_TRUTH.format("parts-truth"), api_visibility="private")
    late = "file => uploads.late('parts-truth', file) ? null : file"
    truth.upload(None, [truth], [truth], js=late, api_visibility="private")


def adapt(model: Any) -> tuple[Any, str]:
    """The parts of another network, one of them off, and its name."""
    try:
        return gr.update(**_choices(model)), model
    except ValueError:
        return gr.skip(), str(model)


def _choices(model: str) -> dict[str, Any]:
    card = registry.card(model)
    names = list(_parts(card))
    off = next((name for name in OFF_AT_FIRST if name in names), names[0])
    return {"choices": [(title(card, name), name) for name in names], "value": [name for name in names if name != off]}


def _parts(card: Card) -> dict[str, Part]:
    """The parts of a network, read off it without its weights."""
    return parts(registry.build_meta(card.name))


def title(card: Card, name: str) -> str:
    """A part's name with the numbers it has in this network: ``rate 2r`` becomes ``3x3 at rate 12``."""
    kind, _, number = name.partition(" ")
    if kind == "rate" and card.atrous_rate is not None:
        return f"3x3 at rate {int(number.removesuffix('r') or 1) * card.atrous_rate}"
    titles = {"1x1": "1x1 convolution", "skip": f"skip at stride {number}", "score": f"scores at stride {number}"}
    return titles.get(kind, name)


@dataclass(frozen=True)
class Truth:
    """The photo's own label map, at the size at which results are scored; or why there is none."""

    labels: Labels | None = None
    problem: str = ""

    def miou(self, labels: Labels, classes: int) -> str:
        """The score of ``labels`` as it stands in a caption; nothing without a truth to score against."""
        if self.labels is None:
            return ""
        miou = Scores(confusion_matrix(self.labels, labels, classes)).miou()
        return "" if miou is None else f"mIoU {miou:.3f}"


def read_truth(upload: Upload, shape: tuple[int, int], size: tuple[int, int], classes: int) -> Truth:
    """The uploaded label map of a photo of ``shape`` (width, height), brought to ``size`` without mixing labels."""
    if upload is None:
        return Truth()
    try:
        labels = read_label_map(Path(upload["path"]), classes)
    except (ValueError, OSError, TypeError, KeyError) as error:
        return Truth(problem=str(error) if isinstance(error, ValueError) else "The label map cannot be read.")
    if (labels == VOID).all():
        return Truth(problem=f"The label map is void ({VOID}) everywhere: there is nothing to score.")
    height, width = labels.shape
    if abs(width * shape[1] - height * shape[0]) > 0.02 * width * shape[1]:
        sizes = f"{width} × {height} pixels and the photo {shape[0]} × {shape[1]}"
        return Truth(problem=f"The label map has {sizes}: they differ in shape, so it is another photo's.")
    resized = Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
    return Truth(np.asarray(resized))


_labels: cache.LRUCache[Labels] = cache.LRUCache(32 * 2**20, lambda labels: labels.nbytes)


def labels_without(path: str, card: Card, off: Collection[str], size: tuple[int, int]) -> Labels:
    """The label map, (width, height) ``size``, of the photo at ``path`` with the parts ``off``; by the decoder alone."""

    def make() -> Labels:
        features = _features(path, card)
        logits = cache.segmenter(card.name).logits(features, disabled=off)
        return label_map(logits, (size[1], size[0]), aligned_size=features.aligned_size)

    return _labels.get((path, card.name, frozenset(off), size), make)


def _features(path: str, card: Card) -> Features:
    return cache.features(path, card.name, None)


def fcn_predictions(path: str, card: Card, size: tuple[int, int]) -> dict[str, Labels]:
    """What an FCN says on the way: ``{"FCN-32s": ..., "FCN-16s": ...}``; empty for other networks."""
    segmenter = cache.segmenter(card.name)
    features = _features(path, card)
    maps = segmenter.feature_maps(features)
    with segmenter.exclusive() as network, torch.inference_mode():
        if not isinstance(network, FCN):
            return {}
        found = network.decoder.all_strides(maps)
        predictions = {f"FCN-{stride}s": logits[0].float().cpu() for stride, logits in found.items()}
        del predictions[f"FCN-{network.decoder.strides[-1]}s"]
    return {
        name: label_map(logits, (size[1], size[0]), aligned_size=features.aligned_size)
        for name, logits in predictions.items()
    }


def show(path: str, model: Any, on: Any, truth: Upload) -> str:
    """Return the full network, the network without what is off, and where they differ."""
    card = _card(model)
    off = _off(card, on)
    display = cache.display(path)
    known = read_truth(truth, display.size, display.photo.size, len(card.classes))
    full = labels_without(path, card, (), display.photo.size)
    rest = labels_without(path, card, off, display.photo.size)
    over = photo_overlay.photo_attributes(path, display, card.class_list)
    return figures(over, card, off, full, rest, known)


def show_each(path: str, model: Any, truth: Upload) -> str:
    """Return small pictures, each with one part off."""
    card = _card(model)
    display = cache.display(path)
    size = display.photo.size
    known = read_truth(truth, display.size, size, len(card.classes))
    full = labels_without(path, card, (), size)
    each = {f"without {title(card, name)}": labels_without(path, card, [name], size) for name in _parts(card)}
    each |= {f"{name}, its own prediction": labels for name, labels in fcn_predictions(path, card, size).items()}
    over = photo_overlay.photo_attributes(path, display, card.class_list)
    return overview_grid(over, card, full, each, known)


def _card(model: Any) -> Card:
    card = registry.card(model)
    if card.name not in registry.bundled_models():
        raise ValueError(
            f"{card.name} cannot be taken apart here; choose one of {', '.join(registry.bundled_models())}"
        )
    return card


def _off(card: Card, on: Any) -> list[str]:
    """The parts that are not among those ``on``.

    Parts of another network may still be on while the page changes over to this one.
    """
    names = list(_parts(card))
    if not isinstance(on, list) or not all(isinstance(name, str) for name in on):
        raise ValueError(f"the parts that are on must be a list of names, not {quoted(on)}")
    if on and not set(on) & set(names):
        return []
    return [name for name in names if name not in on]


def figures(over: str, card: Card, off: list[str], full: Labels, rest: Labels, truth: Truth) -> str:
    """Three pictures side by side, and in words what is zero and what it changes; ``over`` is ``drawing.over``."""
    differs = full != rest
    without = " and ".join(title(card, name) for name in off) if len(off) < 3 else f"{len(off)} parts"
    zeroed = "; ".join(_zeroed(card, name) for name in off)
    lead = f"Zeroed: {zeroed}. {differs.mean():.1%} of the pixels change." if off else "All parts are on: untick one."
    problem = f'<p class="problem" role="alert">{escape(truth.problem)}</p>' if truth.problem else ""
    share = f"{differs.mean():.1%} of the pixels"
    return f"""<p class="figure-of-merit" role="status">{escape(lead)}</p>{problem}
<div class="panels" {over}>
{_figure(card, full, "Full network", truth, f"{card.name}_full.png")}
{_figure(card, rest, f"Without {without}" if off else "The same", truth, f"{card.name}_without.png")}
<figure><figcaption>Difference: {share}</figcaption>
{photo_overlay.picture(f"Difference map: {share} change", photo_overlay.differences(full, rest))}
<p class="hint">Yellow: the class changes.</p>{save_button(f"{card.name}_difference.png")}</figure></div>"""


def _zeroed(card: Card, name: str) -> str:
    """What stands at zero while a part is off, with the rate it has in this network."""
    own = title(card, name).removeprefix("3x3 at ")
    return _parts(card)[name].zeroed.replace(f"convolution at {name},", f"convolution at {own},")


def _figure(card: Card, labels: Labels, name: str, truth: Truth, file: str) -> str:
    score = truth.miou(labels, len(card.classes))
    found = _found(card, labels)
    shares = ", ".join(f"{each} {share:.0%}" for each, share in found)
    return f"""<figure><figcaption>{escape(": ".join(filter(None, [name, score])))}</figcaption>
{photo_overlay.picture(f"Mask: {shares}", photo_overlay.layer(labels))}
<ul class="legend" aria-label="Legend">{"".join(_entry(card, each, share) for each, share in found)}</ul>{save_button(file)}</figure>"""


def _found(card: Card, labels: Labels) -> list[tuple[str, float]]:
    """The classes in a label map with their shares, largest first."""
    counts = np.bincount(labels.ravel(), minlength=len(card.classes))
    return [(card.classes[index], counts[index] / labels.size) for index in np.argsort(-counts) if counts[index]]


def _entry(card: Card, name: str, share: float) -> str:
    return (
        f"<li>{markup.swatch(card.classes.index(name), card.class_list)}{escape(name)} <small>{share:.1%}</small></li>"
    )


def overview_grid(over: str, card: Card, full: Labels, each: dict[str, Labels], truth: Truth) -> str:
    """Small pictures in rows, most changed first, each with how much it changes and its score."""
    order = sorted(each, key=lambda name: -float((each[name] != full).mean()))
    cells = "".join(_cell(card, name, each[name], full, truth) for name in order)
    best = truth.miou(full, len(card.classes))
    beside = f" The full network: {best}." if best else ""
    return f"""<h2 class="overview-title">Each part off by itself, most changed first</h2>
<p class="hint">Yellow: pixels whose class changes.{beside}</p>
<ul class="overview" {over}>{cells}</ul>"""


def _cell(card: Card, name: str, labels: Labels, full: Labels, truth: Truth) -> str:
    share = (labels != full).mean()
    found = ", ".join(f"{each} {part:.0%}" for each, part in _found(card, labels))
    score = truth.miou(labels, len(card.classes))
    step = max(1, max(labels.shape) // SMALL_SIDE)
    small, full = labels[::step, ::step], full[::step, ::step]
    return f"""<li>{photo_overlay.picture(f"Mask {name}: {found}", photo_overlay.layer(small), photo_overlay.differences(small, full))}
<strong>{escape(name)}</strong><br><span class="bar" style="--share: {share:.4f}"></span>{share:.1%}{f"<br>{score}" if score else ""}</li>"""
