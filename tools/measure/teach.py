"""How long teaching takes: ``python -m tools.measure.teach [--browser]``. Prints a table in Markdown.

For each number of classes and choice of strides: the fit itself, and all that the server does between a stroke and its
answer (strokes read, drawn and fitted, label map made and encoded), wall clock and processor time. With ``--browser``, the
time from the brush's lifting to the new label map on the screen, in Chromium.
"""

import argparse
import itertools
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from playwright.sync_api import Page, sync_playwright

from demo import build, launch_options
from demo.lab import teach
from demo.server import cache
from segmodels.benchmark.tables import table
from segmodels.checkpoints.paths import EXAMPLES
from segmodels.teaching.strokes import UNPAINTED

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TURNS = 7
STROKES = 12
"""On the photo, spread over it, dealt out to the classes in turn."""
PHOTO = EXAMPLES / "astronaut.jpg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", action="store_true", help="also from the brush to the screen, in Chromium")
    arguments = parser.parse_args()
    print(
        table("Teaching, medians", ("classes", "strides", "fit", "server, wall", "server, processor"), list(server()))
    )
    if arguments.browser:
        times = browser()
        print(
            f"\nFrom the brush's lifting to the label map on the screen: median {statistics.median(times):.0f} ms, ",
            end="",
        )
        print(f"of {len(times)} strokes {min(times):.0f} to {max(times):.0f} ms.")


def server() -> Iterator[tuple[str, ...]]:
    """A row for each number of classes and choice of strides."""
    upload = {"path": str(PHOTO)}
    for classes in (2, 6):
        painted = painting(classes)
        for strides in ([32], [32, 16, 8], [32, 16, 8, 4]):
            rows = []
            for _ in range(TURNS + 1):
                began, worked = time.perf_counter(), time.process_time()
                answer = teach.show(
                    {"values": [upload, None, strides, "compact", False, None, False, painted], "step": 0}
                )
                rows.append((1000 * (time.perf_counter() - began), 1000 * (time.process_time() - worked)))
            fitted = answer["facts"].partition("iterations and ")[2].partition(" ms")[0]
            wall, processor = (statistics.median(column) for column in zip(*rows[1:], strict=True))
            used = ", ".join(map(str, strides))
            yield str(classes), used, f"{fitted} ms", f"{wall:.0f} ms", f"{processor:.0f} ms"


def painting(classes: int) -> dict[str, Any]:
    """Return strokes as the page sends them: the label map that they make, as runs of equal pixels."""
    width, height = cache.display(str(PHOTO)).photo.size
    image = Image.new("L", (width, height), UNPAINTED)
    pen = ImageDraw.Draw(image)
    for number in range(STROKES):
        x, y = 0.08 + 0.28 * (number % 4), 0.1 + 0.3 * (number // 4)
        points = [(x, y), (x + 0.1, y + 0.03), (x + 0.12, y + 0.15)]
        pen.line([(width * x, height * y) for x, y in points], fill=number % classes, width=width // 33)
    runs = [part for label, group in itertools.groupby(image.tobytes()) for part in (label, len(list(group)))]
    maps = [{"photo": str(PHOTO), "runs": runs}]
    return {"classes": [f"class {index}" for index in range(classes)], "strokes": STROKES, "maps": maps}


def browser() -> list[float]:
    """Milliseconds of each stroke but the first two, painted on the page."""
    page = build()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        visit = chrome.new_page(viewport={"width": 1280, "height": 720})
        visit.goto(f"{url}?photo={Path(PHOTO).stem}&tab=lab&section=teach")
        visit.locator("#teach .board .photo").first.wait_for()
        times = [paint(visit, number) for number in range(STROKES)]
        chrome.close()
    page.close()
    return times[2:]


def paint(page: Page, number: int) -> float:
    """One stroke; the milliseconds until its label map was shown."""
    page.locator(f'#teach input[name=teach-brush][value="{number % 2}"]').check(force=True)
    box = page.locator("#teach canvas").first.bounding_box()
    assert box
    x, y = (0.08 + 0.28 * (number % 4), 0.1 + 0.3 * (number // 4))
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + (x + 0.12) * box["width"], box["y"] + (y + 0.15) * box["height"], steps=4)
    page.mouse.up()
    shown = f'[data-shown="{number + 1}"]'
    page.locator(f"#teach{shown}, #teach {shown}").first.wait_for(state="attached")
    return float(page.locator("#teach[data-took], #teach [data-took]").first.get_attribute("data-took") or 0)


if __name__ == "__main__":
    main()
