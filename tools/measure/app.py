"""How long the running app takes: ``python -m tools.measure.app``. From click to picture, to start, under load.

Beside ``python -m segmodels bench`` because this needs the page and, for one row, Chromium.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

import segmodels
from segmodels.benchmark.tables import Row, table
from segmodels.checkpoints.paths import EXAMPLES
from segmodels.inference.pictures import label_image, overlay
from tools.stress.running import RunningApp
from tools.stress.visitor import Visitor

from . import visitors as bench_visitors

MODEL = "deeplabv3plus_mobilenetv2"
MEGAPIXELS = (1, 12)
DRAWN = "#pictures [data-drawn]"
"""Where the page counts the answers that it has drawn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    report = bench_app()
    print(json.dumps(report) if arguments.json else markdown(report))


def bench_app() -> Row:
    """All measurements."""
    with tempfile.TemporaryDirectory() as folder:
        photos = Photos(Path(folder))
        started = start()
        with RunningApp() as app:
            return {
                "click": click(app.url, photos),
                "move": move(app.url, photos),
                "start": started,
                "load": bench_visitors.crowd(app, lambda: photos.new(1), MODEL),
                "live": bench_visitors.live(app, MODEL),
            }


class Photos:
    """JPEG files that the app has not seen yet: each differs from the others in a corner, so nothing is remembered."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made, self._lock = folder, 0, threading.Lock()

    def new(self, megapixels: float) -> Path:
        """Another photo of that size, 4:3."""
        with self._lock:
            self._made += 1
            number = self._made
        width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
        photo = Image.open(EXAMPLES / "cat.jpg").convert("RGB").resize((width, width * 3 // 4))
        photo.paste((37 * number % 256, 91 * number % 256, 59 * number % 256), (0, 0, width // 16, width // 16))
        file = self._folder / f"{number}.jpg"
        photo.save(file, quality=90)
        return file


def start(turns: int = 3) -> Row:
    """``python app.py`` to its first answer, beside importing what it stands on (target: at most 1.3 times)."""

    def imports() -> None:
        subprocess.run([sys.executable, "-c", "import torch, torchvision, gradio"], check=True)

    def ours() -> None:
        with RunningApp():
            pass

    ours()
    pairs = [(seconds(ours), seconds(imports)) for _ in range(turns)]
    first, second = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {
        "app_seconds": round(first, 2),
        "imports_seconds": round(second, 2),
        "times": round(first / second, 2),
        "target": 1.3,
    }


def click(url: str, photos: Photos, turns: int = 5) -> list[Row]:
    """From sending a photo to having its pictures, by API, and in Chromium from choosing a file to seeing them.

    By API on one connection: gradio's client reads all certificates of the machine for each of its five requests, some
    30 ms of processor time each.
    """
    visitor = Visitor(url)
    event = visitor.event("segment")

    def ask(file: Path) -> None:
        labels, drawn, _ = visitor.ask(event, [visitor.upload(file.read_bytes()), MODEL, None, None, None])
        visitor.picture(labels)
        visitor.picture(drawn)

    ask(photos.new(0.1))  # loads the weights
    rows = []
    for megapixels in MEGAPIXELS:
        totals, parts = [], []
        for _ in range(turns):
            file = photos.new(megapixels)
            totals.append(1000 * seconds(partial(ask, file)))
            parts.append(split(photos.new(megapixels)))
        medians = {name: statistics.median(part[name] for part in parts) for name in parts[0]}
        total = statistics.median(totals)
        medians["transfer and queue"] = total - sum(medians.values())
        rows.append(
            {
                "megapixels": megapixels,
                "api": round(total),
                "chromium": chromium(url, photos, megapixels),
                "parts": {name: round(value, 1) for name, value in medians.items()},
            }
        )
    return rows


_segmenter: list[segmodels.Segmenter] = []


def split(file: Path) -> dict[str, float]:
    """What the app does with a photo, step by step in this process: milliseconds."""
    if not _segmenter:
        _segmenter.append(segmodels.load(MODEL))
        split(file)
    segmenter = _segmenter[0]
    parts: dict[str, float] = {}
    clock = Stopwatch(parts)
    photo = segmodels.read_photo(file).image
    clock.lap("decode photo")
    features = segmenter.encode(photo)
    clock.lap("encode")
    result = segmenter.decode(features)
    clock.lap("decode")
    parts["resize"] = result.milliseconds["resize"]
    parts["decode"] -= parts["resize"]
    labels, drawn = label_image(result.labels), overlay(photo, result.labels)
    clock.lap("draw")
    labels.save(file.with_suffix(".png"))
    drawn.save(file.with_suffix(".jpeg"), quality=90)
    clock.lap("encode files")
    return parts


class Stopwatch:
    """Puts the milliseconds since the lap before under a name."""

    def __init__(self, parts: dict[str, float]) -> None:
        self._parts, self._last = parts, time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._parts[name] = 1000 * (now - self._last)
        self._last = now


@contextlib.contextmanager
def opened(url: str, width: int, height: int) -> Iterator[Any]:
    """The page in Chromium, its first pictures drawn; None without Chromium."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=executable, args=options)
        view = browser.new_page(viewport={"width": width, "height": height})
        view.goto(url)
        view.wait_for_selector(DRAWN)
        yield view
        browser.close()


