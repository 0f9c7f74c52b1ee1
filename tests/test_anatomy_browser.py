"""The Anatomy tab in a real browser: choose, set, read, save."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from segmodels import zoo

from .conftest import NEEDS_CHROMIUM

pytestmark = NEEDS_CHROMIUM

SLOW = 60_000
"""Milliseconds in which all networks have surely been counted at a new size, on a busy machine."""


def open_tab(browser: Browser, url: str, width: int) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(30_000)
    page.goto(url)
    page.get_by_role("tab", name="Anatomy").click()
    page.wait_for_selector("#anatomy-diagram svg")
    return page


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The tab at desktop width, the network that is there first drawn."""
    page = open_tab(browser, url, 1400)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


def choose(page: Page, name: str) -> None:
    page.locator("#anatomy-model input").click()
    page.get_by_role("option", name=re.compile(rf"· {name}\b")).click()
    page.wait_for_selector(f'#anatomy-diagram svg[aria-label*="({name})"]')


def test_another_network_changes_diagram_and_tables(page: Page) -> None:
    choose(page, "fcn8s_vgg16")
    expect(page.locator("#anatomy-about")).to_contain_text("no trained weights")
    expect(page.locator("#anatomy-diagram svg")).to_contain_text("score16")
    expect(page.locator("#anatomy-parts")).to_contain_text("decoder.upsample32")
    expect(page.locator("#anatomy-layers")).to_contain_text("7x7 convolution")
    expect(page.locator("#anatomy-others tr.chosen")).to_contain_text("fcn8s_vgg16", timeout=SLOW)
    expect(page.locator("#anatomy-others tbody tr")).to_have_count(len(zoo.CARDS), timeout=SLOW)


def test_settings_are_idle_where_there_are_none(page: Page) -> None:
    slider = page.locator("#anatomy-rate input[type=range]")
    expect(slider).to_be_disabled()
    choose(page, "deeplabv3plus_lite0")
    expect(slider).to_be_enabled()
    choose(page, "fcn_lite0")
    expect(slider).to_be_disabled()
    expect(page.locator("#anatomy-stride input").first).to_be_disabled()
    expect(page.locator("#anatomy-about")).to_contain_text("no rate or stride to set")


def test_rate_stride_and_size_are_drawn(page: Page) -> None:
    choose(page, "deeplabv3_lite0")
    drawing = page.locator("#anatomy-diagram svg")
    page.locator("#anatomy-stride").get_by_text("8", exact=True).click()
    expect(drawing).to_contain_text("320 × 48 × 64")
    page.locator("#anatomy-rate input[type=range]").press("ArrowRight")
    expect(drawing).to_contain_text("rate 21")
    page.locator("#anatomy-width input[type=number]").fill("256")
    page.locator("#anatomy-width input[type=number]").press("Tab")
    expect(drawing).to_contain_text("320 × 48 × 32")
    expect(page.locator("#anatomy-others caption")).to_contain_text("256 × 384", timeout=SLOW)


def test_the_last_of_many_choices_stays(page: Page) -> None:
    page.locator("#anatomy-width input[type=range]").focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#anatomy-others caption")).to_contain_text("524 × 384", timeout=SLOW)
    expect(page.locator("#anatomy-diagram svg")).to_have_attribute("aria-label", re.compile("524 × 384"))


def test_the_layers_can_be_saved(page: Page, tmp_path: Path) -> None:
    with page.expect_download() as download:
        page.get_by_role("link", name="Layers (CSV)").click()
    assert download.value.suggested_filename == "unet_lite0_512x384.csv"
    download.value.save_as(tmp_path / "layers.csv")
    assert (tmp_path / "layers.csv").read_text().startswith("layer,kind,channels,")


def test_on_a_phone_what_is_wide_scrolls_in_its_own_box(browser: Browser, url: str) -> None:
    page = open_tab(browser, url, 390)
    expect(page.locator("#anatomy-others tbody tr")).to_have_count(len(zoo.CARDS), timeout=SLOW)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for box in (".diagram", ".layers", "#anatomy-parts .wide", "#anatomy-others .wide"):
        assert page.locator(box).evaluate("box => box.scrollWidth > box.clientWidth && box.clientWidth < 390"), box
    page.close()
