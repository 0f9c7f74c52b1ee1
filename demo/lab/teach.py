"""Teach it a class: a few strokes of a brush train a score layer, and one sees what the backbone knows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segmodels import Segmentation, fit_head
from segmodels.checkpoints.paths import EXAMPLES
from segmodels.inference.certainty import margin, probabilities
from segmodels.inference.result import Features
from segmodels.inference.settings import quoted
from segmodels.labels import ClassList, Colour
from segmodels.models import registry
from segmodels.models.taught import COARSEST
from segmodels.teaching.fit_head import TaughtSegmenter
from segmodels.training.metrics import Scores, confusion_matrix

from ..components import computed, markup, photo_overlay
from ..components.brush import brush_board
from ..components.brush.painting import CLASSES, Painting
from ..components.brush.painting import read as painting_of
from ..components.download_button import download_button
from ..components.examples import CREDITS, LABELLED, label_map_of
from ..components.heat_map import map_image
from ..components.templates import render
from ..components.url_state import named
from ..events import AT_ONCE
from ..server import cache, timeouts
from ..server.uploads import Upload
from .ablation import WITHOUT_TRUTH, read_truth

ID = "teach"
TITLE = "Teach a class"

Labels = NDArray[np.uint8]
Answer = dict[str, Any]
"""What the browser draws; see ``brush.js``."""

COLOURS = ("#3b82f6", "#f59e0b", "#10b981", "#ec4899", "#facc15", "#a855f7")
"""Of the classes, on any photo and for most eyes apart."""
RGB: tuple[Colour, ...] = tuple(
    (red, green, blue) for red, green, blue in map(bytes.fromhex, (name[1:] for name in COLOURS))
)

COMPACT = registry.DEFAULT_MODEL
BACKBONES = {
    "compact": "The compact zoo's",
    "scratch": "Trained from scratch",
    "random": "Random weights",
}
SCRATCH = "unet_width24"
STRIDES = (32, 16, 8, 4)

ABOUT = (
    "A stroke labels the cells of the feature maps under it. On these a 1x1 convolution is fitted (multinomial "
    "logistic regression, solved to the end), one a stride, and the scores are summed as in FCN. The backbone stays as "
    "it is: you see what it already knew. If cars come along with the road, one stroke of background on a car does "
    "more than another on a house. **Try** stride 32, then 8, then all; then random weights. Without a mouse: Tab "
    "to the photo; arrows, Space and Shift paint, 1 to 6 choose the class, 0 the eraser, Backspace takes a stroke "
    "back."
)


@dataclass(frozen=True)
class Choice:
    """The settings of a fit, checked."""

    backbone: str
    strides: tuple[int, ...]


def section(photo: gr.Image, network: gr.Radio) -> None:
    """Put the section into the tab that is being built."""
    second, truth = gr.Image(visible=False), gr.File(visible=False)
    with gr.Row(elem_id="teach-section"):
        board = gr.Column(scale=9, min_width=320)
        with gr.Column(scale=2, min_width=230, elem_id="teach-settings"):
            strides = gr.CheckboxGroup(list(STRIDES), value=[32, 16, 8], label="Strides", elem_id="teach-strides")
            backbone = gr.Radio(
                [(name, key) for key, name in BACKBONES.items()],
                value="compact",
                label="Backbone",
                elem_id="teach-backbone",
            )
            others = [("none", ""), *((Path(name).stem, name) for name in CREDITS)]
            other = gr.Dropdown(others, value="", label="Second photo", filterable=False, elem_id="teach-second")
            with gr.Row():
                margins = gr.Checkbox(label="Margin map", elem_id="teach-margin", container=False, min_width=60)
                crf = gr.Checkbox(label="CRF edges", elem_id="teach-crf", container=False, min_width=60)
            with gr.Row(elem_id="teach-files"):
                upload = gr.UploadButton(
                    "Upload a second photo", file_types=["image"], size="sm", min_width=100, elem_id="teach-second-file"
                )
                known = gr.UploadButton(
                    "Score against a label map",
                    file_types=[".png"],
                    size="sm",
                    min_width=100,
                    elem_id="teach-truth-file",
                )
                inputs = [photo, gr.Textbox(visible=False), strides, backbone, second, crf]
                for name, file, write in DOWNLOADS:
                    download_button(name, file, write, inputs, js=WITH_PAINTING)
        with board:
            brush_board([photo, second, strides, backbone, margins, truth, crf], show, COLOURS)
    gr.Markdown(ABOUT, elem_classes="about-section")

    last = {**AT_ONCE, "trigger_mode": "always_last"}
    instead = "name => { uploads.instead('teach-second-file'); return name; }"
    other.input(lambda name: _example(photo, name), [other], [second], js=instead, **last)
    in_browser: dict[str, Any] = {"fn": None, "api_visibility": "private"}
    upload.upload(inputs=[upload, second], outputs=[second], js=IN_TIME.format("teach-second-file"), **in_browser)
    known.upload(inputs=[known, truth], outputs=[truth], js=IN_TIME.format("teach-truth-file"), **in_browser)
    photo.change(outputs=[truth], js=WITHOUT_TRUTH.format("teach-truth-file"), **in_browser)


IN_TIME = "(file, before) => uploads.late('{}', file) ? before : file"
WITH_PAINTING = "(photo, painting, ...settings) => [photo, window.brushPainting(), ...settings]"


def _example(photo: gr.Image, name: Any) -> str | None:
    """An example as gradio keeps it, since the page may not be allowed to hand out the project's own files."""
    if name not in CREDITS:
        return None
    return photo.move_resource_to_block_cache(EXAMPLES / name)


