"""The server is started again while a page is open."""

from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tools.stress.running import RunningApp

from ..conftest import EXAMPLES, NEEDS_CHROMIUM
from ..helpers import load, watched
from .test_browser import upload

pytestmark = [NEEDS_CHROMIUM, pytest.mark.slow]


def _restart(app: RunningApp) -> None:
    """On the same port, with nothing left of what was uploaded."""
    assert app.end() == 0
    app.start()


def _moves_the_rate(page: Page, rate: int, found: str) -> None:
    page.locator("#rate input[type=range]").press("ArrowRight")
    expect(page.locator("#ran")).to_contain_text(f"atrous rates {rate}, ")
    expect(page.locator("#pictures .legend")).to_contain_text(found)
    expect(page.locator("#pictures .problem")).to_have_text("")


def test_an_open_page_goes_on_when_the_server_starts_again(browser: Browser, tmp_path: Path) -> None:
    with Image.open(EXAMPLES / "hug.jpg") as photo:
        photo.crop((0, 0, 640, 480)).save(tmp_path / "own.png")
    with RunningApp() as app, watched(browser) as (page, _):
        page.set_default_timeout(60_000)
        load(page, app.url + "?photo=dogs")
        page.locator("#examples [data-example=cat]").click()
        expect(page.locator("#pictures .legend")).to_contain_text("cat")
        _restart(app)
        _moves_the_rate(page, 7, "cat")
        upload(page, tmp_path / "own.png")
        expect(page.locator("#pictures figcaption").first).to_contain_text("640 × 480")
        expect(page.locator("#pictures .legend")).to_contain_text("dog")
        _restart(app)
        _moves_the_rate(page, 8, "dog")
        with page.expect_download() as download:
            page.get_by_role("button", name="Label map (PNG)").click()
        with Image.open(download.value.path()) as labels:
            assert labels.size == (640, 480)
        _restart(app)
        with page.expect_download():  # the first that is asked after a restart
            page.get_by_role("button", name="Label map (PNG)").click()
        page.get_by_role("tab", name="Lab", exact=True).click()
        page.wait_for_timeout(300)
        assert app.end() == 0  # while it computes
