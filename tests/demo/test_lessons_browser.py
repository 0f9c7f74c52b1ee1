"""The lessons in a real browser: move, read, follow the links, save."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from demo.lessons import LESSONS

from ..conftest import NEEDS_CHROMIUM
from ..helpers import saved_as_seen, unharmed, watched
from .test_lessons import CHANGES, Change

pytestmark = NEEDS_CHROMIUM

SLOW = 60_000
"""Milliseconds in which a network is surely loaded and run on a busy machine."""


@contextmanager
def opened(browser: Browser, url: str, width: int = 1280) -> Iterator[Page]:
    """A page with the cat, on which nothing may go wrong."""
    with watched(browser, width, 720) as (page, errors), unharmed(errors):
        page.goto(url + "?photo=cat")
        yield page


@pytest.fixture(scope="module")
def lessons(browser: Browser, url: str) -> Iterator[Page]:
    """A page at projector size, shared by the tests, each of which opens the lesson that it needs."""
    with opened(browser, url) as page:
        yield page


def open_lesson(page: Page, number: int) -> Locator:
    """Open a lesson by its tab and wait for its figure."""
    page.get_by_role("tab", name="Lessons").click()
    page.get_by_role("tab", name=f"{number} {LESSONS[number - 1].name}").click()
    lesson = page.locator(f"#lesson-{number}")
    expect(lesson.locator("figure.drawing")).to_be_visible(timeout=SLOW)
    return lesson


def make(lesson: Locator, change: Change) -> None:
    """Do to a lesson's control what somebody would."""
    if isinstance(change.value, str):
        lesson.get_by_role("radio", name=change.value, exact=True).check()
    else:
        number = lesson.get_by_label(f"number input for {change.control}")
        number.fill(str(change.value))
        number.press("Tab")


@pytest.mark.parametrize(
    "change",
    [CHANGES[0], *(pytest.param(change, marks=pytest.mark.slow) for change in CHANGES[1:])],
    ids=lambda change: LESSONS[change.lesson - 1].name,
)
def test_a_control_changes_the_figure(lessons: Page, change: Change) -> None:
    lesson = open_lesson(lessons, change.lesson)
    before = lesson.locator("figure.drawing").inner_html()
    make(lesson, change)
    expect(lesson.locator("figcaption")).to_contain_text(change.words, timeout=SLOW)
    lessons.wait_for_function(
        "([lesson, before]) => document.querySelector(`#lesson-${lesson} figure`).innerHTML !== before",
        arg=[change.lesson, before],
    )


def test_the_walk_from_first_to_last_and_back(lessons: Page) -> None:
    open_lesson(lessons, 1)
    for number, lesson in enumerate(LESSONS[1:], 2):
        lessons.locator(f"#lesson-{number - 1}").get_by_role("button", name=f"Next: {lesson.name}").click()
        expect(lessons.locator(f"#lesson-{number} figure.drawing")).to_be_visible(timeout=SLOW)
        expect(lessons.locator(f"#lesson-{number - 1} figure.drawing")).to_be_hidden()
    last = len(LESSONS)
    lessons.locator(f"#lesson-{last}").get_by_role("button", name=f"Back: {LESSONS[-2].name}").click()
    expect(lessons.locator(f"#lesson-{last - 1} figure.drawing")).to_be_visible()


def test_a_click_chooses_the_pixel(lessons: Page) -> None:
    lesson = open_lesson(lessons, 9)
    picture = lesson.locator(".pointed image").last
    box = picture.bounding_box()
    assert box
    picture.click(position={"x": 0.25 * box["width"], "y": 0.75 * box["height"]})
    for label, percent in (("Across (%)", "25"), ("Down (%)", "75")):
        expect(lesson.get_by_label(f"number input for {label}")).to_have_value(percent)


def test_the_answer_waits_until_it_is_asked_for(lessons: Page) -> None:
    lesson = open_lesson(lessons, 5)
    answer = lesson.get_by_text("The bins overlap: along")
    expect(answer).to_be_hidden()
    lesson.get_by_role("button", name="Answer").click()
    expect(answer).to_be_visible()


@pytest.mark.slow
def test_links_go_to_anatomy_and_the_lab_and_back(lessons: Page) -> None:
    open_lesson(lessons, 8).get_by_role("button", name="(Anatomy)").click()
    expect(lessons.locator('#anatomy-diagram svg[aria-label*="(deeplabv3plus_mobilenetv2)"]')).to_be_visible(
        timeout=SLOW
    )
    lessons.get_by_role("button", name="4 U-Net's path").click()
    expect(lessons.locator("#lesson-4 figure.drawing")).to_be_visible(timeout=SLOW)
    open_lesson(lessons, 6).get_by_role("button", name="(Lab)").click()
    expect(lessons.get_by_role("tab", name="Lab")).to_have_attribute("aria-selected", "true")
    lessons.get_by_role("button", name="7 ASPP").click()
    expect(lessons.locator("#lesson-7 figure.drawing")).to_be_visible(timeout=SLOW)