def show(question: Any) -> Answer:
    """Return the photos to paint on and, if anything was painted, the layer fitted to it and what it makes of them.

    Raises:
        ValueError: with a sentence, for anything that the page would not ask.
        OSError: if a file cannot be read.
    """
    values, _ = computed.read(question, 8)
    upload, second, strides, backbone, margins, truth, crf, painting = values
    paths = [None if one is None else computed.photo_path(one) for one in (upload, second)]
    shown: Answer = {"photos": [None if path is None else _shown(path) for path in paths]}
    first, *_ = paths
    read = painting_of(painting)
    if first is None or not read.strokes or not read.runs.keys() & set(paths):
        return shown
    choice = checked(strides, backbone)
    return shown | answer([path for path in paths if path], read, choice, bool(margins), truth, crf is True)


def _shown(path: str) -> dict[str, Any]:
    display = cache.display(path)
    file = photo_overlay.shown_file(path, display)
    return {"key": path, "file": file, "size": display.photo.size, "named": LABELLED.get(named({"path": path}))}


def checked(strides: Any, backbone: Any) -> Choice:
    """The settings as they arrive from the page, or from anyone else.

    Raises:
        ValueError: with a sentence, for one that cannot be.
    """
    if not isinstance(backbone, str) or backbone not in BACKBONES:
        raise ValueError(f"there is no backbone called {quoted(backbone)}; choose one of {', '.join(BACKBONES)}")
    if not isinstance(strides, list) or not all(stride in STRIDES and type(stride) is int for stride in strides):
        raise ValueError(f"the strides must be some of {', '.join(map(str, STRIDES))}")
    if not strides:
        raise ValueError("choose one stride at least: a layer needs features to score")
    if backbone == "scratch" and 32 in strides:  # it goes down to 16
        strides = [stride for stride in strides if stride != 32] or [16]
    return Choice(backbone, tuple(sorted(set(strides), reverse=True)))  # in whatever order they were ticked


_features: cache.LRUCache[Features] = cache.LRUCache(64 * 2**20, lambda features: features.nbytes)
"""Of random weights."""


def seen(path: str, backbone: str) -> Features:
    """What a backbone sees of the photo at ``path``; computed once."""
    if backbone == "random":
        return _features.get(path, lambda: cache.apart(cache.untrained().encode(cache.photo(path).image, COARSEST)))
    return cache.features(path, *((SCRATCH, None) if backbone == "scratch" else (COMPACT, COARSEST)))


def taught(paths: Sequence[str], read: Painting, choice: Choice) -> TaughtSegmenter:
    """The layer that the strokes on the photos at ``paths`` teach."""
    base = cache.untrained() if choice.backbone == "random" else cache.segmenter(_model(choice))
    painted = []
    for path in paths:
        features = replace(seen(path, choice.backbone), photo_size=cache.display(path).photo.size)
        painted.append((features, read.on(path, features.photo_size)))
        timeouts.check()
    return fit_head(base, painted, ClassList(read.classes, RGB[: len(read.classes)], background=0), choice.strides)


def _model(choice: Choice) -> str:
    return SCRATCH if choice.backbone == "scratch" else COMPACT


