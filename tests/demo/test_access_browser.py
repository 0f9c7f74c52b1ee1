"""The page for the keyboard, for fingers and for those who listen to it: axe-core's rules on every view, and what they miss."""

import json
from collections.abc import Iterator
from importlib.resources import files

import pytest
from playwright.sync_api import Browser, CDPSession, Locator, Page, expect

from demo.lessons import LESSONS

from ..conftest import NEEDS_CHROMIUM
from ..helpers import go, load, unharmed, watched

pytestmark = NEEDS_CHROMIUM

SLOW = 60_000
"""Milliseconds in which a network has surely answered, on a busy machine."""
AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
RULES = """{
  runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  rules: {'label-content-name-mismatch': {enabled: true}},
}"""
COLOURS = "{runOnly: {type: 'rule', values: ['color-contrast', 'link-in-text-block']}}"
"""Those of the rules that another colour scheme can break."""
BROKEN = (
    "rules => axe.run(document, {...rules, resultTypes: ['violations'], selectors: false}).then(all => all.violations)"
)
"""What breaks rules; the thousands of elements that keep them stay in the browser."""
VIEWS = {
    "?tab=segment": "#pictures figure",
    "?tab=lab&section=grid": "#grid .rates:not(:has(.pending))",
    "?tab=lab&section=weights": "#fit svg",
    "?tab=lab&section=pixel": "#pixel svg .effective",
    "?tab=lab&section=parts": "#parts-overview li",
    "?tab=lab&section=learn": "#learn figure",
    "?tab=lab&section=certainty": "#certainty figure",
    "?tab=lab&section=compare": "#compare table",
    "?tab=lab&section=teach": "#teach .board .photo[src]",
    "?tab=anatomy": "#anatomy-others table",
    **{
        f"?tab=lessons&section={lesson.slug}": f"#lesson-{number} figure.drawing"
        for number, lesson in enumerate(LESSONS, 1)
    },
    "?tab=lessons&section=glossary": ".glossary",
}
"""Every tab, section and lesson, and what is there once it has been computed."""
FIRST = ("?tab=segment", "?tab=lessons&section=any-size")
"""What the ordinary run looks at."""

SETTLED = """() => ![...document.querySelectorAll('.pending')].some(part => part.getClientRects().length) &&
  !document.getAnimations().some(one => one instanceof CSSTransition)"""
"""Nothing in view waits for an answer, which fades it, and nothing is on its way from one colour to another."""


@pytest.fixture(scope="module")
def page(browser: Browser, url: str) -> Iterator[Page]:
    """One page for all views."""
    with watched(browser, 1280, 720) as (page, errors), unharmed(errors):
        page.set_default_timeout(SLOW)
        load(page, url)
        yield page


