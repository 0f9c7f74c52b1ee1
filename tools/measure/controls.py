"""How fast the controls of the Lab, the lessons and Anatomy answer: ``python -m tools.measure.controls [FOLDER...]``.

In Chromium, from a control's move to its picture, for this checkout and for those in other folders. All run at the same time
and are measured in turns, so that what else the machine does falls on all alike. Prints medians as a table in Markdown.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from segmodels.benchmark.tables import table
from tools.stress.running import ROOT, RunningApp

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TURNS = 11


@dataclass(frozen=True)
class Control:
    """A slider, and words on the page that change with its picture."""

    name: str
    query: str
    """What opens the page where it is."""
    slider: str
    """CSS of its range input."""
    words: str
    """CSS of what says, by its text or its label, what is shown."""
    first: int
    """The value before the first move; each move is one more step."""
    step: int = 1


CONTROLS = (
    Control(
        "Lesson 1, size of the photo",
        "tab=lessons&section=any-size",
        "#lesson-1 [type=range]",
        "#lesson-1 figcaption",
        160,
        16,
    ),
    Control("Lesson 6, atrous rate", "tab=lessons&section=atrous", "#lesson-6 [type=range]", "#lesson-6 figcaption", 1),
    Control(
        "How sure is it, atrous rate",
        "tab=lab&section=certainty",
        "#certainty-rate [type=range]",
        "#certainty figcaption",
        1,
    ),
    Control("Click a pixel, across", "tab=lab&section=pixel", "#pixel-x [type=range]", "#pixel figcaption", 20),
    Control(
        "Compare, atrous rate",
        "tab=lab&section=compare",
        "#compare-rate-c [type=range]",
        "#compare figure:nth-child(3) figcaption",
        1,
    ),
    Control("Anatomy, photo's width", "tab=anatomy", "#anatomy-width [type=range]", "#anatomy-diagram svg", 300),
)

MOVE = """([slider, words, value]) => new Promise(resolve => {
  const said = () => { const one = document.querySelector(words); return one?.ariaLabel ?? one?.textContent; };
  const input = document.querySelector(slider), before = said(), began = performance.now();
  const look = () => said() && said() !== before ? requestAnimationFrame(() => resolve(performance.now() - began)) : requestAnimationFrame(look);
  input.value = value;
  input.dispatchEvent(new Event('input', {bubbles: true}));
  look();
})"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="another checkout to compare with")
    parser.add_argument("--turns", type=int, default=TURNS)
    arguments = parser.parse_args()
    folders = [ROOT, *arguments.folders]
    rows = measure(folders, arguments.turns)
    heads = ("here", *(str(folder) for folder in arguments.folders))
    print(table("From a control's move to its picture (milliseconds, median)", ("control", *heads), rows))


def measure(folders: list[Path], turns: int) -> list[tuple[str, ...]]:
    """Return a row a control, with a median a folder."""
    with contextlib.ExitStack() as stack:
        apps = [stack.enter_context(RunningApp((sys.executable, folder / "app.py"), folder)) for folder in folders]
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_OPTIONS
        )
        stack.callback(browser.close)
        rows = []
        for control in CONTROLS:
            pages = [
                _opened(browser.new_page(viewport={"width": 1280, "height": 720}), app.url, control) for app in apps
            ]
            times: list[list[float]] = [[] for _ in apps]
            for turn in range(turns + 1):
                for page, found in zip(pages, times, strict=True):
                    found.append(_moved(page, control, control.first + (turn + 1) * control.step))
            rows.append((control.name, *(f"{statistics.median(found[1:]):.0f}" for found in times)))
            for page in pages:
                page.close()
        return rows


def _opened(page: Page, url: str, control: Control) -> Page:
    page.set_default_timeout(300_000)
    page.goto(f"{url}?photo=cat&{control.query}")
    page.wait_for_selector(control.words)
    page.wait_for_timeout(2000)
    return page


def _moved(page: Page, control: Control, value: int) -> float:
    took: float = page.evaluate(MOVE, [control.slider, control.words, value])
    page.wait_for_timeout(300)  # what follows the picture, a heat map for example, is over
    return took


if __name__ == "__main__":
    main()
