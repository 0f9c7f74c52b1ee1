"""The page in a real browser: upload, choose, see, download."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from segmodels.networks import published
from segmodels.weights import FetchError

from .conftest import EXAMPLES, NEEDS_CHROMIUM

pytestmark = NEEDS_CHROMIUM


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The page at desktop width, its first example segmented."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(30_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.wait_for_selector("#pictures .segmented img")
    yield page
    page.close()
    assert errors == []


def upload(page: Page, file: Path) -> None:
    """Put ``file`` in the place of the photo that is there."""
    page.locator("#photo").get_by_label("Remove Image").click()
    page.locator("#photo input[type=file]").set_input_files(file)


def test_three_panels_side_by_side(page: Page) -> None:
    captions = page.locator("#pictures figcaption")
    expect(captions).to_have_text(["Input", "Segmented output", "Per-class overlays"])
    boxes = [captions.nth(index).bounding_box() for index in range(3)]
    assert all(box is not None for box in boxes)
    assert len({round(box["y"]) for box in boxes if box}) == 1
    expect(page.locator("#pictures .legend")).to_contain_text("cat")
    expect(page.locator("#table")).to_contain_text("Mean confidence")
    expect(page.locator("#ran")).to_contain_text("deeplabv3plus_mobilenetv2")


def test_panels_are_stacked_on_a_phone(browser: Browser, url: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(url)
    page.wait_for_selector("#pictures .segmented img")
    tops = [figure.bounding_box() for figure in page.locator("#pictures figure").all()]
    assert all(
        first["y"] + first["height"] <= second["y"] for first, second in itertools.pairwise(tops) if first and second
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_an_upload_is_segmented(page: Page) -> None:
    upload(page, EXAMPLES / "astronaut.jpg")
    expect(page.locator("#pictures .legend")).to_contain_text("person")
    expect(page.locator("#pictures")).to_contain_text("512 × 512")


def test_each_network_can_be_chosen_and_settings_are_idle_where_there_are_none(page: Page) -> None:
    slider = page.locator("#rate input[type=range]")
    for title, name, active in [
        ("FCN", "fcn_mobilenetv2", False),
        ("U-Net", "unet_mobilenetv2", False),
        ("U-Net from scratch", "unet_width24", False),
        ("DeepLab v3", "deeplabv3_mobilenetv2", True),
        ("DeepLab v3+", "deeplabv3plus_mobilenetv2", True),
    ]:
        page.locator("#model").get_by_text(title, exact=True).click()
        expect(page.locator("#ran")).to_contain_text(name)
        expect(page.locator("#pictures .legend")).to_contain_text("cat")
        if active:
            expect(slider).to_be_enabled()
        else:
            expect(slider).to_be_disabled()
            expect(page.get_by_text("has no atrous convolutions")).to_be_visible()


def test_moving_the_atrous_rate_runs_the_decoder_alone(page: Page) -> None:
    before = page.locator("#pictures .segmented img").get_attribute("src")
    slider = page.locator("#rate input[type=range]")
    slider.focus()
    for _ in range(5):
        slider.press("ArrowLeft")
    expect(page.locator("#ran")).to_contain_text("atrous rates 1, 2, 3")
    expect(page.locator("#ran")).to_contain_text("features remembered")
    expect(page.locator("#ran")).to_contain_text("trained at atrous rate 6")
    assert page.locator("#pictures .segmented img").get_attribute("src") != before


def test_choosing_a_class_isolates_it_by_mouse_and_keyboard(page: Page) -> None:
    upload(page, EXAMPLES / "grace_hopper.jpg")
    expect(page.locator("#pictures .legend")).to_contain_text("person")
    layer = page.locator('#pictures .flat[data-class="15"]')
    expect(layer).to_have_css("opacity", "0")
    page.locator('#pictures .choices label[data-class="15"]').click()
    expect(layer).to_have_css("opacity", "1")
    page.locator('#pictures .choices input[value="15"]').press("ArrowLeft")
    page.mouse.move(0, 0)
    expect(layer).to_have_css("opacity", "0")


def test_the_overlay_opacity_answers_in_the_browser(page: Page) -> None:
    slider = page.locator("#opacity input[type=range]")
    slider.focus()
    slider.press("End")
    page.wait_for_function("getComputedStyle(document.documentElement).getPropertyValue('--overlay-opacity') == '1'")


def test_downloads(page: Page, tmp_path: Path) -> None:
    files = {}
    for button in ("Label map (PNG)", "Overlay (PNG)", "Figure (PNG)", "Table (CSV)", "Report (JSON)"):
        with page.expect_download() as download:
            page.get_by_role("button", name=button).click()
        files[button] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[button])
    labels = Image.open(files["Label map (PNG)"])
    assert (labels.mode, labels.size) == ("P", (451, 300))
    assert (np.asarray(labels) == 8).mean() > 0.2
    assert Image.open(files["Overlay (PNG)"]).size == (451, 300)
    assert Image.open(files["Figure (PNG)"]).width > 900
    assert files["Table (CSV)"].read_text().startswith("class,share,mean_confidence\n")
    assert json.loads(files["Report (JSON)"].read_text())["classes"]["cat"] > 0.2


def test_a_file_that_is_no_photo_is_answered_in_a_sentence(page: Page, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture at all")
    upload(page, tmp_path / "text.jpg")
    expect(page.locator("#pictures .problem")).to_be_visible()
    upload(page, EXAMPLES / "cat.jpg")
    expect(page.locator("#pictures .legend")).to_contain_text("cat")


def test_weights_that_cannot_be_fetched_are_explained(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, progress: object = None) -> Path:
        raise FetchError("there is no connection")

    monkeypatch.setattr(published, "weights_file", unreachable)
    monkeypatch.setattr(published, "url", lambda name: "http://127.0.0.1:9/none-00000000.pth")
    page.locator("#source").get_by_text("torchvision's").click()
    expect(page.locator("#pictures .problem")).to_contain_text("there is no connection; choose a bundled network")
    expect(page.locator("#model")).to_contain_text("DeepLab v3, ResNet-101")
    page.locator("#source").get_by_text("Bundled").click()
    expect(page.locator("#pictures .legend")).to_contain_text("cat")


def test_nothing_found_is_said_kindly(page: Page) -> None:
    upload(page, EXAMPLES / "rocket.jpg")
    expect(page.locator("#pictures")).to_contain_text("Nothing here that the network knows")


def test_pictures_have_alternative_texts(page: Page) -> None:
    for image in page.locator("#pictures img").all():
        assert image.get_attribute("alt")
