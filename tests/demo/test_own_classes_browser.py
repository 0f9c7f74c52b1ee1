"""The page with weights of one's own beside the bundled ones, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from segmodels.cli import main
from segmodels.inference.loading import card_from_file
from segmodels.models import registry
from tools.repository import toy_data

from ..conftest import NEEDS_CHROMIUM
from ..helpers import unharmed, watched

pytestmark = [NEEDS_CHROMIUM, pytest.mark.slow]

CLASSES = {"background", "disc", "box"}
BOX = "rgb(60, 110, 230)"
"""As the toy data's classes.txt has it."""
RECIPE = ["--epochs", "8", "--set", "batch=2", "--set", "crop=96", "--set", "warmup=0", "--workers", "0"]
SLOW = 60_000
"""Milliseconds in which a network has surely answered, on a busy machine."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy data, with ``mine.safetensors`` beside it, which was trained on it for seconds."""
    folder = tmp_path_factory.mktemp("own") / "toy"
    toy_data.write(folder)
    out = str(folder.parent / "mine.safetensors")
    main(["train", str(folder), "--model", "fcn_mobilenetv2", "--out", out, *RECIPE])
    return folder


@pytest.fixture(scope="module")
def app(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app as ``python app.py --weights mine.safetensors`` builds it."""
    from demo import build, launch_options  # here, because gradio takes seconds to import

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "CARDS", dict(registry.CARDS))
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        registry.register(card_from_file(toy.parent / "mine.safetensors"))
        page = build()
        _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
        yield url
        page.close()


@pytest.fixture
def page(browser: Browser, app: str) -> Iterator[Page]:
    """A page in which nothing may go wrong."""
    with watched(browser, 1280, 720) as (page, errors), unharmed(errors):
        page.set_default_timeout(SLOW)
        yield page


def names(page: Page, selector: str) -> set[str]:
    """The first words of the items, which are the names of classes."""
    return {text.split()[0] for text in page.locator(selector).all_inner_texts()}


def test_it_is_chosen_beside_the_bundled_ones_and_shows_its_own_classes(page: Page, app: str, toy: Path) -> None:
    page.goto(app + "?photo=cat")
    page.wait_for_selector("#pictures [data-drawn]")
    page.locator("#pictures input[type=file]").set_input_files(toy / "images" / "val00.jpg")
    page.locator("#model label", has_text="mine").click()
    expect(page.locator("#about")).to_contain_text("3 classes (background, disc, box)")
    expect(page.locator("#ran")).to_contain_text("24 photos of toy")
    expect(page.locator("#pictures .legend li", has_text="box").first).to_be_visible()
    assert names(page, "#pictures .legend li") <= CLASSES
    swatch = page.locator("#table tr", has_text="box").locator(".swatch")
    expect(swatch).to_have_css("background-color", BOX)


def _asks_for_its_classes(request: Request) -> bool:
    return "/run/" in request.url and '"mine"' in (request.post_data or "")


def test_the_lab_follows_its_classes_and_does_not_compare_it_with_others(page: Page, app: str) -> None:
    page.goto(app + "?photo=cat&tab=lab&section=pixel&model=mine")
    page.wait_for_selector("#pixel-facts table")
    page.locator("#pixel-model input").click()
    with page.expect_event(
        "requestfinished", _asks_for_its_classes
    ):  # gradio's list breaks if it changes while it is open
        page.get_by_role("option", name="mine").click()
    expect(page.locator("#pixel-facts table").first).to_contain_text("disc")
    page.locator("#pixel-class input").click()
    expect(page.locator("[role=listbox] [role=option]")).to_have_count(1 + len(CLASSES))
    page.get_by_role("option", name="box").click()
    expect(page.locator("#pixel-facts")).to_contain_text("box")
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_selector("#compare table")
    page.locator("#compare-model-a input").click()
    page.get_by_role("option", name="mine").click()
    expect(page.locator("#compare")).to_contain_text("A knows other classes than the rest, so it is left out")
    expect(page.locator("#compare")).to_contain_text("All 3 agree on")


def test_on_a_phone_the_last_network_of_the_row_is_in_view_once_it_is_chosen(page: Page, app: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(app + "?photo=cat")
    page.wait_for_selector("#pictures [data-drawn]")
    mine = page.locator("#model label", has_text="mine")
    mine.click()
    expect(page.locator("#about")).to_contain_text("3 classes")
    expect(mine).to_be_in_viewport()
    assert page.locator("#model").evaluate("element => element.scrollLeft") == 0
