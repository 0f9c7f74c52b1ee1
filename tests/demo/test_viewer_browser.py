"""The three pictures in Chromium: looked at closely, together, and several photos in turn."""

import base64
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, JSHandle, Page, expect

import segmodels
from segmodels.models import registry

from ..conftest import EXAMPLES, NEEDS_CHROMIUM
from ..helpers import START, go, load, unharmed, watched

pytestmark = NEEDS_CHROMIUM

FIGURES = ("input", "segmented", "overlays")


@pytest.fixture(scope="module")
def opened(browser: Browser, url: str) -> Iterator[tuple[Page, list[str]]]:
    with watched(browser, 1280, 720) as (page, errors):
        load(page, url + "?photo=hug")
        yield page, errors


@pytest.fixture
def page(opened: tuple[Page, list[str]]) -> Iterator[Page]:
    page, errors = opened
    page.get_by_role("tab", name="Segment", exact=True).click()
    picture = page.locator("#pictures .input .picture")
    picture.focus()
    picture.press("0")
    picture.blur()
    page.mouse.move(0, 0)
    with unharmed(errors):
        yield page


def box(page: Page, selector: str) -> tuple[float, float, float, float]:
    found = page.locator(f"#pictures {selector}").first.bounding_box()
    assert found is not None
    return found["x"], found["y"], found["width"], found["height"]


def canvas_in_picture(page: Page, figure: str) -> tuple[float, float, float]:
    """Where a figure's canvas begins and how wide it is, in widths and heights of its picture."""
    x, y, width, height = box(page, f".{figure} .picture")
    left, top, across, _ = box(page, f".{figure} canvas")
    return (left - x) / width, (top - y) / height, across / width


def place(page: Page, figure: str, across: float, down: float) -> tuple[float, float]:
    x, y, width, height = box(page, f".{figure} .picture")
    return x + across * width, y + down * height


def shot(page: Page, figure: str) -> NDArray[np.uint8]:
    """A picture as it is seen on the screen."""
    x, y, width, height = box(page, f".{figure} .picture")
    png = page.screenshot(clip={"x": x, "y": y, "width": width, "height": height})
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_the_wheel_enlarges_all_three_around_the_place_under_the_pointer(page: Page) -> None:
    page.mouse.move(*place(page, "segmented", 0.3, 0.6))
    for _ in range(3):
        page.mouse.wheel(0, -100)
    page.wait_for_function("document.querySelector('#pictures .panels').classList.contains('zoomed-in')")
    found = [canvas_in_picture(page, figure) for figure in FIGURES]
    left, top, scale = found[0]
    assert scale == pytest.approx(2**1.5, rel=0.01)
    assert (0.3 - left) / scale == pytest.approx(0.3, abs=0.01)  # the place stays where it was
    assert (0.6 - top) / scale == pytest.approx(0.6, abs=0.01)
    for other in found[1:]:
        assert other == pytest.approx(found[0], abs=0.01)


def test_one_cursor_is_in_all_three_and_follows_while_they_are_enlarged(page: Page) -> None:
    page.mouse.dblclick(*place(page, "overlays", 0.5, 0.5))
    page.mouse.move(*place(page, "input", 0.25, 0.7))
    expect(page.locator("#pictures .under-pointer")).to_contain_text("mean confidence")
    for figure in FIGURES:
        x, y, width, height = box(page, f".{figure} .picture")
        left, top, _, _ = box(page, f".{figure} .cursor")
        assert ((left - x) / width, (top - y) / height) == pytest.approx((0.25, 0.7), abs=0.02)


def test_keys_enlarge_move_and_bring_back(page: Page) -> None:
    picture = page.locator("#pictures .segmented .picture")
    picture.focus()
    picture.press("+")
    assert canvas_in_picture(page, "input")[2] == pytest.approx(1.5, rel=0.01)
    before = canvas_in_picture(page, "overlays")[0]
    picture.press("ArrowRight")
    assert canvas_in_picture(page, "overlays")[0] < before
    expect(page.locator("#pictures .under-pointer")).to_be_visible()
    picture.press("0")
    assert canvas_in_picture(page, "overlays") == pytest.approx((0, 0, 1), abs=0.01)


def test_left_of_the_line_the_output_shows_the_photo(page: Page) -> None:
    photo, output = shot(page, "input").astype(int), shot(page, "segmented").astype(int)
    x, y, width, height = box(page, ".segmented .picture")
    page.mouse.move(x + 14, y + height - 22)
    page.mouse.down()
    page.mouse.move(x + width / 2, y + height - 22, steps=4)
    page.mouse.up()
    page.mouse.move(0, 0)
    swiped, third, rows = shot(page, "segmented").astype(int), int(width / 3), int(height) - 60
    assert np.abs(swiped[:rows, :third] - photo[:rows, :third]).mean() < 2
    assert np.abs(swiped[:rows, -third:] - output[:rows, -third:]).mean() < 2
    page.locator("#pictures .swipe").fill("0")
    assert np.abs(shot(page, "segmented")[:rows] - output[:rows]).mean() < 2