@pytest.mark.slow
def test_another_photo_is_looked_at(lessons: Page) -> None:
    lesson = open_lesson(lessons, 3)
    expect(lesson.locator("figcaption")).to_contain_text("8s finds cat")
    lesson.get_by_role("button", name="Another photo").click()
    lessons.locator("#examples [data-example=rider]").click()
    expect(lessons.locator("#pictures .legend")).to_contain_text("person", timeout=SLOW)
    lessons.get_by_role("tab", name="Lessons").click()
    expect(lesson.locator("figcaption")).to_contain_text(re.compile("8s finds .*person"), timeout=SLOW)


@pytest.mark.slow
def test_a_figure_is_saved_as_it_looks(browser: Browser, url: str, tmp_path: Path) -> None:
    with opened(browser, url) as page:  # a new one, on which no figure is about to be drawn again
        for number in (3, 4):
            figure = open_lesson(page, number).locator("figure.drawing")
            page.wait_for_function("[...document.querySelectorAll('.drawing label-map')].every(one => one.drawn)")
            name = saved_as_seen(figure, figure.locator(".drawn"), tmp_path)
            assert name.startswith(f"lesson-{LESSONS[number - 1].slug.partition('-')[0]}")


@pytest.mark.slow
def test_nothing_is_wider_than_a_phone(browser: Browser, url: str) -> None:
    with opened(browser, url, 390) as page:
        for number in range(1, len(LESSONS) + 1):
            lesson = open_lesson(page, number)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            for drawing in lesson.locator("figure.drawing :is(svg, .picture)").all():
                assert drawing.evaluate("svg => svg.getBoundingClientRect().right") <= 390


def test_a_choice_is_answered(lessons: Page) -> None:
    lesson = open_lesson(lessons, 6)
    for choice, words in ((1, "No."), (0, "Right.")):
        lesson.locator(".check label", has_text=LESSONS[5].choices[choice]).click()
        expect(lesson.locator(".check + [role=status]")).to_contain_text(words)


@pytest.mark.slow
def test_another_draw_moves_the_slider_and_the_figure(lessons: Page) -> None:
    lesson = open_lesson(lessons, 14)
    deviation = lesson.locator("input[type=number]").first  # another test may have left it at 0, which moves nothing
    deviation.fill("12")
    deviation.press("Tab")
    expect(lesson.locator("figcaption")).not_to_contain_text("by 0 at most", timeout=SLOW)
    before = lesson.locator("figcaption").inner_text()
    lesson.get_by_role("button", name="Another draw").click()
    expect(lesson.get_by_label("number input for Draw")).to_have_value("2", timeout=SLOW)
    expect(lesson.locator("figcaption")).not_to_have_text(before, timeout=SLOW)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (853, 480)])
def test_the_projector_mode_walks_by_keys_and_is_in_the_link(
    browser: Browser, url: str, width: int, height: int
) -> None:
    with watched(browser, width, height) as (page, errors), unharmed(errors):
        page.goto(url + "?photo=cat&tab=lessons&section=touching-cells")
        expect(page.locator("#lesson-13 figure.drawing")).to_be_visible(timeout=SLOW)
        words = page.get_by_text("U-Net was made to count cells")
        small = words.evaluate("words => parseFloat(getComputedStyle(words).fontSize)")
        page.get_by_role("button", name="Projector mode", exact=True).click()
        expect(page.locator("#introduction")).to_be_hidden()
        assert words.evaluate("words => parseFloat(getComputedStyle(words).fontSize)") > 1.3 * small
        expect(page.get_by_role("button", name="The next lesson")).to_be_in_viewport()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#lesson-14 figure.drawing")).to_be_visible(timeout=SLOW)
        page.get_by_label("number input for Draw").focus()
        page.keyboard.press("ArrowLeft")  # moves the caret alone
        expect(page.locator("#lesson-14 figure.drawing")).to_be_visible()
        page.keyboard.press("PageUp")  # a presenter's remote control
        expect(page.locator("#lesson-13 figure.drawing")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for part in ("projector=1", "section=touching-cells"):
            page.wait_for_function("part => document.querySelector('#link a').search.includes(part)", arg=part)
        page.goto(url + (page.locator("#link a").get_attribute("href") or ""))
        expect(page.locator("#lesson-13 figure.drawing")).to_be_visible(timeout=SLOW)
        expect(page.locator("#introduction")).to_be_hidden()
        page.get_by_role("button", name="Leave projector mode").click()
        expect(page.locator("#introduction")).to_be_visible()
        assert "projector" not in page.url
        page.get_by_role("button", name="Projector mode", exact=True).click()
        expect(page.locator("#introduction")).to_be_hidden()
        page.keyboard.press("Escape")
        expect(page.locator("#introduction")).to_be_visible()
