"""Click a pixel, parts on and off, how sure is it: in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from segmodels.inference.pictures import label_image

from ..conftest import NEEDS_CHROMIUM
from ..helpers import go, load, saved_as_seen, unharmed, watched

pytestmark = [NEEDS_CHROMIUM, pytest.mark.slow]


SECTIONS = {
    "Click a pixel": "#pixel svg .effective",
    "Parts on and off": "#parts img",
    "How sure is it": "#certainty img",
}
"""Each section and what is there once it has computed."""


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """Gradients take a second or two, more on a busy machine."""
    expect.set_options(timeout=20_000)
    yield
    expect.set_options(timeout=5_000)


def open_section(page: Page, url: str, title: str) -> None:
    page.set_default_timeout(30_000)
    page.goto(url + "?photo=cat")
    page.get_by_role("tab", name="Lab").click()
    page.get_by_role("tab", name=title).click()
    page.locator(SECTIONS[title]).first.wait_for()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with watched(browser) as (page, errors), unharmed(errors):
        yield page


@pytest.fixture(scope="module")
def opened(browser: Browser, url: str) -> Iterator[tuple[Page, list[str]]]:
    """One page for all tests that click a pixel, and what went wrong on it."""
    with watched(browser) as (page, errors):
        load(page, url + "?photo=cat")
        yield page, errors


@pytest.fixture
def clicking(opened: tuple[Page, list[str]]) -> Iterator[Page]:
    """The section as it opens: DeepLab v3+ as it was trained, the pixel in the middle, which is the cat's."""
    page, errors = opened
    go(page, "?photo=cat&tab=lab&section=pixel")
    caption = page.locator("#pixel figcaption")
    expect(caption).to_contain_text(f"DeepLab v3+ at rate 6, stride 16, {pixel(0.5, 0.5)}: score of cat")
    expect(page.locator("#pixel-facts")).to_contain_text("half of the gradient comes from")
    with unharmed(errors):
        yield page


def click_photo(page: Page, across: float, down: float) -> None:
    """Click the photo, without the strip around it, at these parts of its width and height."""
    box = page.locator("#pixel svg .photo").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])


def choose(page: Page, control: str, name: str) -> None:
    page.locator(f"{control} input").click()
    page.get_by_role("option", name=name, exact=True).click()


def pixel(across: float, down: float) -> str:
    """The photo's pixel, of 451 x 300, in the middle of the one that a network sees there, of 513 x 337."""
    column, row = int(across * 513) + 0.5, int(down * 337) + 0.5
    return f"pixel ({int(column / 513 * 451)}, {int(row / 337 * 300)})"


def test_clicking_a_pixel_draws_its_field_taps_and_bars(clicking: Page) -> None:
    page = clicking
    before = page.locator("#pixel svg .effective").get_attribute("href")
    click_photo(page, 0.9, 0.1)
    expect(page.locator("#pixel-x input[type=number]")).to_have_value("90")
    expect(page.locator("#pixel-y input[type=number]")).to_have_value("10")
    expect(page.locator("#pixel figcaption")).to_contain_text(pixel(0.9, 0.1))
    effective = page.locator("#pixel svg .effective")
    expect(effective).not_to_have_attribute("href", before or "")
    assert page.locator("#pixel svg .taps .off").count() > 0
    assert page.locator("#pixel svg .theoretical rect").count() > 0
    rows = page.locator("#pixel-facts .pixel-bars tbody tr")
    assert 1 <= rows.count() <= 5
    expect(rows.filter(has_text=re.compile(r"\b0\.0%"))).to_have_count(0)
    expect(page.locator("#pixel-facts")).to_contain_text("half of the gradient comes from")


