"""The awkward photos and moments in Chromium: what a visitor reads, and that the page goes on."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from gradio.utils import get_upload_folder
from playwright.sync_api import Browser, Page, Request, expect

import segmodels
from demo.server import cache, timeouts
from demo.server.messages import BROKEN

from ..conftest import EXAMPLES, NEEDS_CHROMIUM
from ..helpers import START, go, load, unharmed, watched
from ..inference.test_photo import encoded
from .test_browser import upload
from .test_hostile import ODD, REFUSED, scene

pytestmark = [
    NEEDS_CHROMIUM,
    pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning"),
]


@pytest.fixture(scope="module")
def opened(browser: Browser, url: str) -> Iterator[tuple[Page, list[str]]]:
    """One page for all tests, and what happened that must not: no script may fail, nothing may be asked of other hosts."""
    with watched(browser) as (page, wrong):

        def note(request: Request) -> None:
            address = urlsplit(request.url)
            if address.scheme.startswith("http") and address.netloc != urlsplit(url).netloc:
                wrong.append(request.url)

        page.on("dialog", lambda dialog: wrong.append(f"a script ran: {dialog.message}"))
        page.on("request", note)
        load(page, url + "?photo=cat")
        yield page, wrong


@pytest.fixture
def page(opened: tuple[Page, list[str]]) -> Iterator[Page]:
    """The page, its first example segmented."""
    page, wrong = opened
    for close in page.get_by_test_id("toast-close").all():
        close.click()
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
    go(page, START)
    expect(page.locator("#pictures figcaption").first).to_have_text("Input 451 × 300 pixels")
    expect(page.locator("#pictures .legend")).to_contain_text("cat")
    expect(page.locator("#ran")).to_contain_text("atrous rates 6, 12, 18")
    with unharmed(wrong):
        yield page


def written(folder: Path, data: bytes, name: str = "photo.jpg") -> Path:
    file = folder / name
    file.write_bytes(data)
    return file


REFUSED_HERE = ("zero bytes", "text", "cut jpeg", "cut png", "bomb, png", "bomb, tiff", "31 x 31", "svg", "video")


def test_what_is_no_photo_is_refused_where_the_pictures_would_be(page: Page, tmp_path: Path) -> None:
    problem = page.locator("#pictures .problem")
    for name in REFUSED_HERE:
        data, words = REFUSED[name]
        upload(page, written(tmp_path, data(), "<img src=x onerror=alert(1)>.jpg"))
        expect(problem).to_be_visible()
        expect(problem).to_have_text(re.compile(words))
        expect(page.locator("#pictures canvas:visible")).to_have_count(0)
        upload(page, EXAMPLES / "cat.jpg")
        expect(problem).to_be_hidden()
        expect(page.locator("#pictures .legend")).to_contain_text("cat")


@pytest.mark.parametrize(
    "name",
    [
        "heic",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("animated gif", "animated webp", "animated png", "tiff of several pages")
        ),
    ],
)
def test_an_odd_photo_is_shown_as_what_was_read(page: Page, tmp_path: Path, name: str) -> None:
    upload(page, written(tmp_path, ODD[name].data(), ODD[name].name))
    expect(page.locator("#pictures")).to_contain_text("240 × 160 pixels")
    expect(page.locator("#pictures .legend")).to_contain_text("cat")
    if ODD[name].note:
        expect(page.locator("#pictures")).to_contain_text(str(ODD[name].note))


@pytest.mark.parametrize("turn", [pytest.param(3, marks=pytest.mark.slow), 6, pytest.param(8, marks=pytest.mark.slow)])
def test_a_turned_photo_is_shown_upright(page: Page, tmp_path: Path, turn: int) -> None:
    upload(page, written(tmp_path, ODD[f"exif orientation {turn}"].data()))
    expect(page.locator("#pictures")).to_contain_text("240 × 160 pixels")
    width, height = page.locator("#pictures .input canvas").evaluate("canvas => [canvas.width, canvas.height]")
    assert width / height == pytest.approx(1.5, abs=0.05)


def change_the_rate(page: Page) -> None:
    slider = page.locator("#rate input[type=range]")
    slider.focus()
    slider.press("ArrowLeft")


def test_a_photo_that_was_deleted_meanwhile_is_sent_again(page: Page, tmp_path: Path) -> None:
    upload(page, written(tmp_path, encoded(scene(), "PNG"), "to-be-deleted.png"))
    expect(page.locator("#pictures")).to_contain_text("240 × 160")
    for file in Path(get_upload_folder()).rglob("to-be-deleted.png"):
        file.unlink()
    change_the_rate(page)  # the browser has it, and sends it again
    expect(page.locator("#ran")).to_contain_text("atrous rates 5, 10, 15")
    assert len(list(Path(get_upload_folder()).rglob("to-be-deleted.png"))) == 1
    expect(page.locator("#pictures")).to_contain_text("240 × 160")
    for file in Path(get_upload_folder()).rglob("to-be-deleted.png"):
        file.unlink()
    with page.expect_download() as download:
        page.get_by_role("button", name="Label map (PNG)").click()
    assert download.value.suggested_filename == "to-be-deleted_labels.png"


def test_a_request_over_its_time_is_explained(page: Page, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(timeouts, "REQUEST_SECONDS", 0.0)
    upload(page, written(tmp_path, encoded(scene(), "PNG") + b"slow", "slow.png"))
    expect(page.locator("#pictures .problem")).to_contain_text("so it was stopped")
    monkeypatch.undo()
    change_the_rate(page)
    expect(page.locator("#pictures .legend")).to_contain_text("cat")


def test_what_nobody_foresaw_is_a_sentence_too(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: str) -> Any:
        raise RuntimeError("[/home/someone/secret.py:1] an error for programmers")

    monkeypatch.setattr(cache, "display", broken)
    change_the_rate(page)
    expect(page.get_by_text(BROKEN).first).to_be_visible()
    expect(page.get_by_text("for programmers")).to_have_count(0)
    monkeypatch.undo()
    change_the_rate(page)
    expect(page.locator("#ran")).to_contain_text("atrous rates 4, 8, 12")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While it is shut, no photo can be read."""
    gate = threading.Event()
    read: Callable[..., Any] = segmodels.read_photo

    def wait_and_read(path: str, **settings: Any) -> Any:
        assert gate.wait(60)
        return read(path, **settings)

    monkeypatch.setattr(cache, "read_photo", wait_and_read)
    yield gate
    gate.set()


@pytest.mark.slow
def test_whoever_waits_sees_their_place_and_whoever_leaves_gives_it_up(
    browser: Browser, url: str, page: Page, gate: threading.Event, tmp_path: Path
) -> None:
    leavers = []
    for index in range(2):
        leaver = browser.new_page()
        leaver.goto(url + "?photo=cat")
        leaver.wait_for_selector("#pictures [data-drawn]")
        upload(leaver, written(tmp_path, encoded(scene(), "PNG") + bytes([index]), f"{index}.png"))
        leavers.append(leaver)
        leaver.wait_for_timeout(1500)  # until the run has begun: nothing on the page tells that
    upload(page, written(tmp_path, encoded(scene(), "PNG") + b"waiter", "waiter.png"))
    expect(page.locator("#pictures .waiting")).to_have_text("Waiting: you are next")
    second = browser.new_page()
    second.goto(url + "?photo=cat")
    expect(second.locator("#pictures .waiting")).to_have_text("Waiting: 1 before you")
    for leaver in [*leavers, second]:
        leaver.close()
    gate.set()
    expect(page.locator("#pictures")).to_contain_text("240 × 160")
    expect(page.locator("#pictures .waiting")).to_have_text("")
