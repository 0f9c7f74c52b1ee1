"""How sure is it: entropy and margin beside the mask."""

import math
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from segmodels.inference.certainty import entropy, margin, probabilities
from segmodels.inference.label_map import label_map
from segmodels.labels import ClassList
from segmodels.models import registry

from ..components import computed, markup, photo_overlay
from ..components.figures import SAVE_PNG, save_button
from ..components.heat_map import Values, map_image, scale
from ..components.model_picker import Settings, checked_settings, model_picker
from ..server import cache

ID = "certainty"
TITLE = "How sure is it"

MOST_BITS = 2
"""Where the entropy's colours end: a tie of four classes. Of all 21 it would be 4.39, which no pixel of a photo comes near."""
DOUBT = 0.5
"""A pixel whose best class has less than this is more likely something else, by the network's own account."""

ABOUT = (
    "The mask keeps each pixel's most probable class. <b>Entropy</b> is what it forgets, in bits: 0 for one sure class, 1 for "
    "two equal ones. <b>Margin</b> is the best probability less the second best. Bright means unsure. High confidence does "
    "not mean correct, least of all for classes it was never trained on."
)


@dataclass(frozen=True)
class Certainty:
    """How sure a network is of one photo. The maps are (H, W), at the size at which the network saw the photo."""

    labels: NDArray[np.uint8]
    entropy: Values
    """In bits."""
    margin: Values
    confidence: Values
    """The probability of the best class."""


def section(photo: gr.Image, network: gr.Radio) -> None:
    """Put the section into the tab that is being built."""
    picker = model_picker("certainty", registry.trained_models())
    changes = [photo.change, *picker.changes]
    computed.computed(show, [photo, *picker.all], "certainty", changes=changes, script=SAVE_PNG)
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            computed.target("certainty-table")
        with gr.Column(scale=5, min_width=300):
            gr.HTML(f'<p class="about-section">{ABOUT}</p>')


def show(path: str, model: Any, rate: Any, stride: Any) -> dict[str, Any]:
    """Return the mask and both maps, and a table of the classes found."""
    settings = checked_settings(model, rate, stride, registry.trained_models())
    found = certainty(path, settings)
    classes = settings.card.class_list
    over = photo_overlay.photo_attributes(path, cache.display(path), classes)
    return {"html": {"": figures(over, found, settings), "certainty-table": classes_table(found, classes)}}


def certainty(path: str, settings: Settings) -> Certainty:
    """How sure the network is of the photo at ``path``; the backbone runs once for all rates."""
    features = cache.features(path, settings.card.name, settings.stride)
    logits = cache.segmenter(settings.card.name).logits(features, settings.rate)
    width, height = features.working_size
    likely = probabilities(logits, (height, width), features.aligned_size)
    return Certainty(
        label_map(logits, (height, width), aligned_size=features.aligned_size),
        entropy(likely).numpy(force=True),
        margin(likely).numpy(force=True),
        likely.amax(0).numpy(force=True),
    )


def figures(over: str, found: Certainty, settings: Settings) -> str:
    """Mask, entropy and margin side by side, each with what its colours mean; ``over`` is ``drawing.over``."""
    bits = markup.data_url(map_image(found.entropy, MOST_BITS, "inferno"), "PNG")
    ahead = markup.data_url(map_image(found.margin, 1, "inferno_r"), "PNG")
    doubted = (found.confidence < DOUBT).mean()
    means = (
        f"Mean confidence {found.confidence.mean():.1%}, entropy {found.entropy.mean():.2f} bits, margin "
        f"{found.margin.mean():.2f}. The best class has less than {DOUBT:.0%} on {doubted:.1%} of the photo."
    )
    classes = ", ".join(settings.card.classes[index] for index in np.unique(found.labels))
    bits_scale = scale("inferno", ("0", "0.5", "1", "1.5", "≥ 2"), "entropy from 0, sure, to 2 bits or more")
    ahead_scale = scale("inferno_r", ("0: a tie", "0.5", "1"), "margin from 0, a tie, to 1, sure")
    name = settings.card.name
    return f"""<p class="figure-of-merit" role="status">{means}</p>
<div class="panels" {over}>
<figure><figcaption>Mask, {escape(settings.sentence)}</figcaption>
{photo_overlay.picture(f"Mask: {classes}", photo_overlay.layer(found.labels))}
{save_button(f"{name}_mask.png")}</figure>
<figure><figcaption>Entropy in bits</figcaption>
<div class="picture"><img src="{bits}" alt="Entropy of every pixel, mean {found.entropy.mean():.2f} bits, at most {found.entropy.max():.2f}"></div>
{bits_scale}{save_button(f"{name}_entropy.png")}</figure>
<figure><figcaption>Margin between the two best classes</figcaption>
<div class="picture"><img src="{ahead}" alt="Margin of every pixel, mean {found.margin.mean():.2f}"></div>
{ahead_scale}{save_button(f"{name}_margin.png")}</figure></div>"""


def classes_table(found: Certainty, classes: ClassList) -> str:
    """Each class found with its share and the means over its pixels, largest share first."""
    indices, counts = np.unique(found.labels, return_counts=True)
    rows = "".join(_row(found, index, classes) for index in indices[np.argsort(-counts)])
    return f"""<div class="wide" tabindex="0" role="region" aria-label="Certainty by class">
<table class="classes"><caption>By class, means over its pixels</caption><thead><tr><th scope="col">Class</th>
<th scope="col">Share</th><th scope="col">Confidence</th><th scope="col">Entropy (bits)</th><th scope="col">Margin</th></tr></thead>
<tbody>{rows}</tbody></table></div>
<p class="hint">Computed at {found.labels.shape[1]} × {found.labels.shape[0]} pixels, as the network sees the photo.
A uniform answer has log<sub>2</sub> {len(classes.names)} = {math.log2(len(classes.names)):.2f} bits.</p>"""


def _row(found: Certainty, index: int, classes: ClassList) -> str:
    of_class = found.labels == index
    confidence = found.confidence[of_class].mean()
    return (
        f'<tr><th scope="row">{markup.swatch(index, classes)}{escape(classes.names[index])}</th><td>{of_class.mean():.1%}</td>'
        f'<td><span class="bar" style="--share: {confidence:.4f}"></span>{confidence:.1%}</td>'
        f"<td>{found.entropy[of_class].mean():.2f}</td><td>{found.margin[of_class].mean():.2f}</td></tr>"
    )
