"""Frames of a camera, segmented as they come, after those who wait for a photo.

A frame arrives as text in a request, is decoded in memory, answered and forgotten: it never becomes a file, and never
reaches what is cached for other visitors. It waits a second for the queue to be empty, and then takes its turn in it.
"""

import asyncio
import base64
import binascii
import io
import time
from collections.abc import Callable, Coroutine
from typing import Any

from PIL import Image

from segmodels import Segmentation
from segmodels.inference.instances import has_instances
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


def frames(queue: InferenceQueue) -> Callable[[Any], Coroutine[Any, Any, Answer]]:
    """Return what answers the frames of a page's visitors, one at a time; the questions in ``queue`` go first."""
    turn = asyncio.Semaphore(1)
    waiting = 0

    async def frame(request: Any) -> Answer:
        """Return the answer to ``{"frame": base64 of a JPEG, "model": ..., "rate": ..., "stride": ..., "crf": true}``, or ``LATE``."""
        nonlocal waiting
        if waiting >= MOST_WAITING:
            return LATE
        waiting += 1
        try:
            async with turn:
                await _let_photos_go_first(queue)
                async with queue.slot():
                    return await in_thread(_answer, request, lambda: True)
        finally:
            waiting -= 1

    return frame


async def _let_photos_go_first(queue: InferenceQueue) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while queue.busy and time.monotonic() < until:
        await asyncio.sleep(0.01)


def _answer(request: Any) -> Answer:
    result = _segmented(request)
    crf, total = result.milliseconds.get("crf"), result.milliseconds["total"]
    times = {"milliseconds": round(total - (crf or 0)), "crf": crf and round(crf)}
    return drawn(result) | times


def _segmented(request: Any) -> Segmentation:
    if not isinstance(request, dict):
        raise ValueError("this is no frame of a camera")
    image = read_frame(request.get("frame"))
    card = registry.card(str(request.get("model")))
    settings = applicable_settings(card, request.get("rate"), request.get("stride"))
    stride = settings.output_stride if card.chooses_stride else None
    segmenter = cache.segmenter(card.name)
    crf = request.get("crf") is True and not has_instances(card.class_list)
    features = segmenter.encode(image, stride, max(*image.size, 64))
    return segmenter.decode(features, settings.atrous_rate, crf=crf, photo=image)


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
