"""gradio's private interfaces that the page relies on."""

import gradio as gr
import pytest

from demo import build
from demo.server import checked_blocks
from demo.server.checked_blocks import Mailboxes


def test_the_page_s_queue_has_our_mailboxes(blocks: gr.Blocks) -> None:
    assert isinstance(blocks._queue.pending_messages_per_session, Mailboxes)


@pytest.mark.parametrize("method", ["preprocess_data", "process_api"])
def test_a_gradio_that_calls_it_otherwise_is_not_served_with(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(self: gr.Blocks, something: str) -> None: ...

    interfaces = {
        renamed if key is getattr(gr.Blocks, method) else key: names
        for key, names in checked_blocks.PRIVATE_INTERFACES.items()
    }
    monkeypatch.setattr(checked_blocks, "PRIVATE_INTERFACES", interfaces)
    with pytest.raises(RuntimeError, match=rf"{gr.__version__} is not the one .*renamed\(block_fn\)"):
        build()
