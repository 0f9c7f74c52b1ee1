"""Frames of a camera, segmented as they come, by the rule that whoever waits for a photo goes first.

A frame arrives as text in a request, is decoded in memory, answered and forgotten: it never becomes a file, and never
reaches what is remembered for other visitors. It stands neither in line nor in the queue, since one that waits is soon too old.
"""

import asyncio
import base64
import binascii
import io
import time
from collections.abc import Callable, Coroutine
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from PIL import Image

from segmodels import Segmentation
from segmodels.models import registry

from ...server import cache
from ...server.inference_queue import Answer, InferenceQueue, in_thread
from ...server.settings import applicable_settings
from ..photo_overlay import drawn

FRAME_SIDES = (32, 480)
"""Of a frame, in pixels. Pages send 320."""
FRAME_BYTES = 200_000
MOST_WAITING = 8
"""Frames that may wait for their turn, of all visitors; whoever comes then sends a newer one later."""
PATIENCE_SECONDS = 1.0
"""How long a frame lets photos go first. After that it has its turn, so that a full queue does not end all live views."""
LATE: dict[str, Any] = {"late": True}


def frames(line: InferenceQueue) -> Callable[[Any], Coroutine[Any, Any, Answer]]:
    """What answers the frames of a page's visitors, one at a time, each a request of its own; those in ``line`` go first."""
    turn = asyncio.Semaphore(1)
    waiting = 0

    async def frame(request: Any) -> Answer:
        """The answer to ``{"frame": base64 of a JPEG, "model": ..., "rate": ..., "stride": ...}``, or ``LATE``."""
        nonlocal waiting
        if waiting >= MOST_WAITING:
            return LATE
        waiting += 1
        try:
            blocks = LocalContext.blocks.get(None)
            async with turn:
                await _let_photos_go_first(lambda: line.busy or _events_in_work(blocks))
                return await in_thread(_answer, request, lambda: True)
        finally:
            waiting -= 1

    return frame


def _events_in_work(blocks: gr.Blocks | None) -> bool:
    """Whether an event computes or waits for it."""
    queues = blocks._queue.event_queue_per_concurrency_id if blocks is not None else {}
    return "cpu" in queues and bool(queues["cpu"].queue or queues["cpu"].current_concurrency)


async def _let_photos_go_first(busy: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while busy() and time.monotonic() < until:
        await asyncio.sleep(0.01)


def _answer(request: Any) -> Answer:
    result = _segmented(request)
    return drawn(result) | {"milliseconds": round(result.milliseconds["total"])}


def _segmented(request: Any) -> Segmentation:
    if not isinstance(request, dict):
        raise ValueError("this is no frame of a camera")
    image = read_frame(request.get("frame"))
    card = registry.card(str(request.get("model")))
    settings = applicable_settings(card, request.get("rate"), request.get("stride"))
    stride = settings.output_stride if card.chooses_stride else None
    segmenter = cache.segmenter(card.name)
    return segmenter.decode(segmenter.encode(image, stride, max(*image.size, 64)), settings.atrous_rate)


def read_frame(text: Any) -> Image.Image:
    """A frame from base64.

    Raises:
        ValueError: unless it is a small JPEG.
    """
    if not isinstance(text, str) or len(text) > FRAME_BYTES * 4 // 3:
        raise ValueError("a frame must be a small JPEG, as base64")
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["JPEG"]) as image:
            small = all(FRAME_SIDES[0] <= side <= FRAME_SIDES[1] for side in image.size)
            frame = image.convert("RGB") if small else None
    except (binascii.Error, OSError, SyntaxError, Image.DecompressionBombError):
        raise ValueError("this frame is no JPEG that can be read") from None
    if frame is None:
        raise ValueError(f"a frame must be from {FRAME_SIDES[0]} to {FRAME_SIDES[1]} pixels wide and high")
    return frame