def settle(page: Page) -> None:
    """Wait until what is in view has its final colours, also where one answer asks for the next."""
    for _ in range(2):
        page.wait_for_function(SETTLED)
        page.wait_for_timeout(200)
    page.wait_for_function(SETTLED)


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the view as it is and in dark colours, a line an element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    settle(page)
    found = page.evaluate(f"({BROKEN})({RULES})")
    page.evaluate("document.body.classList.add('dark')")  # as gradio does
    settle(page)
    found += page.evaluate(f"({BROKEN})({COLOURS})")
    page.evaluate("document.body.classList.remove('dark')")
    return [f"{rule['id']}: {node['html']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


@pytest.mark.slow
def test_dark_is_a_class_of_the_body(browser: Browser, url: str) -> None:
    """What ``violations`` takes for granted."""
    with watched(browser) as (page, errors), unharmed(errors):
        page.goto(url + "?__theme=dark")
        page.wait_for_selector("body.dark #pictures")


@pytest.mark.parametrize(
    "view", [view if view in FIRST else pytest.param(view, marks=pytest.mark.slow) for view in VIEWS]
)
def test_axe_finds_nothing(page: Page, view: str) -> None:
    go(page, view)
    page.wait_for_selector(VIEWS[view])
    assert violations(page) == []


def outline(part: Locator) -> float:
    return float(part.evaluate("part => parseFloat(getComputedStyle(part).outlineWidth)"))


def test_radios_are_one_stop_and_arrows_move_inside(page: Page) -> None:
    go(page, "?tab=lab&section=weights")
    page.wait_for_selector("#fit svg")
    group = page.get_by_role("group", name="Atrous rate and output stride", exact=True)
    group.locator("input:checked").focus()
    page.keyboard.press("ArrowRight")
    chosen = group.locator("input:checked")
    expect(chosen).to_be_focused()
    label = chosen.locator("xpath=ancestor::label")
    expect(page.locator("#fit figcaption").first).to_contain_text(label.inner_text().split()[0])
    assert outline(label) >= 2
    page.keyboard.press("Tab")
    expect(page.get_by_role("group", name="Show", exact=True).locator("input:checked")).to_be_focused()


@pytest.mark.slow
def test_a_class_is_painted_without_a_mouse_and_said(page: Page, url: str) -> None:
    """A step is the brush's diameter, 3 % of the longer side: of 600 x 400 pixels, 0.03 of the width, 0.045 of the height."""
    page.goto("about:blank")  # a page that is about to write its address would break the next one's loading off
    page.goto(f"{url}?photo=coffee&tab=lab&section=teach")
    page.wait_for_selector("#teach .board .photo[src]")
    said, facts, canvas = (page.locator(f"#teach {part}") for part in (".said", ".facts", "canvas >> nth=0"))
    page.locator("#teach .size").focus()
    page.keyboard.press("Tab")  # nothing can be undone yet
    expect(canvas).to_be_focused()
    expect(page.locator("#teach .cursor").first).to_be_visible()
    expect(page.locator("#teach .keys").first).to_be_visible()
    page.keyboard.press("Space")
    expect(said).to_have_text("Dab of cup painted. Strokes: 1.")
    expect(facts).to_contain_text("1 stroke")
    page.keyboard.press("1")
    expect(said).to_have_text("Brush: background.")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    expect(said).to_have_text("20% from the left, 50% from the top")
    page.keyboard.down("Shift")
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    expect(said).to_contain_text("Painting background")
    page.keyboard.up("Shift")
    expect(said).to_have_text("Line of background painted. Strokes: 2.")
    expect(facts).to_contain_text("2 strokes")
    painted = json.loads(page.evaluate("sessionStorage.getItem('taught')"))["strokes"]
    assert [stroke["class"] for stroke in painted] == [1, 0]
    assert painted[0]["points"] == pytest.approx([0.5, 0.5])
    line = [part for step in range(5) for part in (0.2, 0.5 + 0.045 * step)]
    assert painted[1]["points"] == pytest.approx(line, abs=0.001)
    page.keyboard.down("Shift")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    page.keyboard.up("Shift")
    page.keyboard.press("Backspace")
    expect(facts).to_contain_text("1 stroke,")
    page.keyboard.press("Tab")
    expect(canvas).not_to_be_focused()
    assert violations(page) == []


def test_a_slider_shows_that_it_has_the_keyboard(page: Page) -> None:
    go(page, "?tab=lessons&section=atrous")
    slider = page.get_by_role("slider").locator("visible=true").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert outline(slider) >= 2


def swipe(device: CDPSession, path: list[tuple[float, float]]) -> None:
    """A finger goes down at the first place, through the others, and up at the last."""
    for index, (x, y) in enumerate(path):
        kind = "touchMove" if index else "touchStart"
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    device.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.slow
def test_a_swipe_that_begins_on_a_slider_scrolls_and_moves_nothing(browser: Browser, url: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.set_default_timeout(SLOW)
    page.goto(f"{url}?tab=lessons&section=atrous")
    figure = page.locator("figure.drawing:visible")
    figure.wait_for()
    slider = page.get_by_role("slider").locator("visible=true").first
    slider.scroll_into_view_if_needed()
    page.wait_for_timeout(300)  # the page has come to rest
    before, scrolled, words = slider.input_value(), page.evaluate("scrollY"), figure.inner_text()
    box = slider.bounding_box()
    assert box is not None
    x, y = box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2
    device = page.context.new_cdp_session(page)
    swipe(device, [(x, y - 12 * step) for step in range(20)])
    page.wait_for_function("before => scrollY > before + 50", arg=scrolled)
    page.wait_for_timeout(500)  # long enough for an answer, if one had been asked for
    assert slider.input_value() == before
    assert figure.inner_text() == words
    box = slider.bounding_box()
    assert box is not None
    x, y = box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2
    swipe(device, [(x - 3 * step, y) for step in range(6)])
    expect(slider).not_to_have_value(before)
    expect(figure).not_to_have_text(words)
    page.close()
