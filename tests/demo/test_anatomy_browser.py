"""The Anatomy tab in a real browser: choose, set, read, save."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page, expect
from torch.utils.flop_counter import FlopCounterMode

from demo.anatomy.tab import OPENS_WITH
from segmodels.insight.cost import count
from segmodels.models import registry

from ..conftest import NEEDS_CHROMIUM
from ..helpers import go, load, unharmed, watched

pytestmark = NEEDS_CHROMIUM

SLOW = 60_000
"""Milliseconds in which all networks have surely been counted at a new size, on a busy machine."""


@contextmanager
def tab(browser: Browser, url: str, width: int) -> Iterator[tuple[Page, list[str]]]:
    """The tab, open and drawn, and what goes wrong on it."""
    with watched(browser, width, 900) as (page, errors):
        load(page, url)
        page.get_by_role("tab", name="Anatomy").click()
        page.wait_for_selector("#anatomy-diagram svg")
        yield page, errors


@pytest.fixture(scope="module")
def opened(browser: Browser, url: str) -> Iterator[tuple[Page, list[str]]]:
    """The tab at desktop width for all tests that begin with the network that is there first, and what went wrong."""
    with tab(browser, url, 1400) as opened:
        yield opened


@pytest.fixture
def page(opened: tuple[Page, list[str]]) -> Iterator[Page]:
    """The tab as it is when it opens, the network that is there first drawn."""
    page, errors = opened
    go(page, "?tab=anatomy")
    expect(page.locator("#anatomy-diagram svg")).to_have_attribute(
        "aria-label", re.compile(rf"\({OPENS_WITH}\) on a photo of 513 × 385 ")
    )
    with unharmed(errors):
        yield page


SIZES = [(224, 224), (512, 384), (333, 500)]


@pytest.fixture(scope="module")
def projector(browser: Browser, url: str) -> Iterator[Page]:
    """The tab at a projector's width, for tests that choose all that they look at."""
    with tab(browser, url, 1280) as (page, errors), unharmed(errors):
        yield page


def choose(page: Page, name: str) -> None:
    page.locator("#anatomy-model input").click()
    page.get_by_role("option", name=re.compile(rf"· {name}\b")).click()
    page.wait_for_selector(f'#anatomy-diagram svg[aria-label*="({name})"]')


@pytest.mark.slow
def test_another_network_changes_diagram_and_tables(page: Page) -> None:
    choose(page, "fcn8s_vgg16")
    expect(page.locator("#anatomy-about")).to_contain_text("Without trained weights")
    expect(page.locator("#anatomy-diagram svg")).to_contain_text("skip_scores.16")
    expect(page.locator("#anatomy-parts")).to_contain_text("decoder.upsamples.16")
    expect(page.locator("#anatomy-layers")).to_contain_text("7x7 convolution")
    expect(page.locator("#anatomy-others tr.chosen")).to_contain_text("fcn8s_vgg16", timeout=SLOW)
    expect(page.locator("#anatomy-others tbody tr")).to_have_count(len(registry.CARDS), timeout=SLOW)


def test_settings_are_idle_where_there_are_none(page: Page) -> None:
    slider = page.locator("#anatomy-rate input[type=range]")
    expect(slider).to_be_disabled()
    choose(page, "deeplabv3plus_mobilenetv2")
    expect(slider).to_be_enabled()
    choose(page, "fcn_mobilenetv2")
    expect(slider).to_be_disabled()
    expect(page.locator("#anatomy-stride input").first).to_be_disabled()
    expect(page.locator("#anatomy-about")).to_contain_text("no rate or stride to set")


@pytest.mark.slow
def test_rate_stride_and_size_are_drawn(page: Page) -> None:
    choose(page, "deeplabv3_mobilenetv2")
    drawing = page.locator("#anatomy-diagram svg")
    page.locator("#anatomy-stride").get_by_text("8", exact=True).click()
    expect(drawing).to_contain_text("65 × 49 × 320")
    page.locator("#anatomy-rate input[type=range]").press("ArrowRight")
    expect(drawing).to_contain_text("rate 21")
    page.locator("#anatomy-width input[type=number]").fill("256")
    page.locator("#anatomy-width input[type=number]").press("Tab")
    expect(drawing).to_contain_text("32 × 49 × 320")
    expect(page.locator("#anatomy-others caption")).to_contain_text("256 × 385", timeout=SLOW)


@pytest.mark.slow
def test_the_last_of_many_choices_stays(page: Page) -> None:
    page.locator("#anatomy-width input[type=range]").focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#anatomy-others caption")).to_contain_text("525 × 385", timeout=SLOW)
    expect(page.locator("#anatomy-diagram svg")).to_have_attribute("aria-label", re.compile("525 × 385"))


def test_the_layers_can_be_saved(page: Page, tmp_path: Path) -> None:
    with page.expect_download() as download:
        page.get_by_role("link", name="Layers (CSV)").click()
    assert download.value.suggested_filename == f"{OPENS_WITH}_513x385.csv"
    download.value.save_as(tmp_path / "layers.csv")
    assert (tmp_path / "layers.csv").read_text().startswith("layer,kind,channels,")


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_network_is_whole_on_a_projector_and_counted_as_torch_does(
    projector: Page, size: tuple[int, int]
) -> None:
    """A third of the networks at each size: tables fit, and the totals are those of torch's own counter."""
    page, (width, height) = projector, size
    for side, pixels in zip(("width", "height"), size, strict=True):
        page.locator(f"#anatomy-{side} input[type=number]").fill(str(pixels))
        page.locator(f"#anatomy-{side} input[type=number]").press("Tab")
    for name in registry.list_models()[SIZES.index(size) :: len(SIZES)]:
        choose(page, name)
        page.wait_for_selector(f'#anatomy-diagram svg[aria-label*="({name}) on a photo of {width} × {height} "]')
        with torch.device("meta"):
            network = registry.build(name).eval()
            with FlopCounterMode(display=False) as counter:
                network(torch.empty(1, 3, height, width))
        cost = count(network, height, width)
        assert 2 * cost.macs == pytest.approx(counter.get_total_flops(), rel=0.005)
        rows = page.locator(".layers tbody tr:not(.group)")
        expect(rows.locator("td:nth-child(5)")).to_have_text([f"{layer.macs:,}" for layer in cost.layers], timeout=SLOW)
        expect(rows.locator("td:nth-child(4)")).to_have_text([f"{layer.parameters:,}" for layer in cost.layers])
        fields = [layer.receptive_field for layer in cost.layers]
        expect(rows.locator("td:nth-child(6)")).to_have_text(
            ["whole photo" if math.isinf(field) else f"{field:,.0f}" for field in fields]
        )
        expect(page.locator("#anatomy-parts tfoot td").first).to_have_text(
            f"{width} × {height} × {len(registry.card(name).classes)}"
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280  # the diagram scrolls in its own box
        for box in (".layers", "#anatomy-parts .wide"):
            room, taken = page.locator(box).evaluate("box => [box.clientWidth, box.scrollWidth]")
            assert taken <= room, f"{box} of {name}"


@pytest.mark.slow
def test_on_a_phone_what_is_wide_scrolls_in_its_own_box(browser: Browser, url: str) -> None:
    with tab(browser, url, 390) as (page, errors), unharmed(errors):
        expect(page.locator("#anatomy-others tbody tr")).to_have_count(len(registry.CARDS), timeout=SLOW)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for box in (".diagram", ".layers", "#anatomy-parts .wide", "#anatomy-others .wide"):
            assert page.locator(box).evaluate("box => box.scrollWidth > box.clientWidth && box.clientWidth < 390"), box
