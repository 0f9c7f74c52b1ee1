"""What is computed when it comes into view: a section of the Lab, a lesson.

Gradio makes a tab's components when the tab is first opened, and the event that it was opened comes before they are ready:
a short answer may then be there before them, and their sign of waiting would never go.
"""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

PRESS = """() => {
  window.toShow = true;
  window.watchShown ??= setInterval(() => {
    const seen = [...document.querySelectorAll('.shown')].find(button => button.parentElement.offsetParent);
    const settled = seen && seen === window.seenBefore;
    window.seenBefore = seen;
    if (!settled || (seen === window.pressed && !window.toShow)) return;
    [window.toShow, window.pressed] = [false, seen];
    seen.click();
  }, 80);
}"""
"""Presses the hidden button of what is in view once it has been there for a moment, however long a slow machine takes to make
it; and again after an event, once where several come together."""


def comes_into_view() -> Callable[..., Any]:
    """The event of the tab that is being built that it is in view: opened, or with another photo; see ``follow``."""
    event: Callable[..., Any] = gr.Button("Show", visible="hidden", elem_classes="shown").click
    return event


def follow(changes: Sequence[Any]) -> None:
    """Let what is in view know of the events after which it may be another view, or the same of another photo."""
    gr.on(changes, None, js=PRESS, api_visibility="private")
