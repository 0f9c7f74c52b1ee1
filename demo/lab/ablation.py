"""Parts on and off: what each part of a decoder is good for, seen on the photo without it."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
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
from segmodels.models.card import Card
from segmodels.models.fcn import FCN
from segmodels.models.registry import DEFAULT_MODEL
from segmodels.training.metrics import Scores, confusion_matrix

from ..components import computed, photo_overlay
from ..components.templates import render
from ..server import cache
from ..server.uploads import Upload

ID = "parts"
TITLE = "Parts on and off"

Labels = NDArray[np.uint8]

SMALL_SIDE = 320
"""The longer side, in pixels, of the pictures of the overview."""

ABOUT = (
    "A part that is off outputs zeros; the rest stays as trained. This shows what the network *relies* on, not how well "
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
            gr.Markdown(TRUTH, elem_classes="hint")
    computed.computed(show, [photo, model, on, truth], "parts", changes=[photo.change, on.change, truth.change])
    # Another network changes the list of parts, which the pictures follow; the overview waits for the network alone.
    settled = gr.Textbox(DEFAULT_MODEL, visible="hidden", container=False)
    changes = [photo.change, settled.change, truth.change]
    computed.computed(show_each, [photo, model, truth], "parts-overview", changes=changes)
    gr.Markdown(ABOUT, elem_classes="about-section")
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
    full, rest = (labels_without(path, card, parts_off, display.photo.size) for parts_off in ((), off))
    return render(
        "lab/ablation.html",
        card=card,
        off={title(card, name): _zeroed(card, name) for name in off},
        full=full,
        rest=rest,
        differs=(full != rest).mean(),
        truth=known,
        found=partial(_found, card),
        over=photo_overlay.photo_attributes(path, display, card.class_list),
    )


def show_each(path: str, model: Any, truth: Upload) -> str:
    """Return small pictures, each with one part off."""
    card = _card(model)
    display = cache.display(path)
    size = display.photo.size
    known = read_truth(truth, display.size, size, len(card.classes))
    full = labels_without(path, card, (), size)
    each = {f"without {title(card, name)}": labels_without(path, card, [name], size) for name in _parts(card)}
    each |= {f"{name}, its own prediction": labels for name, labels in fcn_predictions(path, card, size).items()}
    step = max(1, max(full.shape) // SMALL_SIDE)
    changed = [(name, labels, (labels != full).mean(), labels[::step, ::step]) for name, labels in each.items()]
    return render(
        "lab/ablation_overview.html",
        card=card,
        full=full,
        small_full=full[::step, ::step],
        each=sorted(changed, key=lambda one: -one[2]),
        truth=known,
        found=partial(_found, card),
        over=photo_overlay.photo_attributes(path, display, card.class_list),
    )


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


def _zeroed(card: Card, name: str) -> str:
    """What stands at zero while a part is off, with the rate it has in this network."""
    own = title(card, name).removeprefix("3x3 at ")
    return _parts(card)[name].zeroed.replace(f"convolution at {name},", f"convolution at {own},")


def _found(card: Card, labels: Labels) -> dict[str, float]:
    """The classes in a label map with their shares, largest first."""
    counts = np.bincount(labels.ravel(), minlength=len(card.classes))
    return {card.classes[index]: counts[index] / labels.size for index in np.argsort(-counts) if counts[index]}