def test_the_keyboard_moves_the_pixel_and_the_settings_move_the_taps(clicking: Page) -> None:
    page = clicking
    page.locator("#pixel-x input[type=range]").press("End")
    expect(page.locator("#pixel figcaption")).to_contain_text("pixel (450, 150)")
    page.locator("#pixel-rate input[type=number]").fill("1")
    page.locator("#pixel-rate input[type=number]").press("Tab")
    expect(page.locator("#pixel-facts")).to_contain_text("rate 3")
    choose(page, "#pixel-model", "U-Net")
    expect(page.locator("#pixel figcaption")).to_contain_text("U-Net")
    expect(page.locator("#pixel-rate input[type=range]")).to_be_disabled()
    expect(page.locator("#pixel svg .taps circle")).to_have_count(0)
    choose(page, "#pixel-class", "dog")
    expect(page.locator("#pixel figcaption")).to_contain_text("score of dog")


def test_the_last_of_many_choices_stays(clicking: Page) -> None:
    page = clicking
    choose(page, "#pixel-model", "FCN")
    page.locator("#pixel-x input[type=range]").focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#pixel figcaption")).to_contain_text(f"FCN, {pixel(0.53, 0.5)}")
    expect(page.locator("#pixel-facts")).to_contain_text("half of the gradient comes from")
    expect(page.locator("#pixel figcaption")).to_contain_text(f"FCN, {pixel(0.53, 0.5)}")


def test_what_is_drawn_can_be_chosen_and_saved(clicking: Page, tmp_path: Path) -> None:
    page = clicking
    page.get_by_role("checkbox", name="Taps").uncheck()
    expect(page.locator("#pixel svg .taps")).to_be_hidden()
    expect(page.locator("#pixel svg .effective")).to_be_visible()
    click_photo(page, 0.3, 0.3)
    expect(page.locator("#pixel figcaption")).to_contain_text(pixel(0.3, 0.3))
    expect(page.locator("#pixel svg .taps")).to_be_hidden()
    files = []
    for hidden in (True, False):
        page.get_by_role("checkbox", name="Taps").set_checked(not hidden)
        with page.expect_download() as download:
            page.locator("#pixel").get_by_role("button", name="Save as PNG").click()
        assert download.value.suggested_filename == "deeplabv3plus_mobilenetv2_pixel.png"
        download.value.save_as(tmp_path / f"{hidden}.png")
        files.append(Image.open(tmp_path / f"{hidden}.png").convert("RGB"))
    assert max(files[0].size) >= 1600
    yellow = [(np.abs(np.asarray(file).astype(int) - (255, 214, 10)).sum(axis=2) < 20).sum() for file in files]
    assert yellow[0] < 50 < 500 < yellow[1]


def test_switching_a_part_off_changes_the_picture(page: Page, url: str) -> None:
    open_section(page, url, "Parts on and off")
    masks = page.locator("#parts label-map")
    expect(page.locator("#parts figcaption").nth(1)).to_have_text("Without low-level path")
    assert masks.nth(0).get_attribute("data-labels") != masks.nth(1).get_attribute("data-labels")
    page.get_by_role("checkbox", name="low-level path").check()
    expect(page.locator("#parts figcaption").nth(1)).to_have_text("The same")
    assert masks.nth(0).get_attribute("data-labels") == masks.nth(1).get_attribute("data-labels")
    page.get_by_role("checkbox", name="1x1 convolution").uncheck()
    expect(page.locator("#parts figcaption").nth(1)).to_have_text("Without 1x1 convolution")
    assert masks.nth(0).get_attribute("data-labels") != masks.nth(1).get_attribute("data-labels")
    expect(page.locator("#parts .figure-of-merit")).to_contain_text("before the concatenation")
    expect(page.locator("#parts-overview li")).to_have_count(6)
    page.locator("#parts-model").get_by_text("U-Net", exact=True).click()
    expect(page.locator("#parts figcaption").nth(1)).to_have_text("Without skip at stride 16")
    page.get_by_role("checkbox", name="skip at stride 8").uncheck()
    expect(page.locator("#parts figcaption").nth(1)).to_have_text("Without skip at stride 16 and skip at stride 8")
    page.locator("#parts-model").get_by_text("U-Net from scratch", exact=True).click()
    expect(page.get_by_role("checkbox", name="skip at stride 1", exact=True)).to_be_checked()
    page.locator("#parts-model").get_by_text("FCN", exact=True).click()
    expect(page.locator("#parts-overview")).to_contain_text("FCN-16s")


