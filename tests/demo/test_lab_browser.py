"""The Lab's sections and the links in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from segmodels.labels import DISPLAY_PALETTE, PALETTE, VOC_CLASSES

from ..conftest import EXAMPLES, NEEDS_CHROMIUM
from ..helpers import START, go, load, unharmed, watched

pytestmark = NEEDS_CHROMIUM

SLOW = 60_000
"""Milliseconds in which a network has surely answered, on a busy machine."""
FULL = "#grid .rates:not(:has(.pending))"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """One in which nothing may go wrong."""
    with watched(browser) as (page, errors), unharmed(errors):
        page.set_default_timeout(SLOW)
        yield page


@pytest.fixture(scope="module")
def shared(browser: Browser, url: str) -> Iterator[tuple[Page, list[str]]]:
    """One page for all tests that do not ask how it is loaded, and what went wrong on it."""
    with watched(browser) as (page, errors):
        page.set_default_timeout(SLOW)
        load(page, url + "?photo=cat")
        yield page, errors


@pytest.fixture
def begun(shared: tuple[Page, list[str]]) -> Iterator[Page]:
    """The first tab as it opens."""
    page, errors = shared
    go(page, START)
    expect(page.locator("#pictures .legend")).to_contain_text("cat")
    with unharmed(errors):
        yield page


@pytest.fixture
def lab(begun: Page) -> Page:
    """The Lab's first section, as one comes to it from the first tab."""
    begun.get_by_role("tab", name="Lab").click()
    begun.locator("#sections").get_by_role("tab", name="Rates × stride").click()
    return begun


def picture(part: Locator) -> str:
    """What a label map's canvas shows, once it is drawn."""
    drawn = "one => one.drawn && one.drawn === one.closest('[data-labels]').dataset.labels"
    part.page.wait_for_function(drawn, arg=part.element_handle())
    image: str = part.locator("canvas").evaluate("canvas => canvas.toDataURL()")
    return image


def test_the_grid_fills_and_a_cell_is_enlarged_by_mouse_and_keyboard(lab: Page) -> None:
    lab.wait_for_selector(FULL)
    cells = lab.get_by_role("radio", name=re.compile(r"^Rate \d+, output stride"))
    expect(cells).to_have_count(18)
    expect(lab.get_by_role("radio", name="Rate 6, output stride 16, trained")).to_be_checked()
    detail = lab.locator("#grid .detail:visible")
    expect(detail).to_contain_text("Every pixel is labelled as trained.")
    lab.locator('#grid label.cell:has([value="18-8"])').click()
    expect(detail).to_have_count(1)
    expect(detail).to_contain_text("Rate 18, output stride 8")
    expect(detail).to_contain_text("of the pixels are labelled otherwise")
    mask, difference = picture(detail.locator("label-map").first), picture(detail.locator("[data-marks]"))
    assert mask != difference
    box, cell = (
        detail.locator(".picture").first.bounding_box(),
        lab.locator("#grid .cell .picture").first.bounding_box(),
    )
    assert box is not None
    assert cell is not None
    assert box["width"] > 1.3 * cell["width"]
    lab.get_by_role("radio", name="Rate 18, output stride 8").press("ArrowUp")
    expect(detail).to_contain_text("Rate 12, output stride 8, same field")
    assert picture(detail.locator("[data-marks]")) != difference


def colour_on_the_cat(page: Page, layer: str) -> list[int]:
    """Red, green and blue of a label map over the middle of the cat's face, at the opacity it is drawn with."""
    page.wait_for_function("layer => document.querySelector(layer).drawn", arg=layer)
    pixel: list[int] = (
        page.locator(layer)
        .first.locator("canvas")
        .evaluate("""canvas =>
        [...canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data]""")
    )
    return pixel[:3]


def test_the_switch_of_colours_is_every_tabs(lab: Page) -> None:
    for tabs, layer in ((("Parts on and off",), "#parts label-map"), (("Lessons", "3 Skips"), "#lesson-3 label-map")):
        for tab in tabs:
            lab.get_by_role("tab", name=tab).click()
        for on, palette in ((False, DISPLAY_PALETTE), (True, PALETTE)):
            lab.wait_for_selector(f"{layer} >> nth=0")
            lab.evaluate(
                "([on, layer]) => { document.querySelector(layer).drawn = null; drawing.useVoc(on); }", [on, layer]
            )
            found = colour_on_the_cat(lab, layer)
            assert np.abs(np.array(found, dtype=int) - palette[VOC_CLASSES.index("cat")]).max() <= 2


