"""The tab for the curious: any network's path, layer by layer, and what it costs beside the others."""

import base64
import csv
import io
import math
from typing import Any

import gradio as gr
from gradio.context import Context

from segmodels.inference.settings import check_integer
from segmodels.inference.sizes import fit_working_size
from segmodels.insight.anatomy import Anatomy, anatomy
from segmodels.models import registry

from ..components import computed
from ..components.model_picker import rate_and_stride
from ..components.model_picker.following import settings_beside
from ..components.templates import render
from ..events import AT_ONCE
from ..server import timeouts
from ..server.settings import applicable_settings, control_updates
from .diagram import draw, field, written

OPENS_WITH = "unet_mobilenetv2"
PHOTO = (4, 3)
"""The shape of the photo that is there first, width to height; its size is what the network would see of it."""
SIDES = (32, 1024)
"""The least and the largest height and width of a photo here, in pixels."""
TABLE_WIDTH = 710
"""What the widest table of parts takes, in pixels: where two such tables have no room, one stands below the other."""

IDLE = "{} has no ASPP: no rate or stride to set."
STRIDE_ALONE = "{} has no ASPP, so no rate; its backbone can be dilated."
ACTIVE = "Rate 6 runs the ASPP at 6, 12 and 18; a smaller output stride keeps the last maps larger."
UNTRAINED = "Without trained weights, it cannot segment."
COUNTING = '<p class="hint">Counting the other networks …</p>'


def anatomy_tab() -> gr.Dropdown:
    """Put the components and events into the tab that is being built; nothing is counted before it is opened.

    Returns the choice of the network, for links that open the tab at one.
    """
    card = registry.card(OPENS_WITH)
    sides = fit_working_size(PHOTO, card.working_size, registry.build_meta(OPENS_WITH).align_corners)
    with gr.Row(elem_id="anatomy-controls"):
        model = gr.Dropdown(
            _choices(),
            value=OPENS_WITH,
            label="Network",
            filterable=False,
            elem_id="anatomy-model",
            scale=2,
            min_width=280,
        )
        width = _slider("Photo width", sides[0], "anatomy-width")
        height = _slider("Photo height", sides[1], "anatomy-height")
        rate, stride = rate_and_stride(card, "anatomy-{}", min_width=150)
    settings: list[Any] = [model, width, height, rate, stride]
    computed.computed(show, settings, "anatomy-diagram", on_photo=False)
    about = gr.HTML(_about(OPENS_WITH), elem_id="anatomy-about")
    with gr.Row():
        for part in ("anatomy-parts", "anatomy-others"):
            with gr.Column(min_width=TABLE_WIDTH):
                computed.target(part)
    computed.target("anatomy-layers")
    beside = settings_beside(Context.root_block)
    model.change(adapt_settings, [model, *beside], [about, rate, stride], **AT_ONCE)
    return model


def _slider(label: str, value: int, elem_id: str) -> gr.Slider:
    return gr.Slider(*SIDES, value=value, step=1, label=label, elem_id=elem_id, min_width=150)


def _choices() -> list[tuple[str, str]]:
    """All networks, those with trained weights first."""
    cards = sorted(registry.CARDS.values(), key=lambda card: not card.trained)
    return [(f"{card.title} · {card.name}{'' if card.trained else ' · untrained'}", card.name) for card in cards]


def _about(model: str) -> str:
    card = registry.card(model)
    note = (
        ACTIVE if card.atrous_rate is not None else (STRIDE_ALONE if card.chooses_stride else IDLE).format(card.title)
    )
    return render("anatomy/about.html", card=card, note=note, untrained="" if card.trained else UNTRAINED)


def adapt_settings(model: str, chosen: Any = None, rate: Any = None, stride: Any = None) -> tuple[Any, Any, Any]:
    """The sentences about a network, and its settings: those it was trained with, idle where it has none.

    ``chosen``, ``rate`` and ``stride`` are the Segment tab's: they stay where the network is the same.
    """
    try:
        card = registry.card(model)
    except ValueError:
        return gr.skip(), gr.skip(), gr.skip()  # what stands in place of the diagram says it
    return _about(model), *control_updates(card, chosen, rate, stride)


