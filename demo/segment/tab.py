"""The tab for everyone: a photo in, the segmented output and one overlay per class out."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import gradio as gr

from segmodels.checkpoints.paths import EXAMPLES
from segmodels.inference.settings import RATE_RANGE
from segmodels.models import registry
from segmodels.models.registry import DEFAULT_MODEL

from ..components import computed, examples, photo_overlay
from ..components.download_button import download_button
from ..components.examples import CREDITS, FIRST
from ..components.model_picker import follow_stride, rate_and_stride
from ..components.model_picker.choices import SOURCES, choices, settings_in_range
from ..components.templates import render
from ..components.viewer import viewer
from ..server import cache, weight_downloads
from ..server.inference import segment_photo
from ..server.inference_queue import Answer
from ..server.messages import NOT_A_QUESTION, error_message
from ..server.settings import applicable_settings, variant_names, variant_update
from . import result_view
from .api import segment_api
from .part import part
from .result_files import DOWNLOADS, write_all, write_result

PROGRESS = gr.Progress()

ASK = f"""(photo, model, rate, stride, variant, crf) => {{
  const offered = rate >= {RATE_RANGE[0]} && rate <= {RATE_RANGE[1]};
  document.querySelector('#refused').textContent = offered ? '' : 'The atrous rate goes from {RATE_RANGE[0]} to {RATE_RANGE[1]}: the pictures stay as they are.';
  if (offered) questions.choose({{photo, model, rate, stride, variant, crf}});
}}"""

IDLE = "{title} has no ASPP and a fixed output stride, so these settings have no effect. Choose a DeepLab to use them."
STRIDE_ALONE = (
    "{title} has no ASPP, so no rate. Trained at output stride {stride}; at another, the map is finer or coarser."
)
ACTIVE = (
    "Rate r runs the ASPP at r, 2r and 3r. Trained at rate {rate} and output stride {stride}. Half the stride doubles the rate, so "
    "that its taps stay as far apart in the photo; then move the rate by itself."
)
NO_BACKGROUND = "It has no background: on a photo of anything else it names what looks most like its classes."


def segment_tab(drop: gr.HTML) -> tuple[gr.Image, list[Any], dict[str, Any]]:
    """Put the tab's components and events into the Blocks that are being built. ``drop`` is the page's ``drop_zone``.

    Returns the photo, which the other tabs look at too, the source, network, atrous rate, output stride, variant of the
    decoder and CRF, and what to do when a page loads.
    """
    photo = gr.Image(str(EXAMPLES / FIRST), visible="hidden", elem_id="photo")
    viewer(answer)
    controls = _controls()
    source, model, rate, stride, variant, crf = controls
    about = gr.HTML(_about(DEFAULT_MODEL), elem_id="about")
    examples.strip(photo, "examples")
    with gr.Row():
        for name in ("table", "ran"):
            with gr.Column(min_width=300):
                computed.target(name)  # filled by the viewer's script when it shows an answer
    # The variant as text: gradio checks a radio's value against the choices that it had when the page was built.
    chosen = gr.Textbox(visible=False)
    with gr.Row(elem_id="downloads"):
        for name, (file_name, write) in DOWNLOADS.items():
            download_button(name, file_name, partial(write_result, write), [photo, model, rate, stride, chosen, crf])
        several = gr.JSON(visible=False)
        download_button(
            "All photos (ZIP)",
            "results.zip",
            write_all,
            [several, model, rate, stride, chosen, crf],
            js="async (_, ...settings) => [await photos.all(), ...settings]",
            several=True,
        )
    gr.HTML(render("segment/credits.html", credits=CREDITS))

    drop.upload(None, None, [photo], js="() => window.chosenPhoto", api_visibility="private")
    ready = gr.Textbox(visible=False)  # the network that can run: its name, once its weights are here
    variant.change(None, [variant], [chosen], js="name => name", api_visibility="private")
    _tell_changes(photo, ready, controls[2:])
    source.input(
        choose_source,
        [source],
        [model, rate, stride, variant],
        trigger_mode="always_last",
        queue=False,
        api_visibility="private",
    )
    model.change(
        prepare,
        [model, chosen],
        [about, rate, stride, variant, ready],
        show_progress="full",
        show_progress_on=[about],
        api_visibility="private",
        concurrency_id="fetch",
        concurrency_limit=4,
        trigger_mode="always_last",
    )
    segment_api()
    load = {"fn": lambda model: model, "inputs": [model], "outputs": [ready], "trigger_mode": "always_last"}
    return photo, controls, {**load, "queue": False, "api_visibility": "private"}


def _controls() -> list[Any]:
    """What changes the pictures. Returns source, network, rate, stride, variant and CRF; the others never leave the browser."""
    names = variant_names(registry.card(DEFAULT_MODEL))
    with gr.Row(elem_id="controls"):
        model = gr.Radio(choices("bundled"), value=DEFAULT_MODEL, label="Network", elem_id="model", min_width=200)
        source = gr.Radio(list(SOURCES), value="bundled", label="Weights", elem_id="source", min_width=120)
        rate, stride = rate_and_stride(registry.card(DEFAULT_MODEL), "{}", min_width=120)
        variant = gr.Radio(names, value=names[0], label="Decoder", elem_id="variant", min_width=120)
        opacity = gr.Slider(0, 1, value=0.5, step=0.05, label="Overlay opacity", elem_id="opacity", min_width=120)
    with gr.Row(elem_id="switches"):
        crf = gr.Checkbox(True, label="CRF edges", container=False, elem_id="crf", min_width=60)
        marks = gr.Checkbox(label="Mark what changed", container=False, elem_id="marks", min_width=60)
        voc = gr.Checkbox(label="Colours as in files", container=False, elem_id="voc", min_width=60)
        gr.HTML('<p id="changed" role="status"></p>')  # filled by the viewer's script
        gr.HTML('<p id="refused" role="alert"></p>')
    follow_stride(model, stride, rate)
    opacity.change(None, [opacity], js="value => drawing.setOpacity(value)", api_visibility="private")
    voc.change(None, [voc], js="on => drawing.useVoc(on)", api_visibility="private")
    marks.change(None, [marks], js="on => drawing.markChanges(on)", api_visibility="private")
    return [source, model, rate, stride, variant, crf]


def _tell_changes(photo: gr.Image, ready: gr.Textbox, settings: Sequence[Any]) -> None:
    """Tell the browser of all that changes the pictures: it puts the questions that ``show`` answers.

    ``settings`` are rate, stride, variant and CRF.
    """
    gr.on(
        [photo.change, ready.change, *(setting.change for setting in settings)],
        None,
        [photo, ready, *settings],
        js=ASK,
        api_visibility="private",
    )


def answer(question: Any) -> Answer:
    """What the browser draws: of the whole photo, or of the part that it asks for."""
    return part(question) if isinstance(question, dict) and "part" in question else show(question)


def show(question: Any) -> Answer:
    """What the browser draws of ``{"photo": ..., "model": ..., "rate": ..., "stride": ...}``; without a photo, nothing.

    The question may also have ``variant``, a name of the card's, and ``crf``, whether edges go through the CRF.

    Raises:
        ValueError: with a sentence, for a photo or a setting that cannot be.
        OSError: if a file cannot be read.
    """
    try:
        upload, model, rate, stride = (question[name] for name in ("photo", "model", "rate", "stride"))
        path = None if upload is None else str(upload["path"])
        variant, crf = str(question.get("variant")), question.get("crf") is True
    except (LookupError, TypeError, AttributeError):
        raise ValueError(NOT_A_QUESTION) from None
    if path is None:
        return None
    display = cache.display(path)
    card = registry.card(str(model))
    settings = settings_in_range(card, rate, stride)
    remembered = cache.has_features(path, card.name, settings.output_stride if card.chooses_stride else None)
    result = segment_photo(path, card.name, rate, stride, display.photo.size, crf, card.disabled_by(variant))
    width, height = result.working_size
    cost = cache.cost(card.name, height, width, result.output_stride)
    return {
        **photo_overlay.answer(path, display, result),
        "table": result_view.table(result),
        "ran": result_view.what_ran(card, result, cost, remembered),
        "setting": {
            "model": card.name,
            "name": result_view.setting(card, result, variant),
            "trained": settings == applicable_settings(card, None, None) and not card.disabled_by(variant),
            "crf": bool(result.crf),
        },
    }


def choose_source(source: str) -> tuple[Any, Any, Any, Any]:
    """The networks with weights from ``source``, and the settings that those were trained with."""
    offered = choices(source)
    if not offered:
        raise gr.Error(
            "There are no weights from there: choose the bundled or the published ones.", print_exception=False
        )
    names = [name for _, name in offered]
    offer = registry.card(DEFAULT_MODEL if DEFAULT_MODEL in names else min(names, key=_to_fetch))
    return (
        gr.update(choices=offered, value=offer.name),
        gr.update(value=offer.atrous_rate),
        gr.update(value=offer.output_stride),
        variant_update(offer),
    )


def _to_fetch(model: str) -> float:
    """The megabytes that have to arrive before a published network can run."""
    card = registry.card(model)
    return 0 if card.at_hand else card.measured["megabytes"]


def prepare(model: str, variant: Any = None, progress: gr.Progress = PROGRESS) -> tuple[str, Any, Any, Any, str]:
    """Fetch the weights of a network that are not at hand yet; then the sentence about it, which settings it has, its name.

    If they cannot be fetched, the pictures' place will say why.
    """
    try:
        card = registry.card(model)
    except ValueError as error:
        raise gr.Error(error_message(error), print_exception=False) from None
    weight_downloads.fetch_chosen(card, progress)
    rate, stride = gr.update(interactive=card.atrous_rate is not None), gr.update(interactive=card.chooses_stride)
    return _about(model), rate, stride, variant_update(card, variant), model


def _about(model: str) -> str:
    card = registry.card(model)
    note = ACTIVE if card.atrous_rate is not None else STRIDE_ALONE if card.chooses_stride else IDLE
    note = note.format(title=card.title, rate=card.atrous_rate, stride=card.output_stride)
    return result_view.about(card, note if card.class_list.background is not None else f"{NO_BACKGROUND} {note}")
