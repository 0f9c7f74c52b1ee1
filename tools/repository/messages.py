"""Bring the catalogues of the page's languages up to date: ``python -m tools.repository.messages [PART...]``. Needs Chromium.

It walks through the page, and writes the texts that a catalogue lacks into it, without a translation. After a walk through all
parts it lists the entries that it met no more; delete those that are gone.
"""

import argparse
import ast
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator

from playwright.sync_api import Browser, Locator, Request, sync_playwright

from demo import build, launch_options
from demo.components.language import FOLDER, LANGUAGES
from demo.segment.tab import _about
from demo.server import messages, route_filter
from segmodels.models import registry
from tools.stress.running import ROOT

PATIENCE = 90_000
"""Milliseconds that one answer may take."""
PHRASES = (
    *(
        f"{number} areas of cat"
        for number in ["No", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "12"]
    ),
    *("One area of cat", "Specks of cat", "12 % of the picture", "less than 1 % of the picture"),
    *("left", "centre", "right", "left to centre", "centre to right", "from left to right"),
    *("at the top", "half way down", "at the bottom", "in the upper part", "in the lower part"),
)
"""What is read aloud of a result consists of these; a few results do not have all of them."""


class Walk:
    """A page in German, and the keys of the texts that it showed."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.page = browser.new_page(viewport={"width": 1400, "height": 1000})
        self.page.set_default_timeout(PATIENCE)
        self.page.add_init_script("window.keysMet = new Set()")
        self.asking: set[Request] = set()
        self.page.on("request", lambda request: self.asking.add(request))
        self.page.on("requestfinished", lambda request: self.asking.discard(request))
        self.page.on("requestfailed", lambda request: self.asking.discard(request))
        self.page.goto(f"{url}?photo=rider&lang=de")
        self.page.wait_for_selector("#pictures [data-drawn]")

    def rest(self) -> None:
        """Wait until the page asks nothing more."""
        quiet = 0
        for _ in range(PATIENCE // 100):
            self.page.wait_for_timeout(100)
            quiet = 0 if [one for one in self.asking if "/heartbeat" not in one.url] else quiet + 1
            if quiet == 3:
                return

    def click(self, buttons: Locator) -> None:
        """Click each of them that is seen, and wait for what follows."""
        for button in buttons.all():
            if button.is_visible() and button.is_enabled():
                button.click()
                self.rest()

    def put(self, *html: str) -> None:
        """Show what one would have to go far for."""
        into = "html => { document.querySelector('#link-note').insertAdjacentHTML('beforeend', html); }"
        for one in html:
            self.page.evaluate(into, f"<div>{one}</div>")
        self.rest()

    def keys(self) -> set[str]:
        """Return the keys of all texts so far."""
        found: list[str] = self.page.evaluate("[...window.keysMet]")
        return set(found)


def segment(walk: Walk) -> None:
    """The Segment tab: all networks and settings, what is said of each, problems."""
    view = walk.page
    for settings in ("#variant label", "#stride label", "#switches label", "#model label"):
        walk.click(view.locator(settings))
    view.locator("#examples [data-example=cat]").click()
    walk.rest()
    walk.put(*(str(_about(name)) for name in registry.CARDS if registry.card(name).trained))
    walk.put(*(f"<p>{sentence}</p>" for sentence in sentences()))
    walk.put(*(f'<p aria-label="{words}, 3 % of the picture, left."></p>' for words in PHRASES))
    view.evaluate(
        "history.pushState(null, '', '?photo=nobody&rate=99&tab=there&lang=de'); dispatchEvent(new PopStateEvent('popstate'))"
    )
    walk.rest()
    view.locator("#link button").click()
    view.evaluate(
        "questions.choose({photo: {path: '/nowhere.jpg'}, model: 'fcn_mobilenetv2', rate: 6, stride: 16, crf: true, variant: ''})"
    )
    walk.rest()


def lab(walk: Walk) -> None:
    """All sections of the Lab with their choices, and a stroke of the brush."""
    view = walk.page
    walk.click(view.get_by_role("tab", name="Lab"))
    for tab in view.locator("#sections > .tab-wrapper [role=tab]").all():
        tab.click()
        walk.rest()
        walk.click(view.locator("#lab fieldset:not([id$=model]) label"))
        walk.click(view.locator("#lab .running button:not(:disabled)"))
        if view.locator("#pixel .picture, #pixel svg").first.is_visible():
            view.locator("#pixel .picture, #pixel svg").first.click()
            walk.rest()
        canvas = view.locator("#teach canvas")
        board = canvas.first.bounding_box() if canvas.count() and canvas.first.is_visible() else None
        if board:
            for brush, across in ((0, 0.1), (1, 0.5)):
                view.locator(f'#teach input[name=teach-brush][value="{brush}"]').check(force=True)
                view.mouse.move(board["x"] + across * board["width"], board["y"] + board["height"] / 2)
                view.mouse.down()
                view.mouse.move(board["x"] + across * board["width"] + 20, board["y"] + board["height"] / 2, steps=4)
                view.mouse.up()
                walk.rest()


def lessons(walk: Walk) -> None:
    """All lessons with their choices, questions, answers and terms."""
    view = walk.page
    walk.click(view.locator("#tabs > .tab-wrapper [role=tab]").nth(2))
    for tab in view.locator("#walk > .tab-wrapper [role=tab]").all():
        tab.click()
        walk.rest()
        view.evaluate("for (const one of document.querySelectorAll('#lessons details')) one.open = true")
        walk.click(view.locator("#lessons .label-wrap:visible"))
        walk.click(
            view.locator("#lessons .check label:visible, #lessons .controls label:has(input[type=radio]):visible")
        )


def anatomy(walk: Walk) -> None:
    """Anatomy of every network."""
    view = walk.page
    walk.click(view.locator("#tabs > .tab-wrapper [role=tab]").nth(3))
    for place in range(len(registry.CARDS)):
        view.locator("#anatomy-model input").click()
        view.locator("#anatomy-model [role=option]").nth(place).click()
        walk.rest()


PARTS: dict[str, Callable[[Walk], None]] = {"segment": segment, "lab": lab, "lessons": lessons, "anatomy": anatomy}


def sentences() -> Iterator[str]:
    """Yield what visitors are told when something cannot be done, where it has no values in it."""
    for module in (messages, route_filter):
        texts = (value for name, value in vars(module).items() if name.isupper() and isinstance(value, str))
        yield from (text for text in texts if text.endswith("."))
    for file in sorted([*(ROOT / "demo").rglob("*.py"), *(ROOT / "segmodels/inference").rglob("*.py")]):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            call = node.exc if isinstance(node, ast.Raise) else None
            if (
                isinstance(call, ast.Call)
                and ast.unparse(call.func) != "RuntimeError"
                and call.args
                and isinstance(call.args[0], ast.Constant)
            ):
                yield messages.error_message(ValueError(call.args[0].value))


def missing(keys: set[str]) -> dict[str, list[str]]:
    """Return, for each language, the keys that its catalogue lacks."""
    return {language: sorted(keys - read(language).keys()) for language in LANGUAGES}


def read(language: str) -> dict[str, str]:
    """Return a catalogue."""
    texts: dict[str, str] = json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"{', '.join(PARTS)}; all by default"
    )
    parts = parser.parse_args().parts or list(PARTS)
    keys: set[str] = set()
    page = build()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    with sync_playwright() as playwright, contextlib.closing(page):
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        walk = Walk(browser, url)
        for name in parts:
            PARTS[name](walk)
            keys |= walk.keys()
            add(keys)
            print(f"{name}: {len(keys)} texts so far", file=sys.stderr)
        browser.close()
    if len(parts) == len(PARTS):
        print("\n".join(f"met no more: {key}" for key in sorted(read(LANGUAGES[0]).keys() - keys)))


def add(keys: set[str]) -> None:
    """Write keys that a catalogue lacks into it, without a translation."""
    for language, lacks in missing(keys).items():
        texts = dict(sorted((read(language) | dict.fromkeys(lacks, "")).items()))
        file = FOLDER / f"{language}.json"
        file.write_text(json.dumps(texts, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
