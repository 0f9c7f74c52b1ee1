"""On a projector, a figure and what changes it are in view together: in each section of the Lab and in each lesson."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from demo.lessons import LESSONS

from ..conftest import NEEDS_CHROMIUM
from ..helpers import go

pytestmark = [NEEDS_CHROMIUM, pytest.mark.slow]

SLOW = 120_000
"""Milliseconds in which a network has surely answered, on a busy machine."""
SECTIONS = {
    "grid": ("#grid .rates", "#grid-model"),
    "weights": ("#fit svg, #fit .picture", "#fit-setting, #fit-kind"),
    "pixel": (
        "#pixel .looked-at .picture",
        "#pixel-model, #pixel-rate, #pixel-stride, #pixel-x, #pixel-y, #pixel-class, #pixel-layers",
    ),
    "parts": ("#parts .picture", "#parts-model, #parts-on, #parts-truth"),
    "learn": ("#learn .picture", "#learn .running button"),
    "certainty": ("#certainty .picture", "#certainty-model, #certainty-rate, #certainty-stride"),
    "compare": ("#compare .in-step .picture", "#compare-slots input, #compare .zooming input"),
}
"""Each section's figure and its controls."""
PHOTOS = ("cat", "hug")
"""One wider than high, one higher than wide."""
OUTSIDE = """selector => [...document.querySelectorAll(selector)].filter(part => part.getClientRects().length).map(part => {
  const {top, left, bottom, right} = part.getBoundingClientRect();
  return {top, left, bottom, right, name: part.id || part.className.baseVal || part.className};
})"""


def opened(browser: Browser, address: str) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(SLOW)
    page.goto(address)
    return page


@pytest.fixture(scope="module", params=PHOTOS)
def page(browser: Browser, url: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """One page for all sections and lessons of a photo."""
    page = opened(browser, f"{url}?photo={request.param}")
    page.wait_for_selector("#pictures [data-drawn]")
    yield page
    page.close()


def assert_in_view(page: Page, selector: str, width: int = 1280, height: int = 720) -> None:
    """All that the selector finds, and there is some, lies in the window."""
    boxes = page.evaluate(OUTSIDE, selector)
    assert boxes
    for box in boxes:
        assert box["top"] >= 0
        assert box["left"] >= 0
        assert box["right"] <= width, box
        assert box["bottom"] <= height, box


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_is_on_one_screen(page: Page, section: str) -> None:
    figure, controls = SECTIONS[section]
    go(page, f"?tab=lab&section={section}")
    page.wait_for_selector(figure)
    if section == "grid":
        page.wait_for_selector("#grid .rates:not(:has(.pending))")
    assert_in_view(page, figure)
    assert_in_view(page, controls)


@pytest.mark.parametrize("number", range(1, len(LESSONS) + 1))
def test_a_lesson_is_on_one_screen(page: Page, number: int) -> None:
    go(page, f"?tab=lessons&section={LESSONS[number - 1].slug}")
    page.wait_for_selector(f"#lesson-{number} figure.drawing")
    assert_in_view(page, f"#lesson-{number} figure.drawing")
    assert_in_view(page, f"#lesson-{number} .controls input")


def test_the_pictures_of_compare_have_the_photos_shape_and_its_line_can_be_dragged(browser: Browser, url: str) -> None:
    page = opened(browser, f"{url}?tab=lab&section=compare&photo=hug")
    page.wait_for_selector("#compare table")
    picture, slider = page.locator("#compare .picture.split"), page.get_by_label(re.compile("Where [A-C] ends and"))
    picture.scroll_into_view_if_needed()
    box, beside = picture.bounding_box(), slider.bounding_box()
    assert box
    assert beside
    assert box["width"] < box["height"]
    assert box["x"] <= beside["x"]
    assert beside["x"] + beside["width"] <= box["x"] + box["width"]
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.5 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], middle, steps=4)
    page.mouse.up()
    assert abs(float(slider.input_value()) - 20) < 2
    page.mouse.move(0, 0)
    zoom, across = (page.locator("#compare").get_by_label(name, exact=True) for name in ("Zoom", "Across"))
    zoom.press("End")
    across.press("End")
    origin = page.locator("#compare .zoomed").first.evaluate("one => getComputedStyle(one).transformOrigin")
    width = page.locator("#compare .zoomed").first.evaluate("one => one.offsetWidth")
    assert float(origin.split("px")[0]) == pytest.approx(width, abs=1)
    page.close()
