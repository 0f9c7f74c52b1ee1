"""The tab for everyone: a photo in, the segmented output and one overlay per class out."""

import csv
import json
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from segmodels import Card, Segmentation
from segmodels.checkpoints.paths import EXAMPLES
from segmodels.inference.pictures import figure, label_image, overlay
from segmodels.labels import VOC
from segmodels.models import registry

from . import drawing, examples, view
from .events import COMPUTES
from .examples import CREDITS, FIRST
from .server import fetching, limits, memory
from .server.line import Answer
from .server.settings import chosen, sentence
from .viewer import viewer

DEFAULT_MODEL = registry.DEFAULT_MODEL
Upload = dict[str, Any] | None
"""An image as gradio hands it over unprocessed: its ``path`` lies in the upload folder, which gradio has checked."""

SOURCES = (
    ("Bundled", "bundled"),
    ("torchvision's (44 to 245 MB)", "published"),
)
PROGRESS = gr.Progress()
SLIDER = (1, 24)
"""The atrous rates that the page offers; programs may ask for more."""

IDLE = "{title} has no ASPP and one output stride: both settings are idle. Choose a DeepLab to use them."
STRIDE_ALONE = (
    "{title} has no ASPP, so no rate. Trained at output stride {stride}; at another, the map is finer or coarser."
)
ACTIVE = (
    "Rate r runs the ASPP at r, 2r and 3r. Trained at rate {rate} and output stride {stride}; "
    "twice the stride at half the rate covers the same field."
)


def segment_tab() -> tuple[gr.Image, list[Any], dict[str, Any]]:
    """Put the tab's components and events into the Blocks that are being built.

    Returns the photo, which the other tabs look at too, the source, network, atrous rate and output stride, and what to
    do when a page loads.
    """
    photo = gr.Image(str(EXAMPLES / FIRST), visible="hidden", elem_id="photo")
    pictures = viewer(show)
    source, model, rate, stride = controls = _controls()
    about = gr.HTML(_about(DEFAULT_MODEL), elem_id="about")
    examples.strip(photo, "examples")
    with gr.Row():
        for part in ("table", "ran"):
            with gr.Column(min_width=300):
                gr.HTML(f'<div id="{part}"></div>')  # filled by ``drawing.js`` when it shows an answer
    with gr.Row(elem_id="downloads"):
        for name, (file_name, write) in DOWNLOADS.items():
            download(name, file_name, partial(_write_result, write), [photo, model, rate, stride])
    gr.HTML(view.credits_list(CREDITS))

    pictures.upload(None, None, [photo], js="() => window.chosenPhoto", api_visibility="private")
    ready = gr.Textbox(visible=False)  # the network that can run: its name, once its weights are here
    _tell_changes(photo, ready, rate, stride)
    source.input(
        choose_source,
        [source],
        [model, rate, stride],
        trigger_mode="always_last",
        queue=False,
        api_visibility="private",
    )
    model.change(
        prepare,
        [model],
        [about, rate, stride, ready],
        show_progress="full",
        show_progress_on=[about],
        api_visibility="private",
        concurrency_id="fetch",
        concurrency_limit=4,
        trigger_mode="always_last",
    )
    _api()
    load = {"fn": lambda model: model, "inputs": [model], "outputs": [ready], "trigger_mode": "always_last"}
    return photo, controls, {**load, "queue": False, "api_visibility": "private"}


def _controls() -> list[Any]:
    """What changes the pictures. Returns source, network, atrous rate and output stride; the others never leave the browser."""
    with gr.Row(elem_id="controls"):
        model = gr.Radio(choices("bundled"), value=DEFAULT_MODEL, label="Network", elem_id="model", min_width=200)
        source = gr.Radio(list(SOURCES), value="bundled", label="Weights", elem_id="source", min_width=120)
        rate = gr.Slider(*SLIDER, value=6, step=1, label="Atrous rate", elem_id="rate", min_width=120)
        stride = gr.Radio([8, 16, 32], value=16, label="Output stride", elem_id="stride", min_width=120)
        opacity = gr.Slider(0, 1, value=0.5, step=0.05, label="Overlay opacity", elem_id="opacity", min_width=120)
        voc = gr.Checkbox(label="Colours as in files", container=False, elem_id="voc", min_width=120)
    opacity.change(None, [opacity], js="value => drawing.setOpacity(value)", api_visibility="private")
    voc.change(None, [voc], js="on => drawing.useVoc(on)", api_visibility="private")
    return [source, model, rate, stride]


