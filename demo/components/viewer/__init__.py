"""The three pictures: input, segmented output, per-class overlays. The Input panel is where a photo is put, too."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from ...server.inference_queue import Answer, page_queue
from . import camera

TEMPLATE = """<div class="panels drawn">
<figure class="input"><figcaption>Input <small class="size"></small></figcaption>
  <div class="picture"><canvas role="img" aria-label="No photo yet"></canvas><video muted playsinline aria-label="The camera"></video>
    <p class="empty">Drop in a photo, or pick an example.</p></div>
  <div class="ways"><label class="way"><input type="file" accept="image/*,.heic,.heif">Open</label>
    <button type="button" class="way paste">Paste</button><button type="button" class="way camera">Camera</button>
    <button type="button" class="way snap">Take this photo</button><button type="button" class="way stop">Stop</button>
    <span role="status"></span><span class="live"></span></div></figure>
<figure class="segmented"><figcaption>Segmented output</figcaption>
  <div class="picture"><canvas role="img" aria-label="Segmented output: none yet"></canvas>
    <p class="waiting" role="status"></p></div>
  <ul class="legend" aria-label="Legend" translate="no"></ul></figure>
<figure class="overlays"><figcaption>Per-class overlays</figcaption>
  <div class="picture"><canvas role="img" aria-label="Overlays: none yet"></canvas></div>
  <fieldset class="choices" hidden><legend>Show</legend></fieldset>
  <p class="hint nothing" hidden></p></figure>
<p class="problem" role="alert"></p>
<p class="found" role="status"></p>
<div class="under-pointer" translate="no" hidden></div></div>"""


ON_LOAD = """
const drawn = drawing.result(element);
questions.begin(element, server, drawn);
camera(element, server, drawn, photoInput(element, trigger, upload)); // 'upload'
"""


def viewer(answer: Callable[[Any], Answer]) -> gr.HTML:
    """The pictures, empty. They put questions, see ``questions.js``, to ``answer``; ``upload`` says that a photo was chosen."""
    queue = page_queue()
    return gr.HTML(
        None,
        html_template=TEMPLATE,
        js_on_load=ON_LOAD,
        elem_id="pictures",
        server_functions=[*queue.functions(answer), camera.frames(queue)],
    )
