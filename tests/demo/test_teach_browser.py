"""Teach a class in a real browser: the brush, undo, names, and what fits the first screen."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect

import segmodels

from ..conftest import NEEDS_CHROMIUM

pytestmark = NEEDS_CHROMIUM

QUERY = "?photo=astronaut&tab=lab&section=teach"
SIDE = 512
HELMET: tuple[tuple[int, Sequence[tuple[int, int]]], ...] = (
    (1, [(310, 470), (340, 400), (430, 390)]),
    (1, [(380, 450), (470, 470)]),
    (0, [(60, 100), (80, 300)]),
    (0, [(330, 60), (300, 130)]),
    (0, [(100, 320), (220, 330), (240, 440)]),
)
"""Class and points, in pixels of the astronaut, of five strokes."""


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    expect.set_options(timeout=30_000)
    yield
    expect.set_options(timeout=5_000)


def opened(browser: Browser, url: str, width: int, height: int, dark: bool = False) -> Page:
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    page.set_default_timeout(30_000)
    page.goto(url + QUERY + ("&__theme=dark" if dark else ""))
    expect(page.locator("#teach .board .photo").first).to_be_visible()
    return page


def paint(page: Page, class_: int, points: Sequence[tuple[int, int]]) -> None:
    """One stroke on the first photo."""
    page.locator(f'#teach input[name=teach-brush][value="{class_}"]').check(force=True)
    box = page.locator("#teach canvas").first.bounding_box()
    assert box
    places = [(box["x"] + x / SIDE * box["width"], box["y"] + y / SIDE * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


@pytest.mark.parametrize(
    ("width", "height", "dark"), [(1280, 720, False), pytest.param(390, 844, True, marks=pytest.mark.slow)]
)
def test_five_strokes_find_the_helmet_and_brush_photo_and_label_map_are_in_view_together(
    browser: Browser, url: str, width: int, height: int, dark: bool
) -> None:
    page = opened(browser, url, width, height, dark)
    page.locator("#teach canvas").first.scroll_into_view_if_needed()
    for number, (class_, points) in enumerate(HELMET, start=1):
        paint(page, class_, points)
        expect(page.locator("#teach .facts")).to_contain_text(f"{number} stroke")
    expect(page.locator("#teach .facts")).to_contain_text("training accuracy")
    if width > 760:
        last = page.get_by_role("button", name="My layer (safetensors)").bounding_box()
        iou = page.locator("#teach .curve svg").bounding_box()
        assert last
        assert iou
        assert page.evaluate("scrollY") == 0
        assert max(box["y"] + box["height"] for box in (last, iou)) <= height
    page.locator("#teach .tools").evaluate("tools => tools.scrollIntoView()")
    boxes = [page.locator(f"#teach {part}").first.bounding_box() for part in (".tools", ".board .picture")]
    if width > 760:
        boxes.append(page.locator("#teach .taught .picture").bounding_box())
    for box in boxes:
        assert box
        assert box["y"] >= -1, boxes
        assert box["y"] + box["height"] <= height + 1, boxes
        assert box["x"] >= -1
        assert box["x"] + box["width"] <= width + 1
    mask = page.locator("#teach .mask").first.evaluate("""image => {
        const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        const alpha = (x, y) => context.getImageData(x, y, 1, 1).data[3];
        return [alpha(400, 430), alpha(220, 110), alpha(60, 200)];
    }""")
    assert mask == [255, 0, 0]
    page.close()


@pytest.mark.slow
def test_undo_clear_names_strides_and_the_download(browser: Browser, url: str, tmp_path: Path) -> None:
    page = opened(browser, url, 1280, 900)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    facts = page.locator("#teach .facts")
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    for number, (class_, points) in enumerate(HELMET[1:4], start=1):
        paint(page, class_, points)
        expect(facts).to_contain_text(f"{number} stroke")
    page.get_by_role("button", name="Undo").click()
    expect(facts).to_contain_text("2 strokes")
    name = page.get_by_label("Name of class 2")
    name.fill("<b>helmet</b>")
    name.press("Enter")
    name.press("Tab")
    expect(facts).to_contain_text("of <b>helmet</b>")
    page.locator("#teach-strides").get_by_label("32").uncheck()
    page.locator("#teach-strides").get_by_label("16").uncheck()
    expect(facts).to_contain_text("Stride 8:")
    with page.expect_download() as download:
        page.get_by_role("button", name="My layer (safetensors)").click()
    download.value.save_as(tmp_path / "mine.safetensors")
    assert segmodels.load(tmp_path / "mine.safetensors").card.classes == ("background", "<b>helmet</b>")
    page.get_by_role("button", name="Clear").click()
    expect(facts).to_be_empty()
    expect(page.locator("#teach .nothing")).to_be_visible()
    assert errors == []
    page.close()


@pytest.mark.slow
def test_two_visitors_see_their_own_strokes_alone(browser: Browser, url: str) -> None:
    first, second = (opened(browser, url, 1280, 720) for _ in range(2))
    paint(first, *HELMET[0])
    expect(first.locator("#teach .facts")).to_contain_text("1 stroke")
    paint(second, *HELMET[2])
    expect(second.locator("#teach .facts")).to_contain_text("background 100.0%")
    expect(first.locator("#teach .facts")).to_contain_text("helmet 100.0%")
    second.reload()
    expect(second.locator("#teach .facts")).to_contain_text("background 100.0%")
    third = opened(browser, url, 1280, 720)
    assert not np.any(drawn(third))
    for page in (first, second, third):
        page.close()


def drawn(page: Page) -> NDArray[np.uint8]:
    """What the strokes cover on the first photo, at every 16th pixel: (h, w), 0 where there is none."""
    alpha = page.locator("#teach canvas").first.evaluate("""canvas => {
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return [...Array(canvas.height >> 4).keys()].map(y =>
            [...Array(canvas.width >> 4).keys()].map(x => pixels[4 * (16 * y * canvas.width + 16 * x) + 3]));
    }""")
    return np.array(alpha, dtype=np.uint8)


@pytest.mark.slow
def test_strokes_stay_on_their_photo(browser: Browser, url: str) -> None:
    """Another photo has none of them; strides that are chosen then fit nothing."""
    page = opened(browser, url, 1280, 720)
    facts = page.locator("#teach .facts")
    paint(page, *HELMET[0])
    expect(facts).to_contain_text("1 stroke")
    assert np.any(drawn(page))
    page.locator("#lab-examples [data-example=coffee]").click()
    expect(page.get_by_label("Name of class 2")).to_have_value("cup")
    expect(facts).to_be_empty()
    assert not np.any(drawn(page))
    page.locator("#teach-strides").get_by_label("32").uncheck()
    paint(page, 0, [(60, 100), (80, 300)])
    expect(facts).to_contain_text("background 100.0%. ")
    page.close()


@pytest.mark.slow
def test_the_iou_is_drawn_over_the_strokes_and_beside_that_of_other_strides(browser: Browser, url: str) -> None:
    page = opened(browser, url, 1280, 720)
    now, other = (page.locator(f"#teach .curve .{which} circle") for which in ("now", "other"))
    for number, (class_, points) in enumerate(HELMET[1:4], start=1):
        paint(page, class_, points)
        expect(now).to_have_count(number)
        expect(page.locator("#teach .curve span")).to_contain_text(f"after {number} stroke")
    heights = now.evaluate_all("dots => dots.map(dot => Number(dot.getAttribute('cy')))")
    assert heights[0] > heights[-1]  # further up is better
    page.locator("#teach-strides").get_by_label("32").uncheck()
    expect(now).to_have_count(1)
    expect(other).to_have_count(3)
    page.locator("#teach-strides").get_by_label("32").check()
    page.get_by_role("button", name="Undo").click()
    expect(now).to_have_count(2)
    page.get_by_label("Name of class 2").fill("visor")
    page.get_by_label("Name of class 2").press("Enter")
    expect(page.locator("#teach .curve")).to_be_hidden()
    page.close()
