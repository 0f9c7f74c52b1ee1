"""Options that gradio's events share."""

from typing import Any

COMPUTES_ID = "cpu"
COMPUTES: dict[str, Any] = {
    "concurrency_id": COMPUTES_ID,
    "concurrency_limit": 2,
    "preprocess": False,
    "api_visibility": "private",
}
"""For events that compute: files to download, and ``/segment``. Each takes a slot of ``server.inference_queue`` as well, which
it shares with the page's questions. Inputs arrive unprocessed, because ``segmodels.read_photo`` reads more formats than
gradio's image component, and explains what it cannot read.
"""
AT_ONCE: dict[str, Any] = {"preprocess": False, "queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""For events that cost nothing: they do not wait in gradio's queue."""
