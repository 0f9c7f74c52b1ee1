"""The lessons: a guided walk, nine steps through the papers of the article and six beyond it, one file a lesson.

A lesson is a value that says what it is made of; this file puts it on the page. ``docs/lessons.md`` says how to add one.
"""

import json
from functools import partial
from typing import Any, Literal

import gradio as gr

from ..components import computed
from ..components.figures import unbroken
from ..components.templates import render
from ..events import AT_ONCE
from . import (
    any_size,
    aspp,
    atrous,
    crf,
    from_scratch,
    geometry,
    pyramid_pooling,
    resampling,
    separable,
    skips,
    thirty_pictures,
    tiles,
    touching_cells,
    train_one,
    unet_path,
)
from .glossary import TERMS, terms_in
from .lesson import Control, Lesson, OtherTab, See
from .papers import PAPERS

LESSONS: tuple[Lesson, ...] = (
    any_size.LESSON,
    resampling.LESSON,
    skips.LESSON,
    unet_path.LESSON,
    pyramid_pooling.LESSON,
    atrous.LESSON,
    aspp.LESSON,
    separable.LESSON,
    crf.LESSON,
    from_scratch.LESSON,
    geometry.LESSON,
    train_one.LESSON,
    touching_cells.LESSON,
    thirty_pictures.LESSON,
    tiles.LESSON,
)
"""In the order of the walk."""

TAB_NAMES: dict[OtherTab, str] = {"lab": "Lab", "anatomy": "Anatomy"}


POINT = """
element.addEventListener('click', event => {
  const pointed = event.target.closest('.pointed');
  if (!pointed) return;
  const box = pointed.querySelector('.picture, image').getBoundingClientRect();
  const [left, top, right, bottom] = pointed.dataset.part.split(' ').map(Number);
  const percent = (share, first, last) => Math.round(100 * Math.min(Math.max(first + share * (last - first), 0), 1));
  element.dataset.across = percent((event.clientX - box.left) / box.width, left, right);
  element.dataset.down = percent((event.clientY - box.top) / box.height, top, bottom);
  trigger('select');
});
"""
POINTED_AT = """() => {{
  const {{across, down}} = document.querySelector('#{0}[data-across], #{0} [data-across]').dataset;
  return [Number(across), Number(down)];
}}"""
"""A click moves the sliders, and those do the rest."""

CHECK = """
element.addEventListener('change', event => {
  const right = event.target.value === 'right';
  element.querySelector('[role=status]').textContent = right ? 'Right.' : 'No. Try it in the figure.';
});
"""
"""Says whether the choice is right."""


class Ways:
    """The ways between the page's tabs: buttons that are made while the tabs are, and connected when all are there."""

    def __init__(self) -> None:
        self._made: list[tuple[gr.Button, str, Lesson | None, See | None]] = []

    def button(
        self,
        words: str,
        tab: str,
        lesson: Lesson | None = None,
        see: See | None = None,
        variant: Literal["primary", "secondary"] = "secondary",
    ) -> None:
        """A button that opens a tab, at a lesson or at what there is to see."""
        button = gr.Button(words, variant=variant, size="sm", min_width=120)
        self._made.append((button, tab, lesson, see))

    def to_lessons(self, tab: OtherTab) -> None:
        """A row of buttons, one a lesson that has its example in ``tab``."""
        with gr.Row(elem_classes="to-lessons"):
            gr.HTML('<p class="hint">The lessons behind this</p>', min_width=160)
            for place, lesson in enumerate(LESSONS):
                if lesson.see.tab == tab:
                    self.button(f"{place + 1} {lesson.name}", "lessons", lesson)

    def connect(self, tabs: gr.Tabs, walk: gr.Tabs, sections: gr.Tabs, model: gr.Dropdown) -> None:
        """Let all buttons work. The browser does it by itself."""
        for button, tab, lesson, see in self._made:
            targets: list[tuple[gr.Tabs | gr.Dropdown, dict[str, Any]]] = [(tabs, {"selected": tab})]
            if lesson is not None:
                targets.append((walk, {"selected": lesson.slug}))
            if see is not None and see.section is not None:
                targets.append((sections, {"selected": see.section}))
            if see is not None and see.model is not None:
                targets.append((model, {"value": see.model}))
            updates = json.dumps([{"__type__": "update", **update} for _, update in targets])
            go = f"() => {{ window.scrollTo(0, 0); return {updates}; }}"
            button.click(None, None, [target for target, _ in targets], js=go, api_visibility="private")