def test_the_photo_is_changed_in_the_lab_and_for_all_tabs(lab: Page) -> None:
    lab.wait_for_selector(FULL)
    lab.locator('#photo-bar input[type="file"]').set_input_files(EXAMPLES / "astronaut.jpg")
    expect(lab.locator("#photo-in-use")).to_contain_text("512 × 512", timeout=SLOW)
    expect(lab.locator("#grid .detail:visible .legend")).to_contain_text("person", timeout=SLOW)
    lab.get_by_role("tab", name="Segment").click()
    expect(lab.locator("#pictures .legend")).to_contain_text("person", timeout=SLOW)
    lab.locator("#examples [data-example=cat]").click()
    expect(lab.locator("#pictures .legend")).to_contain_text("cat", timeout=SLOW)
    lab.get_by_role("tab", name="Lab").click()
    expect(lab.locator("#photo-in-use")).to_contain_text("451 × 300", timeout=SLOW)
    expect(lab.locator("#grid .detail:visible .legend")).to_contain_text("cat", timeout=SLOW)


def test_compare_shows_disagreement(lab: Page) -> None:
    lab.locator("#sections").get_by_role("tab", name="Compare").click()
    expect(lab.locator("#compare .in-step figure")).to_have_count(4, timeout=SLOW)
    expect(lab.locator("#compare table tbody tr")).to_have_count(4, timeout=SLOW)
    expect(lab.locator("#compare")).to_contain_text(re.compile(r"All 4 agree on \d+\.\d% of the pixels"), timeout=SLOW)
    assert len(picture(lab.locator("#compare [data-marks]"))) > 1000  # not empty
    lab.locator("#compare-model-d input").click()
    lab.get_by_role("option", name="none").click()
    expect(lab.locator("#compare")).to_contain_text("All 3 agree on", timeout=SLOW)
    for name in (re.compile("Where [A-C] ends and [A-C] begins"), "Zoom"):
        lab.get_by_role("slider", name=name).press("End")
    assert (
        lab.locator("#compare .right").evaluate("element => getComputedStyle(element).clipPath")
        == "inset(0px 0px 0px 100%)"
    )
    zooms = lab.locator("#compare .zoomed").evaluate_all("all => all.map(one => getComputedStyle(one).transform)")
    assert set(zooms) == {"matrix(8, 0, 0, 8, 0, 0)"}


@pytest.mark.slow
def test_skips_learn_until_they_are_paused_and_begin_again(lab: Page) -> None:
    lab.locator("#sections").get_by_role("tab", name="Skips that learn").click()
    said = lab.locator("#learn figcaption")
    expect(said).to_contain_text("Step 0 of", timeout=SLOW)
    lab.get_by_role("button", name="Train", exact=True).click()
    expect(said).to_contain_text(re.compile("Step [1-9]"), timeout=SLOW)
    lab.get_by_role("button", name="Pause").click()
    expect(lab.get_by_role("button", name="Train", exact=True)).to_be_visible()
    lab.get_by_role("button", name="Reset").click()
    expect(said).to_contain_text("Step 0 of", timeout=SLOW)


def test_weights_that_fit_are_beside_weights_that_were_moved(begun: Page) -> None:
    page = begun
    go(page, "?tab=lab&section=weights")
    expect(page.locator("#fit")).to_contain_text("Weights trained here")
    expect(page.locator("#fit svg circle.chosen")).to_have_count(2)
    expect(page.locator("#fit")).to_contain_text("at atrous rate 1 and output stride 16")
    before = page.locator("#fit label-map").first.get_attribute("data-labels")
    page.locator("#fit-setting").get_by_text("12 at stride 16", exact=True).click()
    expect(page.locator("#fit")).to_contain_text("at atrous rate 12 and output stride 16")
    assert page.locator("#fit label-map").first.get_attribute("data-labels") != before
    page.locator("#fit-kind").get_by_text("Weights trained here").click()
    expect(page.locator("#fit")).not_to_contain_text("run here")