def _tell_changes(photo: gr.Image, ready: gr.Textbox, rate: gr.Slider, stride: gr.Radio) -> None:
    """Tell the browser of all that changes the pictures: it puts the questions that ``show`` answers."""
    gr.on(
        [photo.change, ready.change, rate.change, stride.change],
        None,
        [photo, ready, rate, stride],
        js="(photo, model, rate, stride) => questions.choose({photo, model, rate, stride})",
        api_visibility="private",
    )


def show(question: Any) -> Answer:
    """What the browser draws of ``{"photo": ..., "model": ..., "rate": ..., "stride": ...}``; without a photo, nothing.

    Raises:
        ValueError: with a sentence, for a photo or a setting that cannot be.
        OSError: if a file cannot be read.
    """
    try:
        upload, model, rate, stride = (question[name] for name in ("photo", "model", "rate", "stride"))
        path = None if upload is None else str(upload["path"])
    except (LookupError, TypeError):
        raise ValueError("this is no question that the page asks") from None
    if path is None:
        return None
    display = memory.display(path)
    card = registry.card(str(model))
    settings = chosen(card, rate, stride)
    remembered = memory.has_features(path, card.name, settings.output_stride if card.chooses_stride else None)
    result = segmented(path, card.name, rate, stride, display.photo.size)
    width, height = result.working_size
    cost = memory.cost(card.name, height, width, result.output_stride)
    return {
        **drawing.answer(path, display, result),
        "table": view.table(result),
        "ran": view.what_ran(card, result, cost, remembered),
    }


def segmented(
    path: str, model: str, rate: float | None, stride: int | None, size: tuple[int, int] | None = None
) -> Segmentation:
    """The photo at ``path``, segmented; settings that ``model`` does not have are left out.

    ``size`` is the label map's (width, height), the photo's own if None.
    """
    card = registry.card(model)
    settings = chosen(card, rate, stride)
    features = memory.features(path, model, settings.output_stride if card.chooses_stride else None)
    limits.check()
    return memory.segmenter(model).decode(features, settings.atrous_rate, size)


def choose_source(source: str) -> tuple[Any, Any, Any]:
    """The networks with weights from ``source``, and the settings that those were trained with."""
    offered = choices(source)
    if not offered:
        raise gr.Error(
            "There are no weights from there: choose the bundled or the published ones.", print_exception=False
        )
    names = [name for _, name in offered]
    chosen = registry.card(DEFAULT_MODEL if DEFAULT_MODEL in names else min(names, key=_to_fetch))
    return (
        gr.update(choices=offered, value=chosen.name),
        gr.update(value=chosen.atrous_rate),
        gr.update(value=chosen.output_stride),
    )


def _to_fetch(model: str) -> float:
    """The megabytes that have to arrive before a published network can run."""
    card = registry.card(model)
    return 0 if card.at_hand else card.measured["megabytes"]


def prepare(model: str, progress: gr.Progress = PROGRESS) -> tuple[str, Any, Any, str]:
    """Fetch the weights of a network that are not at hand yet; then the sentence about it, which settings it has, its name.

    If they cannot be fetched, the pictures' place will say why.
    """
    try:
        card = registry.card(model)
    except ValueError as error:
        raise gr.Error(sentence(error), print_exception=False) from None
    fetching.fetch_chosen(card, progress)
    rate, stride = gr.update(interactive=card.atrous_rate is not None), gr.update(interactive=card.chooses_stride)
    return _about(model), rate, stride, model


def _about(model: str) -> str:
    card = registry.card(model)
    note = ACTIVE if card.atrous_rate is not None else STRIDE_ALONE if card.chooses_stride else IDLE
    note = note.format(title=card.title, rate=card.atrous_rate, stride=card.output_stride)
    return f'<p><strong>{card.title}</strong>: {card.summary}</p><p class="setting-note">{note}</p>'


def choices(source: str) -> list[tuple[str, str]]:
    """The networks with weights from ``source``, ``"bundled"`` or ``"published"``: titles, with what has to be fetched.

    Those that know other classes than Pascal VOC's come last.
    """
    offered = [card for card in registry.CARDS.values() if _comes_from(card, source)]
    return [(_offered(card), card.name) for card in sorted(offered, key=lambda card: card.class_list != VOC)]


def _comes_from(card: Card, source: str) -> bool:
    return card.source == source or (card.source == "own" and source == "bundled")


def _offered(card: Card) -> str:
    if not card.at_hand:
        return f"{card.title} ({card.measured['megabytes']:.0f} MB)"
    return card.title if card.class_list == VOC else f"{card.title}, {len(card.classes)} classes"


def _labels_file(path: str, result: Segmentation, file: Path) -> None:
    label_image(result.labels, result.class_list).save(file)


