"""The tab for the curious: any network's path, layer by layer, and what it costs beside the others."""

import base64
import csv
import io
import math
from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr
from gradio.context import Context

from segmodels.inference.settings import check_integer
from segmodels.inference.sizes import fit_working_size
from segmodels.insight.cost import Layer
from segmodels.models import registry
from segmodels.models.backbones import OUTPUT_STRIDES

from ..components import computed
from ..components.model_picker.choices import RATE_RANGE
from ..components.model_picker.following import settings_beside
from ..events import AT_ONCE
from ..server import timeouts
from ..server.settings import applicable_settings, control_updates
from .diagram import draw, field, written
from .facts import Anatomy, Part, anatomy

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
HINT = (
    "Maps of one size share a row. A box is a run of layers; its sheets stand for channels, its bar for multiply-accumulates. "
    "Dashed arrows are skip connections."
)

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
        width = _slider("Photo width", sides[0], SIDES, "anatomy-width")
        height = _slider("Photo height", sides[1], SIDES, "anatomy-height")
        rate = _slider("Atrous rate", 6, RATE_RANGE, "anatomy-rate", card.atrous_rate is not None)
        stride = _stride(card)
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


def _stride(card: registry.Card) -> gr.Radio:
    return gr.Radio(
        list(OUTPUT_STRIDES),
        value=16,
        label="Output stride",
        elem_id="anatomy-stride",
        min_width=150,
        interactive=card.chooses_stride,
    )


def _slider(label: str, value: int, limits: tuple[int, int], elem_id: str, interactive: bool = True) -> gr.Slider:
    return gr.Slider(*limits, value=value, step=1, label=label, elem_id=elem_id, min_width=150, interactive=interactive)


def _choices() -> list[tuple[str, str]]:
    """All networks, those with trained weights first."""
    cards = sorted(registry.CARDS.values(), key=lambda card: not card.trained)
    return [(f"{card.title} · {card.name}{'' if card.trained else ' · untrained'}", card.name) for card in cards]


def _about(model: str) -> str:
    card = registry.card(model)
    note = (
        ACTIVE if card.atrous_rate is not None else (STRIDE_ALONE if card.chooses_stride else IDLE).format(card.title)
    )
    untrained = "" if card.trained else f"<p>{UNTRAINED}</p>"
    return f"<p>{escape(card.summary)}</p>{untrained}<p class='setting-note'>{escape(note)}</p>"


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
    return (
        f'<div class="diagram" tabindex="0" role="region" aria-label="Diagram of {escape(found.name)}">{draw(found)}</div>'
        f'<p class="hint">{HINT}</p>'
    )


def parts_table(found: Anatomy) -> str:
    """The network's totals, and the same for each part of the drawing that has layers."""
    most = max(part.macs for part in found.parts)
    rows = "".join(_part_row(part, most) for part in found.parts if part.layers)
    return f"""<div class="wide" tabindex="0" role="region" aria-label="Parts of {escape(found.name)}">
<table class="classes anatomy"><caption>{escape(found.title)}, part by part</caption>
<thead><tr><th scope="col">Part</th><th scope="col">Output</th><th scope="col">Parameters</th>
<th scope="col">MACs</th><th scope="col">Sees</th></tr></thead><tbody>{rows}</tbody>
<tfoot><tr><th scope="row">Whole network</th><td>{written(found.parts[-1].shape)}</td><td>{_short(found.cost.parameters)}</td>
<td>{_bar(1, 0)}{_short(found.cost.macs)}</td><td>{_field(found.receptive_field)}</td></tr></tfoot></table></div>"""


def _part_row(part: Part, most: int) -> str:
    name = part.name.replace("-", "–")
    return (
        f'<tr><th scope="row"><code>{escape(name)}</code></th><td>{written(part.shape)}</td><td>{_short(part.parameters)}</td>'
        f"<td>{_bar(part.macs, most)}{_short(part.macs)}</td><td>{_field(part.receptive_field)}</td></tr>"
    )


