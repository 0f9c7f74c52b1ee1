"""What the page relies on in gradio: it is there, and what is missing is said at start."""

import re
from pathlib import Path

import gradio as gr
import pytest
from gradio import helpers, processing_utils
from gradio.context import Context
from gradio.state_holder import SessionState

from demo.server import gradio_check
from demo.server.checked_blocks import Mailboxes

PAGE = Path(gradio_check.__file__).parents[1]


def test_the_page_s_queue_has_our_mailboxes(blocks: gr.Blocks) -> None:
    assert isinstance(blocks._queue.pending_messages_per_session, Mailboxes)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (processing_utils, "hash_file"),  # links
        (helpers, "special_args"),  # questions of the lessons and the Lab, frames of the camera
        (Context, "root_block"),
        (SessionState, "_update_config"),
    ],
)
def test_a_name_that_is_gone_is_said(owner: object, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gradio_check.check_names()
    monkeypatch.delattr(owner, name)
    with pytest.raises(RuntimeError, match=rf"gradio {gr.__version__} is not the one .* it has no \S*{name}\. Install"):
        gradio_check.check_names()


@pytest.mark.parametrize("method", ["preprocess_data", "process_api"])
def test_a_method_with_other_arguments_is_said(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(self: gr.Blocks, something: str) -> None: ...

    monkeypatch.setattr(gr.Blocks, method, renamed)
    with pytest.raises(RuntimeError, match=rf"it has no Blocks\.{method}\(block_fn\)"):
        gradio_check.check_names()


@pytest.mark.parametrize("name", gradio_check.FRONTEND_NAMES)
def test_a_name_that_gradio_s_scripts_and_styles_no_longer_have_is_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "all.css").write_text(" ".join(f".{other}" for other in gradio_check.FRONTEND_NAMES if other != name))
    (tmp_path / "other.js").write_text(f"'{name}-other'")
    monkeypatch.setattr(gradio_check, "FRONTEND", tmp_path)
    with pytest.raises(RuntimeError, match=rf"it has no {name}\. Install"):
        gradio_check.check_names()


def test_a_page_without_what_is_set_on_it_is_refused(blocks: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    gradio_check.check_page(blocks)
    monkeypatch.delattr(blocks._queue, "event_ids_to_events")
    with pytest.raises(RuntimeError, match=r"it has no Queue\.event_ids_to_events\. Install"):
        gradio_check.check_page(blocks)


def test_every_class_that_is_styled_is_the_page_s_own_or_looked_for() -> None:
    made = {
        "bin1",
        "stride8",
        "same-field",
        "flow-head",
        "skip-head",
    }  # of parts: their names stand nowhere in one piece
    files = [file for folder in (PAGE, PAGE.parent / "assets" / "page") for file in folder.rglob("*")]
    own = "\n".join(file.read_text() for file in files if file.suffix in (".py", ".js", ".html"))
    styled = "\n".join(re.sub(r"\{[^{}]*\}", "{}", file.read_text()) for file in files if file.suffix == ".css")
    names = set(re.findall(r"[.#]([a-zA-Z][\w-]*)", re.sub(r"/\*.*?\*/", "", styled, flags=re.DOTALL)))
    names = {name for name in names if not name.startswith("figure-")} - made
    others = {name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", own)}
    assert others <= set(gradio_check.FRONTEND_NAMES)
