"""What the page relies on in gradio beyond what gradio promises. It is looked for at start, and each missing thing is said.

A method that is overridden here and never called would let strangers in without a word, and a control whose class has another
name would lose its look or its keyboard.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

INTERFACES: dict[str, tuple[str, ...]] = {
    # checked_blocks: files, errors, sessions
    "gradio.blocks:Blocks.preprocess_data": ("block_fn", "inputs", "state", "explicit_call"),
    "gradio.blocks:Blocks.process_api": ("block_fn", "inputs", "event_id"),
    "gradio.state_holder:SessionState.__init__": ("blocks",),
    "gradio.state_holder:SessionState._update_config": ("key",),
    "gradio.state_holder:SessionState._update_value_in_config": ("key", "value"),
    "gradio.state_holder:StateHolder.__getitem__": ("session_id",),
    "gradio.state_holder:StateHolder.set_blocks": ("blocks",),
    "gradio.queueing:Queue.send_message": ("event", "event_message"),
    # uploads
    "gradio.utils:get_upload_folder": (),
    "gradio.utils:is_in_or_equal": ("path_1", "path_2"),
    "gradio.processing_utils:save_file_to_cache": ("file_path", "cache_dir"),
    # the questions of the viewer, the Lab and the lessons, and the camera's frames
    "gradio.components.html:HTML.__init__": ("html_template", "js_on_load", "server_functions"),
    "gradio.helpers:special_args": ("fn", "inputs", "request"),
    "gradio.context:Context.root_block": (),
    # links: an example is known by the folder that gradio keeps it in
    "gradio.processing_utils:hash_file": ("file_path",),
    "gradio.blocks:Block.move_resource_to_block_cache": ("url_or_file_path",),
}
"""Modules and names in them, with the arguments that count."""

FRONTEND = Path(gr.__file__).parent / "templates" / "frontend"
FRONTEND_NAMES = (
    # classes that the style sheets are written for
    *("fillable", "gradio-container", "hide", "html-container", "icon-wrap", "max_value", "min_value", "minimal"),
    *("label-wrap", "progress-text", "prose", "reset-button", "slider_input_container", "tab-container", "tab-wrapper"),
    *("tabitem", "toast-wrap"),
    # what gradio_fixes.js mends: groups, places for files, what is read aloud
    *("block-info", "upload-container", "sr-only", "common.complete", "listbox"),
    # what scripts are handed and hand back: functions of the server, updates of the ways between lessons
    *("js_on_load", "html_template", "component_server", "__type__"),
)
"""What is looked for in the text of gradio's scripts and style sheets."""


def check_names() -> None:
    """Look whether gradio has all that the page relies on.

    Raises:
        RuntimeError: with a sentence that names what it has not, so that no page is served that is open where it should be
            closed, or half broken.
    """
    if missing := [*_missing_interfaces(), *_missing_frontend()]:
        _refuse(missing)


def check_page(page: gr.Blocks) -> None:
    """Look whether a page that was built has what is set on it; raises as ``check_names``."""
    queue, app = vars(page._queue), gr.routes.App()
    missing = [f"Queue.{name}" for name in ("event_ids_to_events", "pending_messages_per_session") if name not in queue]
    if not hasattr(app, "state_holder"):
        missing.append("App.state_holder")
    if missing:
        _refuse(missing)


def _refuse(missing: list[str]) -> None:
    """Raise the sentence about what is missing."""
    raise RuntimeError(
        f"gradio {gr.__version__} is not the one that this page is made for: it has no {', '.join(missing)}. "
        "Install the version in requirements.txt."
    )


def _missing_interfaces() -> Iterator[str]:
    for place, arguments in INTERFACES.items():
        module, _, names = place.partition(":")
        found: Any = importlib.import_module(module)
        try:
            for name in names.split("."):
                found = getattr(found, name)
        except AttributeError:
            yield f"{module}.{names}"
            continue
        there = inspect.signature(found).parameters if arguments else {}
        yield from (f"{names}({argument})" for argument in arguments if argument not in there)


def _missing_frontend() -> list[str]:
    """The names that stand in none of the files, the small style sheets first."""
    missing = list(FRONTEND_NAMES)
    for file in sorted(FRONTEND.rglob("*.[cj]s*"), key=lambda file: (file.suffix != ".css", file.name)):
        if not missing:
            break
        if file.suffix in (".css", ".js"):
            text = file.read_bytes()
            missing = [name for name in missing if not _has_word(text, name.encode())]
    return missing


def _has_word(text: bytes, word: bytes) -> bool:
    at = text.find(word)
    while at >= 0:
        around = text[max(at - 1, 0) : at] + text[at + len(word) : at + len(word) + 1]
        if not re.search(rb"[\w-]", around):
            return True
        at = text.find(word, at + 1)
    return False