def answer(
    paths: Sequence[str], read: Painting, choice: Choice, margins: bool, truth: Upload, crf: bool = False
) -> Answer:
    """What the browser draws after a fit."""
    layer = taught(paths, read, choice)
    results = [_decoded(layer, path, choice, crf, cache.display(path).photo) for path in paths]
    labels = results[0].labels
    score = _score(truth, paths[0], labels, read.classes)
    return {
        "strokes": read.strokes,
        "settings": f"{choice} {read.classes} {truth and truth['path']} {crf}",
        "masks": [markup.data_url(label_picture(result.labels, mask=True), "PNG") for result in results],
        "flat": markup.data_url(
            _margins(layer, paths[0], choice) if margins else label_picture(labels, mask=False), "PNG"
        ),
        "shows": "Margin: bright is undecided" if margins else "Label map",
        "facts": facts(layer, results[0].shares, choice, read.strokes),
        "score": score.value,
        "measure": score.measure,
        "problem": score.problem,
    }


def _decoded(layer: TaughtSegmenter, path: str, choice: Choice, crf: bool, photo: Image.Image) -> Segmentation:
    """What a layer makes of the photo at ``path``, at the size of ``photo``, with the CRF or without."""
    return layer.decode(seen(path, choice.backbone), size=photo.size, crf=crf, photo=photo)


def label_picture(labels: Labels, mask: bool) -> Image.Image:
    """A label map in the brushes' colours; as a mask, without the first class, to lie over the photo."""
    image = Image.fromarray(labels)
    image.putpalette([value for colour in RGB for value in colour])
    if mask:
        image.info["transparency"] = 0
    return image


def _margins(layer: TaughtSegmenter, path: str, choice: Choice) -> Image.Image:
    features = seen(path, choice.backbone)
    width, height = features.working_size
    ahead = margin(probabilities(layer.logits(features), (height, width), features.aligned_size)).numpy(force=True)
    return map_image(ahead, 1, "inferno_r")


@dataclass(frozen=True)
class Score:
    """How far a layer has come, or why that cannot be said; without a label map neither."""

    value: float | None = None
    measure: str = "mIoU"
    problem: str = ""


def _score(truth: Upload, path: str, labels: Labels, classes: Sequence[str]) -> Score:
    """The mean IoU over the classes of an uploaded label map; else that of the one class of an example's own."""
    if truth is None:
        return _own_score(path, labels, classes)
    known = read_truth(truth, cache.display(path).size, (labels.shape[1], labels.shape[0]), len(classes))
    if known.labels is None:
        return Score(problem=known.problem)
    return Score(Scores(confusion_matrix(known.labels, labels, len(classes))).miou())


def _own_score(path: str, labels: Labels, classes: Sequence[str]) -> Score:
    """The IoU of the class of which an example has a label map, if one of ``classes`` is called so."""
    photo = {"path": path}
    name = named(photo)
    if name not in LABELLED or LABELLED[name] not in classes:
        return Score()
    found = (labels == classes.index(LABELLED[name])).astype(np.uint8)
    truth = np.asarray(Image.open(label_map_of(name)).resize(found.shape[::-1], Image.Resampling.NEAREST))
    return Score(Scores(confusion_matrix(truth, found, 2)).iou[1], f"IoU of {LABELLED[name]}")


def facts(layer: TaughtSegmenter, shares: dict[str, float], choice: Choice, strokes: int) -> str:
    """The numbers of a fit, as words."""
    painted = [name for name, count in layer.fit.cells.items() if count]
    return render(
        "lab/teach.html", fit=layer.fit, shares=shares, strides=choice.strides, strokes=strokes, painted=painted
    )


def write_labels(
    path: str, file: Path, text: Any, strides: Any, backbone: Any, second: Upload, crf: Any = False
) -> None:
    """The label map at the photo's own size: a palette PNG whose values are the classes in their order."""
    choice = checked(strides, backbone)
    layer = taught(_paths(path, second), _painted(text), choice)
    result = _decoded(layer, path, choice, crf is True, cache.photo(path).image)
    label_picture(result.labels, mask=False).save(file)


def write_layer(
    path: str, file: Path, text: Any, strides: Any, backbone: Any, second: Upload, crf: Any = False
) -> None:
    """The layer, as a file that ``segmodels.load`` opens. The CRF is no part of it."""
    taught(_paths(path, second), _painted(text), checked(strides, backbone)).save(file)


def _paths(first: str, second: Upload) -> list[str]:
    return [first] if second is None else [first, second["path"]]


def _painted(text: Any) -> Painting:
    read = painting_of(text) if text else None
    if read is None or not read.strokes:
        raise ValueError("nothing was painted yet: paint a little of each class first")
    return read


DOWNLOADS = (
    ("My label map (PNG)", "taught_labels.png", write_labels),
    ("My layer (safetensors)", "taught.safetensors", write_layer),
)

assert len(COLOURS) == CLASSES[1]