def _overlay_file(path: str, result: Segmentation, file: Path) -> None:
    overlay(memory.photo(path).image, result.labels, classes=result.class_list).save(file, compress_level=1)


def _figure_file(path: str, result: Segmentation, file: Path) -> None:
    figure(memory.photo(path).image, result.labels, result.class_list).savefig(file)


def _table_file(path: str, result: Segmentation, file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["class", "share", "mean_confidence"])
        rows.writerows(
            [name, f"{share:.6f}", _rounded(result.confidence.get(name))] for name, share in result.shares.items()
        )


def _rounded(confidence: float | None) -> str:
    return "" if confidence is None else f"{confidence:.4f}"


def _report_file(path: str, result: Segmentation, file: Path) -> None:
    file.write_text(json.dumps(_report(path, result), indent=2), encoding="utf-8")


def _report(path: str, result: Segmentation) -> dict[str, Any]:
    """The command line's, with what was done to the photo."""
    report = result.report(Path(path).name)
    report["notes"] += memory.display(path).notes
    return report


Writer = Callable[[str, Segmentation, Path], None]

DOWNLOADS: dict[str, tuple[str, Writer]] = {
    "Label map (PNG)": ("labels.png", _labels_file),
    "Overlay (PNG)": ("overlay.png", _overlay_file),
    "Figure (PNG)": ("figure.png", _figure_file),
    "Table (CSV)": ("classes.csv", _table_file),
    "Report (JSON)": ("report.json", _report_file),
}
"""Files at the photo's own size, made when they are asked for."""


def _write_result(write: Writer, path: str, file: Path, model: str, rate: float, stride: int) -> None:
    result = segmented(path, model, rate, stride)
    limits.check()
    write(path, result, file)


def download(name: str, file_name: str, write: Callable[..., None], inputs: Sequence[gr.Component]) -> None:
    """A button that makes a file and, once it is there, downloads it through a hidden link.

    ``inputs`` are the photo and any settings; ``write`` gets the photo's path, the file's path and the settings.
    """
    button = gr.Button(name, size="sm", min_width=120)
    link = gr.DownloadButton(visible="hidden", elem_id=f"file-{file_name.replace('.', '-')}")

    def make(upload: Upload, *settings: Any) -> str:
        if upload is None:
            raise gr.Error("There is no photo yet: drop one in first.", print_exception=False)
        try:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / file_name
                write(upload["path"], file, *settings)
                cached = link.move_resource_to_block_cache(file)
        except (ValueError, OSError) as error:
            raise gr.Error(sentence(error), print_exception=False) from None
        assert cached is not None
        return cached

    made = button.click(make, list(inputs), [link], **COMPUTES)
    made.success(
        None, js=f"() => document.querySelector('#{link.elem_id} a, a#{link.elem_id}, #{link.elem_id}').click()"
    )


def _api() -> None:
    """``/segment`` for programs: the same photos, networks and settings, and the command line's report."""
    with gr.Row(visible=False):
        image = gr.Image(label="image")
        model = gr.Textbox(DEFAULT_MODEL, label="model")
        rate, stride = gr.JSON(label="atrous_rate"), gr.JSON(label="output_stride")
        labels, drawn = gr.File(label="label map"), gr.File(label="overlay")
        report = gr.JSON(label="report")
        trigger = gr.Button()

    def segment(
        image: Upload, model: str = DEFAULT_MODEL, atrous_rate: Any = None, output_stride: Any = None
    ) -> tuple[str, str, dict[str, Any]]:
        """Segment a photo: label map (palette PNG at the photo's size), overlay (JPEG), report."""
        if image is None:
            raise gr.Error("There is no photo: pass one as image.", print_exception=False)
        try:
            path = image["path"]
            fetching.fetch(registry.card(model))
            result = segmented(path, model, atrous_rate, output_stride)
            limits.check()
            with tempfile.TemporaryDirectory() as folder:
                files = [Path(folder) / "labels.png", Path(folder) / "overlay.jpg"]
                _labels_file(path, result, files[0])
                overlay(memory.photo(path).image, result.labels, classes=result.class_list).save(files[1], quality=90)
                cached = [
                    str(part.move_resource_to_block_cache(file))
                    for part, file in zip((labels, drawn), files, strict=True)
                ]
            report = _report(path, result)
        except (ValueError, OSError) as error:
            raise gr.Error(sentence(error), print_exception=False) from None
        return cached[0], cached[1], report

    inputs, public = [image, model, rate, stride], {"api_name": "segment", "api_visibility": "public"}
    trigger.click(segment, inputs, [labels, drawn, report], **{**COMPUTES, **public})