def chromium(url: str, photos: Photos, megapixels: float) -> int | None:
    """Milliseconds from choosing a file to its label map on the page, the median of three; None without Chromium."""
    times = []
    with opened(url, 1400, 1000) as view:
        if view is None:
            return None
        for _ in range(3):
            file = photos.new(megapixels)
            before = view.locator(DRAWN).get_attribute("data-drawn")
            chooser = view.locator("#pictures input[type=file]")
            began = time.perf_counter()
            chooser.set_input_files(file)
            view.wait_for_function(
                "([drawn, before]) => document.querySelector(drawn).dataset.drawn !== before",
                arg=[DRAWN, before],
                timeout=120_000,
            )
            times.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(times))


MOVE = """rate => new Promise(resolve => {
  const began = performance.now();
  const drawn = () => requestAnimationFrame(() => resolve(performance.now() - began));
  document.querySelector('#pictures [data-drawn]').addEventListener('drawn', drawn, {once: true});
  const slider = document.querySelector('#rate input[type=range]');
  slider.value = rate;
  slider.dispatchEvent(new Event('input', {bubbles: true}));
})"""


def move(url: str, photos: Photos, turns: int = 15) -> Row | None:
    """The slider moved in Chromium, on a 1-megapixel photo: milliseconds to the new mask, and bytes that came for it."""
    sizes: list[int] = []
    with opened(url, 1280, 720) as view:
        if view is None:
            return None
        view.locator("#pictures input[type=file]").set_input_files(photos.new(1))
        view.wait_for_timeout(3000)
        view.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
        times = [view.evaluate(MOVE, 1 + turn) for turn in range(turns)]
        view.wait_for_timeout(500)
    return {
        "median_ms": round(statistics.median(times)),
        "longest_ms": round(max(times)),
        "kilobytes": round(sum(sizes) / turns / 1000, 1),
    }


def seconds(run: Callable[[], Any]) -> float:
    """How long ``run`` takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def markdown(report: Row) -> str:
    """The tables of ``docs/performance.md``."""
    names = list(report["click"][0]["parts"])
    clicks = [
        (
            f"{row['megapixels']}",
            f"{row['api']}",
            f"{row['chromium'] or '-'}",
            *(f"{row['parts'][name]:.0f}" for name in names),
        )
        for row in report["click"]
    ]
    moved, started = report["move"], report["start"]
    move = [(f"{moved['median_ms']} ms", f"{moved['longest_ms']} ms", f"{moved['kilobytes']} kB")] if moved else []
    start = (f"{started['app_seconds']} s", f"{started['imports_seconds']} s", f"{started['times']}", "1.3")
    parts = [
        table("From click to picture (milliseconds)", ("megapixels", "by API", "in Chromium", *names), clicks),
        table(
            "The atrous rate moved, 1-megapixel photo, in Chromium", ("median", "longest", "came over the wire"), move
        ),
        table(
            "Start",
            ("`python app.py` to first answer", "`import torch, torchvision, gradio`", "times", "target"),
            [start],
        ),
        *bench_visitors.tables(report),
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