def test_a_label_map_is_scored_and_a_wrong_one_explained(page: Page, url: str, tmp_path: Path) -> None:
    open_section(page, url, "Parts on and off")
    truth = np.zeros((300, 451), dtype=np.uint8)
    truth[:, :350] = 8
    label_image(truth).save(tmp_path / "truth.png")
    (tmp_path / "wrong.png").write_text("no picture")
    page.locator("#parts-truth input[type=file]").set_input_files(tmp_path / "truth.png")
    expect(page.locator("#parts figcaption").first).to_contain_text("mIoU 0.")
    expect(page.locator("#parts-overview")).to_contain_text("The full network: mIoU 0.")
    page.locator("#parts-truth").get_by_label("Clear").click()
    expect(page.locator("#parts figcaption").first).to_have_text("Full network")
    page.locator("#parts-truth input[type=file]").set_input_files(tmp_path / "wrong.png")
    expect(page.locator("#parts .problem")).to_contain_text("no PNG that can be read")


def test_certainty_maps_appear_and_follow_the_settings(page: Page, url: str) -> None:
    open_section(page, url, "How sure is it")
    expect(page.locator("#certainty figcaption")).to_contain_text(["Mask, DeepLab v3+", "Entropy in bits", "Margin"])
    expect(page.locator("#certainty .figure-of-merit")).to_contain_text("Mean confidence")
    expect(page.locator("#certainty-table")).to_contain_text("cat")
    entropy = page.get_by_role("img", name="Entropy of every pixel")
    before = entropy.get_attribute("src")
    page.locator("#certainty-rate input[type=range]").press("End")
    expect(page.locator("#certainty figcaption").first).to_contain_text("rate 24")
    assert entropy.get_attribute("src") != before
    choose(page, "#certainty-model", "FCN")
    expect(page.locator("#certainty figcaption").first).to_have_text("Mask, FCN")


@pytest.mark.parametrize(("title", "name"), [("Parts on and off", "full"), ("How sure is it", "margin")])
def test_a_picture_is_saved_as_it_looks(page: Page, url: str, title: str, name: str, tmp_path: Path) -> None:
    """The first picture, a photo under its mask, or the last, a map."""
    open_section(page, url, title)
    figures = page.locator("#parts figure, #certainty figure")
    figure = figures.first if name == "full" else figures.last
    expect(page.locator("#parts-overview li, #certainty-table tbody tr").first).to_be_visible()  # the last to arrive
    page.wait_for_timeout(1000)  # nothing tells that the page has faded in and stands still
    for again in (True, True, False):  # it may be drawn anew between the two pictures
        try:
            saved = saved_as_seen(figure, figure.locator(".picture"), tmp_path)
            break
        except AssertionError:
            if not again:
                raise
            page.wait_for_timeout(1500)
    assert saved == f"deeplabv3plus_mobilenetv2_{name}.png"


def test_every_picture_has_a_text_and_a_phone_need_not_scroll_sideways(browser: Browser, url: str) -> None:
    page = browser.new_page()
    open_section(page, url, next(iter(SECTIONS)))
    for title, computed in SECTIONS.items():
        page.set_viewport_size({"width": 1280, "height": 844})  # where all tabs stand side by side
        page.get_by_role("tab", name=title).click()
        page.locator(computed).first.wait_for()
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for picture in page.locator(
            "#pixel .picture:visible, #parts .picture:visible, #certainty .picture:visible"
        ).all():
            texts = picture.evaluate(
                "box => [box, ...box.children].map(part => part.alt || part.getAttribute('aria-label') || '').join('')"
            )
            assert texts
    page.close()