def others_table(chosen: Anatomy, others: list[Anatomy]) -> str:
    """Every network at the chosen one's size; the chosen one as it is set, the others as they were trained."""
    networks = [chosen if other.name == chosen.name else other for other in others]
    largest = max(network.cost.parameters for network in networks), max(network.cost.macs for network in networks)
    rows = "".join(_network_row(network, network is chosen, *largest) for network in networks)
    return f"""<div class="wide" tabindex="0" role="region" aria-label="All networks">
<table class="classes anatomy"><caption>All networks on {chosen.width} × {chosen.height} pixels</caption>
<thead><tr><th scope="col">Network</th><th scope="col">Parameters</th><th scope="col">MACs</th><th scope="col">Sees</th></tr></thead>
<tbody>{rows}</tbody></table></div>
<p class="hint">The others run at their own stride and rates.</p>"""


def _network_row(network: Anatomy, chosen: bool, most_parameters: int, most_macs: int) -> str:
    return (
        f'<tr{" class=chosen aria-current=true" * chosen}><th scope="row"><code>{escape(network.name)}</code></th>'
        f"<td>{_bar(network.cost.parameters, most_parameters)}{_short(network.cost.parameters)}</td>"
        f"<td>{_bar(network.cost.macs, most_macs)}{_short(network.cost.macs)}</td>"
        f"<td>{_field(network.receptive_field)}</td></tr>"
    )


def layers_table(found: Anatomy) -> str:
    """Every layer in the order it runs, under the part it is of, in a box that scrolls, and the same as a file."""
    groups = "".join(_layer_group(part) for part in found.parts if part.layers)
    return f"""<div class="layers-head"><h2>All {len(found.cost.layers)} layers of {escape(found.title)}</h2>{_download(found)}</div>
<div class="layers" tabindex="0" role="region" aria-label="Layers of {escape(found.name)}"><table class="classes anatomy">
<thead><tr><th scope="col">Layer</th><th scope="col">What it is</th><th scope="col">Output</th><th scope="col">Parameters</th>
<th scope="col">MACs</th><th scope="col">Sees</th></tr></thead>{groups}</table></div>
<p class="hint">Output: width × height × channels. MACs: multiply-accumulates of convolutions. Sees: the receptive field's
side in pixels, which may exceed the photo's.</p>"""


def _layer_group(part: Part) -> str:
    heading = f'<tr class="group"><th colspan="6" scope="rowgroup">{escape(part.name.replace("-", "–"))}</th></tr>'
    return f"<tbody>{heading}{''.join(map(_layer_row, part.layers))}</tbody>"


def _layer_row(layer: Layer) -> str:
    quiet = "" if layer.macs else ' class="quiet"'
    return (
        f'<tr{quiet}><th scope="row"><code>{escape(layer.name)}</code></th><td>{escape(layer.kind)}</td>'
        f"<td>{written(layer.shape)}</td><td>{layer.parameters:,}</td><td>{layer.macs:,}</td>"
        f"<td>{_field(layer.receptive_field)}</td></tr>"
    )


def _download(found: Anatomy) -> str:
    """A link that holds the table itself, so that saving it asks nothing of the server."""
    content = base64.b64encode(layers_csv(found).encode()).decode()
    file = f"{found.name}_{found.width}x{found.height}.csv"
    return f'<a class="file" download="{file}" href="data:text/csv;base64,{content}">Layers (CSV)</a>'


def layers_csv(found: Anatomy) -> str:
    """The layers as comma-separated values; ``inf`` where a layer sees the whole photo."""
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(["layer", "kind", "channels", "height", "width", "parameters", "macs", "receptive_field"])
    rows.writerows(_csv_rows(found))
    return stream.getvalue()


def _csv_rows(found: Anatomy) -> Iterator[list[Any]]:
    for layer in found.cost.layers:
        yield [layer.name, layer.kind, *layer.shape, layer.parameters, layer.macs, layer.receptive_field]


def _bar(value: float, most: float) -> str:
    return f'<span class="bar" style="--share: {value / most if most else 0:.4f}"></span>'


def _short(value: int) -> str:
    """A count in three digits: ``3.28 M``."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= 0.9995 * unit:  # 999,500 is a million in three digits
            return f"{value / unit:.3g}{name}" if value < 999.5 * unit else f"{value / unit:,.0f}{name}"
    return str(value)


def _field(size: float) -> str:
    return field(size).removeprefix("the ").removesuffix(" pixels")