@pytest.mark.parametrize("button", [".segmented .enlarge", ".enlarge.all"])
def test_one_picture_or_all_fill_the_screen_until_escape(page: Page, button: str) -> None:
    before = box(page, ".segmented .picture")
    page.locator(f"#pictures {button}").click()
    shown = page.locator(".full-screen")
    expect(shown).to_have_count(1)
    page.wait_for_timeout(300)
    whole = shown.bounding_box()
    assert whole is not None
    assert (whole["x"], whole["y"], whole["width"]) == (0, 0, 1280)
    assert box(page, ".segmented .picture")[2] > before[2]
    page.keyboard.press("Escape")
    expect(shown).to_have_count(0)
    page.wait_for_function("!document.fullscreenElement")


@pytest.mark.slow
def test_what_is_enlarged_beyond_the_screens_photo_is_fetched_at_its_own_pixels(page: Page, tmp_path: Path) -> None:
    photo = Image.open(EXAMPLES / "hug.jpg").resize((1920, 2886))
    photo.save(tmp_path / "large.jpg", quality=95)
    page.locator("#pictures input[type=file]").set_input_files(tmp_path / "large.jpg")
    expect(page.locator("#pictures .size")).to_contain_text("1920 × 2886")
    assert page.locator("#pictures canvas.part").count() == 0
    page.mouse.move(*place(page, "input", 0.5, 0.2))
    for _ in range(8):
        page.mouse.wheel(0, -100)
    part = page.locator("#pictures .input canvas.part")
    expect(part).to_be_attached()
    shares = [float(part.evaluate(f"one => parseFloat(one.style.{side})")) / 100 for side in ("left", "width")]
    assert part.evaluate("one => one.width") == pytest.approx(shares[1] * 1920, abs=1)
    own = np.asarray(photo.convert("RGB"), dtype=int)
    top = float(part.evaluate("one => parseFloat(one.style.top)")) / 100
    row, column = round(top * 2886) + 50, round(shares[0] * 1920) + 50
    pixel = part.evaluate("one => [...one.getContext('2d').getImageData(50, 50, 1, 1).data]")[:3]
    assert np.abs(own[row, column] - pixel).max() < 30
    page.locator("#examples [data-example=hug]").click()
    expect(page.locator("#pictures .size")).to_contain_text("640 × 962")
    expect(page.locator("#pictures canvas.part")).to_have_count(0)


def test_several_photos_make_a_strip_with_one_download_and_names_that_are_kept(page: Page, tmp_path: Path) -> None:
    names = ("cat", "coffee", "dogs")
    page.locator("#pictures input[type=file]").set_input_files([EXAMPLES / f"{name}.jpg" for name in names])
    photos = page.locator("#pictures .strip .photos button")
    expect(photos).to_have_count(3)
    expect(page.locator("#pictures .size")).to_contain_text("451 × 300")
    photos.nth(2).click()
    expect(page.locator("#pictures .strip small")).to_have_text("3 of 3")
    expect(page.locator("#pictures .legend")).to_contain_text("dog")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all").click()
    download.value.save_as(tmp_path / "all.zip")
    segmenter = segmodels.load(registry.DEFAULT_MODEL)
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        for name in names:
            labels = np.asarray(Image.open(archive.open(f"{name}_labels.png")))
            assert (labels == segmenter(Image.open(EXAMPLES / f"{name}.jpg"), crf=True).labels).mean() > 0.999
    with page.expect_download() as download:
        page.get_by_role("button", name="Label map (PNG)").click()
    assert download.value.suggested_filename == "dogs_labels.png"


def dragged(page: Page, name: str) -> JSHandle:
    """A photo as it is dragged over a page."""
    return page.evaluate_handle(
        """([name, bytes]) => {
          const dragged = new DataTransfer();
          const file = new File([Uint8Array.from(atob(bytes), letter => letter.charCodeAt(0))], name, {type: 'image/jpeg'});
          dragged.items.add(file);
          return dragged;
        }""",
        [name, base64.b64encode((EXAMPLES / name).read_bytes()).decode()],
    )


