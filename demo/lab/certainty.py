"""How sure is it: entropy and margin beside the mask."""

import math
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from segmodels.inference.certainty import entropy, margin, probabilities
from segmodels.inference.label_map import label_map
from segmodels.labels import ClassList
from segmodels.models import registry

from ..components import computed, photo_overlay
from ..components.heat_map import Values, map_image
from ..components.model_picker import NetworkSettings, checked_settings, model_picker
from ..components.templates import render
from ..server import cache

ID = "certainty"
TITLE = "How sure is it"

MOST_BITS = 2
"""Where the entropy's colours end: a tie of four classes. Of all 21 it would be 4.39, which no pixel of a photo comes near."""
DOUBT = 0.5
"""A pixel whose best class has less than this is more likely something else, by the network's own account."""

ABOUT = (
    "The mask keeps each pixel's most probable class. **Entropy** is what it forgets, in bits: 0 for one sure class, 1 for "
    "two equal ones. **Margin** is the best probability less the second best. Bright means unsure. High confidence does "
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
    computed.computed(show, [photo, *picker.all], "certainty", changes=changes)
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            computed.target("certainty-table")
        with gr.Column(scale=5, min_width=300):
            gr.Markdown(ABOUT, elem_classes="about-section")


def show(path: str, model: Any, rate: Any, stride: Any) -> dict[str, Any]:
    """Return the mask and both maps, and a table of the classes found."""
    settings = checked_settings(model, rate, stride, registry.trained_models())
    found = certainty(path, settings)
    over = photo_overlay.photo_attributes(path, cache.display(path), settings.card.class_list)
    return {
        "html": {"": figures(over, found, settings), "certainty-table": classes_table(found, settings.card.class_list)}
    }


def certainty(path: str, settings: NetworkSettings) -> Certainty:
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


def figures(over: str, found: Certainty, settings: NetworkSettings) -> str:
    """Mask, entropy and margin side by side, each with what its colours mean; ``over`` is ``photo_attributes``."""
    return render(
        "lab/certainty.html",
        over=over,
        found=found,
        settings=settings,
        classes=[settings.card.classes[index] for index in np.unique(found.labels)],
        entropy_map=map_image(found.entropy, MOST_BITS, "inferno"),
        margin_map=map_image(found.margin, 1, "inferno_r"),
        doubt=DOUBT,
        doubted=(found.confidence < DOUBT).mean(),
    )


def classes_table(found: Certainty, classes: ClassList) -> str:
    """Each class found with its share and the means over its pixels, largest share first."""
    indices, counts = np.unique(found.labels, return_counts=True)
    rows = [(int(index), found.labels == index) for index in indices[np.argsort(-counts)]]
    uniform = math.log2(len(classes.names))
    return render("lab/certainty_table.html", found=found, classes=classes, rows=rows, uniform=uniform)
