"""Options that many events share."""

from typing import Any

COMPUTES: dict[str, Any] = {
    "concurrency_id": "cpu",
    "concurrency_limit": 2,
    "preprocess": False,
    "api_visibility": "private",
}
"""For what computes. Such events share two places in gradio's queue; the Segment tab's questions have two of their own.
Inputs come unprocessed, because ``segmodels.read_photo`` decodes more than the image component and explains what it cannot,
and because a wrong setting should be answered with a sentence.
"""
AT_ONCE: dict[str, Any] = {"preprocess": False, "queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""For what costs nothing: past the queue."""
BESIDE: dict[str, Any] = {"trigger_mode": "multiple"}
"""For what follows the same event as another function does. One that is ``always_last`` and was busy makes gradio's page send
the whole event once more afterwards, to all that follow it: two of these find each other busy and go on for ever."""
NOW = "() => String(performance.now())"
"""The browser's answer to an event for a hidden text whose change is another event: an ``always_last`` of its own."""