@pytest.mark.parametrize(
    "tab",
    [
        "segment",
        "lab&section=compare",
        pytest.param("lessons", marks=pytest.mark.slow),
        pytest.param("anatomy", marks=pytest.mark.slow),
    ],
)
def test_a_photo_may_be_dropped_anywhere(page: Page, tab: str) -> None:
    go(page, f"?photo=hug&tab={tab}")
    target = page.locator("#tabs [role=tabpanel]").first
    event: dict[str, Any] = {"dataTransfer": dragged(page, "coffee.jpg")}
    target.dispatch_event("dragover", event)
    expect(page.locator("#drop-zone .here")).to_be_visible()
    target.dispatch_event("drop", event)
    expect(page.locator("#drop-zone .here")).to_be_hidden()
    page.wait_for_function("document.querySelector('#link a').search.includes('photo=coffee')")


@pytest.mark.slow
def test_a_tap_tells_what_lies_there_and_a_tap_beside_puts_it_away(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    load(page, url + "?photo=hug")
    told = page.locator("#pictures .under-pointer")
    page.touchscreen.tap(*place(page, "overlays", 0.4, 0.5))
    expect(told).to_contain_text("mean confidence")
    found = told.bounding_box()
    assert found is not None
    assert found["x"] >= 0
    assert found["x"] + found["width"] <= 390
    page.locator("#introduction").tap()
    expect(told).to_be_hidden()
    context.close()


SMALL = """() => {
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const element = node.parentElement, range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (!node.textContent.trim() || box.width < 2 || box.height < 2) continue;
    const scale = element.closest('svg') ? Math.abs(element.getScreenCTM().a) : 1;
    const size = scale * parseFloat(getComputedStyle(element).fontSize);
    if (size < 11.9) found.push([size, node.textContent.trim().slice(0, 40)]);
  }
  return found;
}"""


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?photo=hug&tab=segment", "#pictures [data-drawn]"),
        pytest.param("?photo=hug&tab=lab&section=compare", "#compare .split", marks=pytest.mark.slow),
        pytest.param("?tab=anatomy", "#anatomy-diagram svg", marks=pytest.mark.slow),
    ],
)
def test_no_letters_are_smaller_than_12_pixels(page: Page, query: str, shown: str) -> None:
    go(page, query)
    page.wait_for_selector(shown)
    assert page.evaluate(SMALL) == []


PLACES = """() => ['model', 'source', 'rate', 'stride', 'variant', 'opacity', 'crf', 'marks', 'voc'].map(id => {
  const {left, top} = document.getElementById(id).getBoundingClientRect();
  return [id, Math.round(left), Math.round(top + scrollY)];
})"""


@pytest.mark.slow
def test_controls_keep_their_place_whatever_is_shown(page: Page, tmp_path: Path) -> None:
    Image.new("RGB", (900, 200), (120, 130, 110)).save(tmp_path / "wide.png")
    places = []
    for photo in (EXAMPLES / "hug.jpg", EXAMPLES / "raft.jpg", tmp_path / "wide.png"):
        page.locator("#pictures input[type=file]").set_input_files(photo)
        with Image.open(photo) as image:
            expect(page.locator("#pictures .size")).to_contain_text(f"{image.width} × {image.height}")
        places.append(page.evaluate(PLACES))
    page.locator("#model label", has_text=re.compile(r"^\s*FCN\s*$")).click()
    expect(page.locator("#ran")).to_contain_text("fcn_mobilenetv2")
    places.append(page.evaluate(PLACES))
    assert all(found == places[0] for found in places[1:])
    link = page.locator("#link button").bounding_box()
    page.locator("#link button").click()
    expect(page.locator("#link [role=status]")).not_to_be_empty()
    assert page.locator("#link button").bounding_box() == link


@pytest.mark.slow
def test_anatomy_and_the_lab_keep_the_network_and_the_rate_of_the_segment_tab(page: Page) -> None:
    go(page, START)
    page.locator("#model label", has_text=re.compile(r"^\s*DeepLab v3\s*$")).click()
    expect(page.locator("#ran")).to_contain_text("deeplabv3_mobilenetv2")
    number = page.locator("#rate input[type=number]")
    number.fill("12")
    number.press("Tab")
    expect(page.locator("#ran")).to_contain_text("atrous rates 12, 24, 36")
    page.get_by_role("tab", name="Anatomy").click()
    expect(page.locator("#anatomy-model input")).to_have_value(re.compile("deeplabv3_mobilenetv2$"))
    expect(page.locator("#anatomy-rate input[type=number]")).to_have_value("12")
    page.get_by_role("tab", name="Lab").click()
    page.get_by_role("tab", name="Click a pixel").click()
    expect(page.locator("#pixel-model input")).to_have_value("DeepLab v3")
    expect(page.locator("#pixel-rate input[type=number]")).to_have_value("12")
