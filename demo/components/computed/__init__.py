"""HTML that the server computes from controls while it is in view: how the Lab, the lessons and Anatomy ask.

``computed`` puts a place on the page. When it comes into view, and when one of its controls changes while it is, the browser
asks (``computed.js``), the question waits in ``server.inference_queue``, and the answer is drawn. gradio only reports the
controls' values.
"""

import inspect
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gradio as gr
from markupsafe import Markup

from ...server.inference_queue import MAX_BYTES, Answer, page_queue
from ...server.messages import NOT_A_QUESTION
from .. import markup

Compute = Callable[..., str | dict[str, Any]]
"""Returns HTML for the place itself, or ``{"html": {elem_id: HTML, ...}}`` for several places, ``""`` being its own. With
``"more": True`` the browser shows it and asks again, ``step`` one higher, if the function takes a keyword-only ``step``."""

TEMPLATE = '<div class="answer">{{value}}</div><p class="waiting" role="status"></p>'
MAX_STEPS = 8
RUNNING = '<div class="running"><button type="button">Train</button> <button type="button">Reset</button></div>'


def computed(
    compute: Compute,
    inputs: Sequence[gr.components.Component],
    elem_id: str,
    *,
    changes: Sequence[Any] | None = None,
    on_photo: bool = True,
    script: str = "",
) -> gr.HTML:
    """Put a place on the page that shows what ``compute`` makes of the values of ``inputs``.

    Args:
        compute: from the values as they arrive, from the page or from anyone else; a ValueError is shown to the visitor.
            With ``on_photo`` the first input is the photo, and ``compute`` gets its path.
        inputs: the controls.
        elem_id: the place's id on the page.
        changes: the gradio events after which to ask again; by default the change of each input.
        on_photo: whether the first input is the photo. Without a photo the place says so.
        script: JavaScript that runs once, with ``element`` and ``place`` (what holds the HTML). ``place`` gets an event
            ``answered`` after each answer.
    """
    begin = f"const place = computed.begin(element, server, trigger, {json.dumps(elem_id)}); // 'shown'\n"
    return place_on_page(
        partial(answer, with_step(compute), len(inputs), on_photo),
        inputs,
        elem_id,
        html_template=TEMPLATE.replace("{{value}}", markup.EMPTY if on_photo else ""),
        js_on_load=begin + script,
        changes=[one.change for one in inputs] if changes is None else changes,  # type: ignore[attr-defined]
    )


def running(compute: Compute, inputs: Sequence[gr.components.Component], elem_id: str) -> gr.HTML:
    """Put a place on the page that goes on by itself between two buttons: Train, which is Pause then, and Reset.

    ``compute`` gets the photo's path, the other inputs' values, and ``{"run": ..., "on": ...}``: the run's name, 32 hexadecimal
    digits from the browser, and whether it goes on. Its answer says ``"done": True`` when there is no more to come.
    """
    return place_on_page(
        partial(answer, with_step(compute), len(inputs) + 1, True),
        inputs,
        elem_id,
        html_template=RUNNING + TEMPLATE.replace("{{value}}", markup.EMPTY),
        js_on_load=f"running(element, server, trigger, {json.dumps(elem_id)}); // 'shown'\n",
        changes=[one.change for one in inputs],  # type: ignore[attr-defined]
    )


def place_on_page(
    answer: Callable[[Any], Answer],
    inputs: Sequence[gr.components.Component],
    elem_id: str,
    *,
    html_template: str,
    js_on_load: str,
    changes: Sequence[Any],
    max_bytes: int = MAX_BYTES,
) -> gr.HTML:
    """Put a component on the page that asks ``answer`` when it comes into view and after ``changes``."""
    place = gr.HTML(
        None,
        html_template=html_template,
        js_on_load=js_on_load,
        elem_id=elem_id,
        server_functions=page_queue().functions(answer, max_bytes),
    )
    tell = f"(...values) => {{ computed.choose({json.dumps(elem_id)}, values); }}"
    place.shown(None, list(inputs), None, js=tell, api_visibility="private")
    gr.on(list(changes), None, list(inputs), js=tell, api_visibility="private")
    return place


def with_step(compute: Compute) -> Compute:
    """Return ``compute`` itself if it takes a keyword-only ``step``, else one that takes it and leaves it out."""
    parameter = inspect.signature(compute).parameters.get("step")
    if parameter is not None and parameter.kind is parameter.KEYWORD_ONLY:
        return compute
    return lambda *values, step: compute(*values)


def target(elem_id: str) -> gr.HTML:
    """Put an element on the page that an answer fills by its id."""
    return gr.HTML(Markup('<div id="{}"></div>').format(elem_id))


def answer(compute: Compute, count: int, on_photo: bool, question: Any) -> Answer:
    """Return the answer of ``compute``, which takes a ``step``, to ``{"values": [...], "step": ...}``.

    Raises:
        ValueError: for anything that the page would not ask, and what ``compute`` raises.
    """
    values, step = read(question, count)
    if on_photo:
        if values[0] is None:
            return {"html": {"": markup.EMPTY}}
        values[0] = photo_path(values[0])
    found = compute(*values, step=step)
    return {"html": {"": found}} if isinstance(found, str) else found


def read(question: Any, count: int) -> tuple[list[Any], int]:
    """Return the values and the step of a question; raises ValueError unless it is one of the page's."""
    values, step = (question.get("values"), question.get("step")) if isinstance(question, dict) else (None, None)
    if not isinstance(values, list) or len(values) != count or type(step) is not int or not 0 <= step < MAX_STEPS:
        raise ValueError(NOT_A_QUESTION)
    return list(values), step


def photo_path(value: Any) -> str:
    """Return the path of a photo as the page names it; raises ValueError for anything else."""
    if not isinstance(value, dict) or not isinstance(value.get("path"), str):
        raise ValueError(NOT_A_QUESTION)
    return str(value["path"])