def lessons_tab(photo: gr.Image, ways: Ways) -> gr.Tabs:
    """Put all lessons into the tab that is being built; nothing is computed before one is opened.

    ``photo`` is the Segment tab's: there is one photo on the page. Returns the tabs of the walk.
    """
    gr.HTML(render("lessons/projector.html"), elem_id="projector", js_on_load="projector.begin(element)")
    with gr.Tabs(overflow_behavior="wrap", elem_id="walk") as walk:
        for place, lesson in enumerate(LESSONS):
            with gr.Tab(f"{place + 1} {lesson.name}", id=lesson.slug, elem_id=f"lesson-{place + 1}") as step:
                controls = _lay_out(place, lesson, photo, ways)
            if lesson.last_most is not None:
                *others, last = controls
                bound = partial(_bounded, lesson)
                gr.on(
                    [step.select, *(other.change for other in others)],
                    bound,
                    controls,
                    [last],
                    trigger_mode="always_last",
                    **AT_ONCE,
                )
        with gr.Tab("Glossary", id="glossary"):
            gr.HTML(render("lessons/glossary.html", terms=TERMS))
    return walk


def _again(words: str, control: Control) -> None:
    """A button that moves a slider one step on, and from its end to its start."""
    assert isinstance(control, gr.Slider)
    step = f"value => value < {control.maximum} ? value + 1 : {control.minimum}"
    gr.Button(words, size="sm", min_width=110).click(None, [control], [control], js=step, api_visibility="private")


def _lay_out(place: int, lesson: Lesson, photo: gr.Image, ways: Ways) -> list[Control]:
    """Words on the left, controls and figure on the right, the ways on below."""
    with gr.Row(elem_classes="lesson"):
        with gr.Column(scale=4, min_width=300):
            aim = f"<small>{lesson.minutes} minutes. {lesson.aim}</small>"
            gr.Markdown(unbroken(f"## {lesson.title}\n{aim}\n{lesson.text}"))
            gr.HTML(render("lessons/check.html", lesson=lesson), js_on_load=CHECK)
            with gr.Accordion("Answer", open=False):
                gr.Markdown(unbroken(lesson.answer))
            gr.HTML(render("lessons/more.html", lesson=lesson, terms=terms_in(lesson), papers=PAPERS))
        with gr.Column(scale=8, min_width=300, elem_classes="shown-beside"):
            with gr.Row(elem_classes="controls"):
                controls = lesson.controls()
                if lesson.again is not None:
                    _again(lesson.again, controls[-1])
            inputs: list[Any] = [photo, *controls] if lesson.on_photo else list(controls)
            elem_id, script = f"figure-{lesson.slug}", POINT if lesson.pointed else ""
            drawn = computed.computed(lesson.figure, inputs, elem_id, on_photo=lesson.on_photo, script=script)
            if lesson.pointed:
                drawn.select(None, None, controls[-2:], js=POINTED_AT.format(elem_id), api_visibility="private")
    with gr.Row():
        see = lesson.see
        ways.button(f"{see.words} ({TAB_NAMES[see.tab]})", see.tab, see=see)
        if lesson.on_photo:
            ways.button("Another photo (Segment)", "segment")
        if place > 0:
            back = LESSONS[place - 1]
            ways.button(f"Back: {back.name}", "lessons", back)
        if place + 1 < len(LESSONS):
            after = LESSONS[place + 1]
            ways.button(f"Next: {after.name}", "lessons", after, variant="primary")
    return controls


def _bounded(lesson: Lesson, *values: Any) -> Any:
    """The last control with its end where there is no more to step to."""
    assert lesson.last_most is not None
    *others, last = values
    most = lesson.last_most(*others)
    known = isinstance(last, int | float) and not isinstance(last, bool)
    # Gradio has no slider of one place: that one rests.
    return gr.update(maximum=max(most, 2), value=min(last, most) if known else most, interactive=most > 1)