def show(model: Any, width: Any, height: Any, rate: Any, stride: Any, *, step: int) -> dict[str, Any]:
    """Return diagram, parts and layers of a network, then the table of all networks at that size, which takes longer."""
    found = looked_at(model, width, height, rate, stride)
    if step:
        names = list(registry.CARDS)
        counted = names[: step * math.ceil(len(names) / (computed.MAX_STEPS - 1))]  # a few more at each step
        others = [_anatomy_of(name, found.height, found.width) for name in counted]
        if len(counted) < len(names):
            return {"html": {}, "more": True}
        return {"html": {"anatomy-others": others_table(found, others)}}
    html = {
        "": diagram_box(found),
        "anatomy-parts": parts_table(found),
        "anatomy-layers": layers_table(found),
        "anatomy-others": COUNTING,
    }
    return {"html": html, "more": True}


def _anatomy_of(name: str, height: int, width: int) -> Anatomy:
    timeouts.check()
    return anatomy(name, height, width)


def looked_at(model: Any, width: Any, height: Any, rate: Any, stride: Any) -> Anatomy:
    """The anatomy for settings as they arrive from the page, or from anyone else.

    Raises:
        ValueError: with a sentence, for a setting that cannot be.
    """
    card = registry.card(model)
    size = check_integer("the photo's height", height, *SIDES), check_integer("the photo's width", width, *SIDES)
    settings = applicable_settings(card, rate, stride)
    return anatomy(card.name, *size, settings.output_stride if card.chooses_stride else None, settings.atrous_rate)


def diagram_box(found: Anatomy) -> str:
    """The drawing in a box of its own, which scrolls where the page is narrow, and how to read it."""
    return render("anatomy/diagram_box.html", found=found, drawn=draw(found))


def parts_table(found: Anatomy) -> str:
    """The network's totals, and the same for each part of the drawing that has layers."""
    most = max(part.macs for part in found.parts)
    return render("anatomy/parts.html", found=found, most=most, **WRITTEN)


def others_table(chosen: Anatomy, others: list[Anatomy]) -> str:
    """Every network at the chosen one's size; the chosen one as it is set, the others as they were trained."""
    networks = [chosen if other.name == chosen.name else other for other in others]
    parameters, macs = (max(getattr(one.cost, what) for one in networks) for what in ("parameters", "macs"))
    return render("anatomy/others.html", chosen=chosen, networks=networks, parameters=parameters, macs=macs, **WRITTEN)


def layers_table(found: Anatomy) -> str:
    """Every layer in the order it runs, under the part it is of, in a box that scrolls, and the same as a file."""
    content = base64.b64encode(
        layers_csv(found).encode()
    ).decode()  # in the link, so that saving it asks nothing of the server
    return render("anatomy/layers.html", found=found, content=content, **WRITTEN)


def layers_csv(found: Anatomy) -> str:
    """The layers as comma-separated values; ``inf`` where a layer sees the whole photo."""
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(["layer", "kind", "channels", "height", "width", "parameters", "macs", "receptive_field"])
    rows.writerows(
        [layer.name, layer.kind, *layer.shape, layer.parameters, layer.macs, layer.receptive_field]
        for layer in found.cost.layers
    )
    return stream.getvalue()


def _short(value: int) -> str:
    """A count in three digits: ``3.28 M``."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= 0.9995 * unit:  # 999,500 is a million in three digits
            return f"{value / unit:.3g}{name}" if value < 999.5 * unit else f"{value / unit:,.0f}{name}"
    return str(value)


def _field(size: float) -> str:
    return field(size).removeprefix("the ").removesuffix(" pixels")


WRITTEN = {"written": written, "short": _short, "field": _field}
"""For the templates of tables: a shape, a count and a receptive field as text."""