@pytest.mark.slow
def test_a_link_brings_back_photo_network_settings_and_tab(page: Page, url: str) -> None:
    query = "?photo=astronaut&model=deeplabv3_mobilenetv2&rate=12&stride=8&tab=lab"
    page.goto(url + query)
    expect(page.get_by_role("tab", name="Lab", exact=True)).to_have_attribute("aria-selected", "true", timeout=SLOW)
    page.wait_for_selector(FULL)
    expect(page.locator("#grid-model input:checked")).to_have_value("deeplabv3_mobilenetv2")
    expect(page.locator("#photo-in-use")).to_contain_text("512 × 512", timeout=SLOW)
    expect(page.locator("#link a")).to_have_attribute("href", re.compile("section=grid"))
    link = parse_qs(str(page.locator("#link a").get_attribute("href")).removeprefix("?"))
    assert link.items() >= (parse_qs(query.removeprefix("?")) | {"section": ["grid"]}).items()
    page.get_by_role("tab", name="Segment").click()
    expect(page.locator("#ran")).to_contain_text("atrous rates 12, 24, 36 at output stride 8", timeout=SLOW)
    expect(page.locator("#ran")).to_contain_text("deeplabv3_mobilenetv2")
    expect(page.locator("#pictures .legend")).to_contain_text("person", timeout=SLOW)


def test_a_link_can_be_copied_and_followed(lab: Page, url: str) -> None:
    lab.locator("#sections").get_by_role("tab", name="Compare").click()
    lab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect(lab.locator("#link a")).to_have_attribute("href", re.compile("section=compare"))
    lab.get_by_role("button", name="Copy link").click()
    expect(lab.locator("#link")).to_contain_text("Copied.")
    copied = lab.evaluate("navigator.clipboard.readText()")
    assert copied == url + "?photo=cat&model=deeplabv3plus_mobilenetv2&rate=6&stride=16&tab=lab&section=compare"
    lab.goto(copied)
    lab.wait_for_selector("#compare table")


def test_an_own_photo_is_not_in_the_link_and_that_is_said(begun: Page, tmp_path: Path) -> None:
    file = tmp_path / "cat.jpg"
    file.write_bytes((EXAMPLES / "cat.jpg").read_bytes() + b"\0")
    begun.locator("#pictures input[type=file]").set_input_files(file)
    expect(begun.locator("#link")).to_contain_text("Your own photo cannot be in a link", timeout=SLOW)
    expect(begun.locator("#link a")).not_to_have_attribute("href", re.compile("photo="))


@pytest.mark.slow
def test_the_address_follows_and_back_and_reload_bring_it_back(page: Page, url: str) -> None:
    page.goto(url + "?photo=cat")
    page.wait_for_selector("#pictures [data-drawn]")
    page.wait_for_url(re.compile("tab=segment"))
    page.locator("#rate input[type=range]").press("ArrowRight")
    page.wait_for_url(re.compile("rate=7&"))
    page.get_by_role("tab", name="Lab", exact=True).click()
    page.wait_for_url(re.compile("tab=lab&section=grid"))
    page.reload()
    expect(page.get_by_role("tab", name="Lab", exact=True)).to_have_attribute("aria-selected", "true", timeout=SLOW)
    page.wait_for_timeout(3500)  # what follows is a step of its own
    page.get_by_role("tab", name="Lessons", exact=True).click()
    page.wait_for_url(re.compile("tab=lessons"))
    page.go_back()
    expect(page.get_by_role("tab", name="Lab", exact=True)).to_have_attribute("aria-selected", "true", timeout=SLOW)
    expect(page.locator("#rate input[type=number]")).to_have_value("7")


@pytest.mark.slow
def test_a_link_carries_the_settings_of_what_is_open(page: Page, url: str) -> None:
    page.goto(url + "?photo=cat&tab=lab&section=pixel&pixel-x=20&pixel-class=cat")
    expect(page.locator("#pixel-x input[type=number]")).to_have_value("20", timeout=SLOW)
    expect(page.locator("#pixel-class input")).to_have_value("cat")
    expect(page.locator("#link a")).to_have_attribute("href", re.compile("pixel-x=20"), timeout=SLOW)


@pytest.mark.slow
def test_what_a_link_asks_for_in_vain_is_said(page: Page, url: str) -> None:
    page.goto(url + "?photo=dog&tab=attic&rate=3")
    expect(page.locator("#link-note")).to_contain_text("no example photo called 'dog'", timeout=SLOW)
    expect(page.locator("#link-note")).to_contain_text("no tab called 'attic'")
    expect(page.locator("#ran")).to_contain_text("atrous rates 3, 6, 9", timeout=SLOW)


@pytest.mark.slow
def test_nothing_is_wider_than_a_phone(browser: Browser, url: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(url + "?tab=lab")
    page.wait_for_selector(FULL)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#sections").get_by_role("tab", name="Compare").click()
    page.wait_for_selector("#compare table")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
