"""The three pictures: input, segmented output, per-class overlays. The Input panel is where a photo is put, too."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from ...server.inference_queue import Answer, page_queue
from ...server.route_filter import MAX_UPLOAD
from . import camera

TEMPLATE = """<div class="panels drawn">
<div class="strip" role="group" aria-label="Your photos"><div class="photos"></div><small aria-live="polite"></small>
  <button type="button" class="way all">Download all</button></div>
<figure class="input"><figcaption>Input <small class="size"></small></figcaption>
  <button type="button" class="enlarge" aria-label="Input: full screen" title="Full screen"></button>
  <div class="picture" tabindex="0" role="group" aria-label="Input: + - 0 and arrows move all pictures"><div class="zoomed">
    <canvas role="img" aria-label="No photo yet"></canvas><video muted playsinline aria-label="The camera"></video></div>
    <div class="cursor"></div><p class="empty">Drop in a photo, or pick an example.</p></div>
  <div class="ways"><label class="way"><input type="file" multiple accept="image/*,video/*,.heic,.heif">Open</label>
    <button type="button" class="way paste">Paste</button><button type="button" class="way camera">Camera</button>
    <button type="button" class="way pause">Pause</button>
    <input type="range" class="scrub" min="0" max="1" step="any" value="0" aria-label="Place in the video">
    <button type="button" class="way snap">Take this photo</button><button type="button" class="way stop">Stop</button>
    <span role="status"></span><span class="live"></span></div></figure>
<figure class="segmented"><figcaption>Segmented output</figcaption>
  <button type="button" class="enlarge" aria-label="Segmented output: full screen" title="Full screen"></button>
  <div class="picture" tabindex="0" role="group" aria-label="Segmented output: + - 0 and arrows move all pictures"><div class="zoomed">
    <canvas role="img" aria-label="Segmented output: none yet"></canvas></div>
    <div class="before"></div><div class="cursor"></div>
    <input type="range" class="swipe" min="0" max="100" step="0.5" value="0" aria-label="Photo left of the line, output right of it">
    <p class="waiting" role="status"></p></div>
  <ul class="legend" aria-label="Legend" translate="no"></ul></figure>
<figure class="overlays"><figcaption>Per-class overlays</figcaption>
  <button type="button" class="enlarge all" aria-label="All three: full screen" title="All three: full screen"></button>
  <button type="button" class="enlarge" aria-label="Per-class overlays: full screen" title="Full screen"></button>
  <div class="picture" tabindex="0" role="group" aria-label="Per-class overlays: + - 0 and arrows move all pictures"><div class="zoomed">
    <canvas role="img" aria-label="Overlays: none yet"></canvas></div><div class="cursor"></div></div>
  <fieldset class="choices" hidden><legend>Show</legend></fieldset>
  <p class="hint nothing" hidden></p></figure>
<p class="problem" role="alert"></p>
<p class="found" role="status"></p>
<div class="under-pointer" translate="no" hidden></div></div>"""


ON_LOAD = """
const drawn = drawing.result(element);
questions.begin(element, server, drawn, trigger);  // 'select', once a visitor has chosen other settings
zoom(element, server, drawn);
photos.panel(element, camera(element, server, drawn, photos.take));
"""

DROP = """<p class="here">Drop photos anywhere</p><p role="status"></p>"""


def viewer(answer: Callable[[Any], Answer]) -> gr.HTML:
    """The pictures, empty. They put questions, see ``questions.js``, to ``answer``."""
    queue = page_queue()
    return gr.HTML(
        None,
        html_template=TEMPLATE,
        js_on_load=ON_LOAD,
        elem_id="pictures",
        server_functions=[*queue.functions(answer), camera.frames(queue)],
    )


def drop_zone() -> gr.HTML:
    """The whole page as a place for photos, whichever tab is open; ``upload`` says that one was chosen."""
    return gr.HTML(
        None,
        html_template=DROP,
        js_on_load=f"photos.begin(element, trigger, upload, {MAX_UPLOAD}); // 'upload'",
        elem_id="drop-zone",
    )
