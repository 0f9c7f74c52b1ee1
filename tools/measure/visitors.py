"""Several visitors of the running app at once: photos, moves of the slider and frames of a camera a second, and what each
answer costs the app in processor time. A part of ``python -m tools.measure.app``.
"""

import base64
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gradio_client import Client, handle_file
from PIL import Image

from segmodels.benchmark.tables import Row, table
from segmodels.checkpoints.paths import EXAMPLES
from tools.stress.running import RunningApp
from tools.stress.visitor import Visitor

VISITORS = (1, 4, 16)
REQUESTS = 32
"""How many answers are asked for in all, however many visitors share them."""
LIVE_VISITORS = (1, 4)
LIVE_SECONDS = 8
LIVE_TARGETS = {1: 10, 4: 4}
"""Masks a second that each of so many visitors should see."""
LATE_SECONDS = 0.15
"""How long the page waits when a frame was turned away."""

New = Callable[[], Path]
"""Makes a photo that the app has not seen yet."""


def crowd(app: RunningApp, new: New, model: str) -> list[Row]:
    """Answers a second as visitors rise. Every photo is new and has 1 megapixel.

    By API through gradio's client, with an overlay; and as the page asks, through a client that costs next to nothing. The
    visitors have opened the page before the clock starts: reading what it offers costs a client more than a photo, and
    here the clients share the cores with the app.
    """
    return [
        *(_measured(app, "by API", _by_api(app.url, new, model, visitors)) for visitors in VISITORS),
        *(_measured(app, "on the page", _on_page(app.url, new, model, visitors)) for visitors in VISITORS),
        _measured(app, "on the page, rate moved", _moves(app.url, new, model)),
    ]


Visits = Sequence[Sequence[Callable[[], Any]]]
"""For each visitor, what they ask, one after the other."""


def _measured(app: RunningApp, what: str, visits: Visits) -> Row:
    waits: list[float] = []

    def visit(asks: Sequence[Callable[[], Any]]) -> None:
        for ask in asks:
            began = time.perf_counter()
            ask()
            waits.append(time.perf_counter() - began)

    with ThreadPoolExecutor(len(visits)) as pool:
        began, processor = time.perf_counter(), app.processor_seconds()
        list(pool.map(visit, visits))
        elapsed, processor = time.perf_counter() - began, app.processor_seconds() - processor
    return {
        "what": what,
        "visitors": len(visits),
        "answers_per_second": round(len(waits) / elapsed, 2),
        "median_seconds": round(statistics.median(waits), 2),
        "longest_seconds": round(max(waits), 2),
        "processor_ms": round(1000 * processor / len(waits)),
    }


def _by_api(url: str, new: New, model: str, visitors: int) -> Visits:
    def ask(client: Client, photo: Path) -> None:
        client.predict(image=handle_file(photo), model=model, api_name="/segment")

    folder = new().parent
    clients = [Client(url, verbose=False, download_files=tempfile.mkdtemp(dir=folder)) for _ in range(visitors)]
    return [[_later(ask, client, new()) for _ in range(REQUESTS // visitors)] for client in clients]


def _on_page(url: str, new: New, model: str, visitors: int) -> Visits:
    def ask(visitor: Visitor, photo: bytes) -> None:
        _answered(visitor.show(visitor.upload(photo), model))

    return [
        [_later(ask, visitor, new().read_bytes()) for _ in range(REQUESTS // visitors)]
        for visitor in _here(url, visitors)
    ]


def _moves(url: str, new: New, model: str) -> Visits:
    (visitor,) = _here(url, 1)
    photo = visitor.upload(new().read_bytes())

    def ask(rate: int) -> None:
        _answered(visitor.show(photo, model, rate))

    ask(6)
    return [[_later(ask, 1 + turn % 24) for turn in range(REQUESTS)]]


def _here(url: str, visitors: int) -> list[Visitor]:
    """So many who have opened the page."""
    everybody = [Visitor(url) for _ in range(visitors)]
    for visitor in everybody:
        visitor.show(None, "")
    return everybody


def _answered(answer: dict[str, Any]) -> None:
    if "labels" not in answer:
        raise RuntimeError(f"a question was answered with {answer}")


def _later(ask: Callable[..., Any], *what: Any) -> Callable[[], Any]:
    return lambda: ask(*what)


def live(app: RunningApp, model: str) -> list[Row]:
    """Masks a second of a camera's frames, for each visitor, and the processor time of one."""
    return [_live(app, model, visitors) for visitors in LIVE_VISITORS]


def _live(app: RunningApp, model: str, visitors: int) -> Row:
    everybody = _here(app.url, visitors)
    with ThreadPoolExecutor(visitors) as pool:
        until, processor = time.monotonic() + LIVE_SECONDS, app.processor_seconds()
        masks = list(pool.map(lambda visitor: _film(visitor, model, until), everybody))
        processor = app.processor_seconds() - processor
    return {
        "visitors": visitors,
        "masks_per_second": [round(count / LIVE_SECONDS, 1) for count in masks],
        "processor_ms": round(1000 * processor / max(sum(masks), 1)),
        "target": LIVE_TARGETS[visitors],
    }


def _film(visitor: Visitor, model: str, until: float) -> int:
    """Send one frame after the other, as ``camera.js`` does; how many masks came back."""
    buffer = io.BytesIO()
    Image.open(EXAMPLES / "rider.jpg").convert("RGB").resize((320, 212)).save(buffer, "JPEG", quality=80)
    frame = {"frame": base64.b64encode(buffer.getvalue()).decode(), "model": model, "rate": 6, "stride": 16}
    masks = 0
    while time.monotonic() < until:
        answer = visitor.serve("frame", frame)
        if answer.get("late"):
            time.sleep(LATE_SECONDS)
            continue
        _answered(answer)
        masks += 1
    return masks


def tables(report: Row) -> list[str]:
    """Both as tables of ``docs/performance.md``."""
    load = [
        (
            row["what"],
            f"{row['visitors']}",
            f"{row['answers_per_second']}",
            f"{row['median_seconds']} s",
            f"{row['longest_seconds']} s",
            f"{row['processor_ms']} ms",
        )
        for row in report["load"]
    ]
    masks = [
        (
            f"{row['visitors']}",
            " ".join(f"{rate:g}" for rate in row["masks_per_second"]),
            f"{row['target']}",
            f"{row['processor_ms']} ms",
        )
        for row in report["live"]
    ]
    return [
        table(
            "Load, 1-megapixel photos",
            ("", "visitors", "answers a second", "median wait", "longest wait", "the app's processor time an answer"),
            load,
        ),
        table(
            "The camera, live: frames of 320 pixels",
            ("visitors", "masks a second, each", "target", "the app's processor time a mask"),
            masks,
        ),
    ]
