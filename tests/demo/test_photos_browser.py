"""Which photo the page draws and uses: what the browser decodes, the last choice, and what it says of it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect
from scipy import ndimage

import segmodels
from segmodels.labels import DISPLAY_PALETTE, VOC_CLASSES
from segmodels.models.registry import DEFAULT_MODEL

from ..conftest import CHROMIUM, EXAMPLES, NEEDS_CHROMIUM
from ..helpers import load, unharmed, watched
from .test_browser import upload

pytestmark = NEEDS_CHROMIUM
SLOW = 60_000
"""Milliseconds that an answer may take where other tests run beside it."""


@pytest.fixture(scope="module")
def page(browser: Browser, url: str) -> Iterator[Page]:
    with watched(browser, 1280, 720) as (page, errors), unharmed(errors):
        load(page, url + "?photo=cat")
        yield page


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="3"/></rdf:RDF></x:xmpmeta>'
)


def _saved(folder: Path, kind: str) -> Path:
    """A square photo, red above and blue below, that is to be turned by 180 degrees."""
    stored = Image.new("RGB", (240, 240), (20, 20, 220))
    stored.paste((220, 20, 20), (0, 120, 240, 240))
    exif = Image.Exif()
    exif[0x0112] = 3
    file = folder / f"turned.{kind.partition(' ')[0]}"
    options: dict[str, Any] = {"xmp": XMP} if "xmp" in kind else {"exif": exif}
    stored.save(file, **options)
    return file


@pytest.mark.parametrize(
    "kind", ["jpg exif", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("jpg xmp", "webp exif", "png exif"))]
)
def test_the_mask_lies_over_the_picture_that_was_segmented(page: Page, tmp_path: Path, kind: str) -> None:
    page.locator("#examples [data-example=cat]").click()
    expect(page.locator("#pictures figcaption").first).to_contain_text("451 × 300")
    upload(page, _saved(tmp_path, kind))
    expect(page.locator("#pictures figcaption").first).to_contain_text("240 × 240")
    page.wait_for_function("document.querySelector('#pictures .input canvas').width === 240")
    above, below = page.locator("#pictures .input canvas").evaluate(
        "canvas => [60, 180].map(row => [...canvas.getContext('2d').getImageData(120, row, 1, 1).data])"
    )
    assert above[0] > 180 > 60 > above[2]
    assert below[2] > 180 > 60 > below[0]


UPLOAD = re.compile(r"/gradio_api/upload(\?|$)")
"""Not what gradio asks of an upload's progress meanwhile."""


def _held(page: Page) -> list[Route]:
    """Uploads, which go on when they are told to."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(UPLOAD, hold)
    return held


def _go_on(page: Page, held: Route) -> None:
    with page.expect_response(UPLOAD):
        held.continue_()
    page.wait_for_timeout(500)


def test_a_slow_upload_does_not_overtake_a_later_choice(page: Page) -> None:
    held = _held(page)
    upload(page, EXAMPLES / "astronaut.jpg")
    page.wait_for_function("document.querySelector('#pictures .ways [role=status]').textContent.includes('Uploading')")
    page.locator("#examples [data-example=hug]").click()
    expect(page.locator("#pictures .legend")).to_contain_text("dog")
    _go_on(page, held[0])
    expect(page.locator("#pictures .ways [role=status]")).to_have_text("")
    with Image.open(EXAMPLES / "hug.jpg") as photo:
        expect(page.locator("#pictures figcaption").first).to_contain_text(f"{photo.width} × {photo.height}")
    assert page.evaluate("new URLSearchParams(location.search).get('photo')") == "hug"
    page.unroute_all()


@pytest.mark.slow
def test_a_slow_second_photo_does_not_overtake_a_later_one(browser: Browser, url: str) -> None:
    with watched(browser, 1280, 720) as (page, errors), unharmed(errors):
        page.goto(url + "?photo=astronaut&tab=lab&section=teach")
        ratio = page.locator("#teach .board").nth(1)
        expect(page.locator("#teach .board .photo").first).to_be_visible()
        held = _held(page)
        chooser = page.locator("#teach-files input[type=file]").first
        chooser.set_input_files(EXAMPLES / "hug.jpg")
        page.get_by_role("combobox", name="Second photo").click()
        page.get_by_role("option", name="cat", exact=True).click()
        expect(ratio).to_have_attribute("style", re.compile("451 / 300"))
        _go_on(page, held[0])
        expect(ratio).to_have_attribute("style", re.compile("451 / 300"))
        chooser.set_input_files(EXAMPLES / "boats.jpg")  # two uploads: the first arrives last
        page.wait_for_timeout(200)
        chooser.set_input_files(EXAMPLES / "hug.jpg")
        page.wait_for_timeout(200)
        _go_on(page, held[2])
        hug = ratio.get_attribute("style")
        assert hug != "--ratio: 451 / 300"
        _go_on(page, held[1])
        expect(ratio).to_have_attribute("style", hug)


@pytest.mark.slow
def test_a_label_map_that_arrives_after_another_photo_is_left_out(browser: Browser, url: str, tmp_path: Path) -> None:
    Image.new("L", (451, 300)).save(tmp_path / "truth.png")
    with watched(browser, 1280, 720) as (page, errors), unharmed(errors):
        page.goto(url + "?photo=astronaut&tab=lab&section=parts")
        caption = page.locator("#parts figcaption").first
        expect(caption).to_be_visible()
        held = _held(page)
        chooser = page.locator("#parts-truth input[type=file]")
        chooser.set_input_files(tmp_path / "truth.png")
        page.wait_for_timeout(200)
        page.locator("#lab-examples [data-example=cat]").click()
        expect(page.locator("#photo-in-use")).to_contain_text("451", timeout=SLOW)
        _go_on(page, held[0])
        expect(caption).not_to_contain_text("mIoU")
        expect(page.locator("#parts .problem")).to_have_count(0)
        page.wait_for_timeout(
            2000
        )  # gradio tells of the cat once the upload has ended, and that drops what is on its way
        chooser.set_input_files(tmp_path / "truth.png")  # which is the cat's
        page.wait_for_timeout(200)
        _go_on(page, held[1])
        expect(caption).to_contain_text("mIoU", timeout=SLOW)


def test_a_file_that_is_too_large_is_refused_at_once_until_another_is_chosen(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "large.jpg"
    with file.open("wb") as large:
        large.truncate(66 * 2**20)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    upload(page, file)
    said = page.locator("#pictures .input [role=status]")
    expect(said).to_contain_text("66 MB")
    expect(said).to_contain_text("at most 64 MB")
    assert not any("upload" in url for url in asked)
    page.locator("#examples [data-example=dogs]").click()
    expect(said).to_be_empty()


def test_files_are_asked_of_the_pages_own_origin(page: Page) -> None:
    path = "/tmp/a b/ü#1?%.jpg"
    assert page.evaluate("path => drawing.address(path)", path) == f"/gradio_api/file={quote(path)}"
    below = "path => { history.replaceState(null, '', '/seg'); const found = drawing.address(path); history.back(); return found; }"
    page.evaluate("history.pushState(null, '', location.href)")
    assert page.evaluate(below, path) == f"/seg/gradio_api/file={quote(path)}"


def test_what_was_found_is_said_with_its_place(page: Page) -> None:
    labels = np.zeros((90, 120), dtype=np.uint8)
    labels[10:50, 50:110] = labels[60:80, 50:110] = 3
    classes = [
        {"index": 0, "name": "background", "nothing": True, "share": 0.67},
        {"index": 3, "name": "bird", "nothing": False, "share": 0.333},
    ]
    said = page.evaluate(
        "([labels, classes]) => drawing.spoken({map: {width: 120, height: 90, labels}, classes})",
        [labels.ravel().tolist(), classes],
    )
    assert said == "Two areas of bird, 33 % of the picture, centre to right."


def test_every_change_is_told_to_those_who_listen(page: Page) -> None:
    page.locator("#examples [data-example=cat]").click()
    result = segmodels.load(DEFAULT_MODEL)(Image.open(EXAMPLES / "cat.jpg"), crf=True)
    areas, _ = ndimage.label(result.labels == VOC_CLASSES.index("cat"))
    large = (np.bincount(areas.ravel())[1:] >= areas.size / 500).sum()
    assert large == 1
    told = page.locator("#pictures .found")
    expect(told).to_contain_text(f"One area of cat, {100 * result.shares['cat']:.0f} % of the picture")
    assert told.evaluate("one => one.getAttribute('role')") == "status"
    expect(page.locator("#pictures .segmented canvas")).to_have_attribute(
        "aria-label", f"Segmented output. {told.inner_text()}"
    )
    page.locator("#model").get_by_text("FCN", exact=True).click()
    expect(page.locator("#ran")).to_contain_text("fcn_mobilenetv2")
    expect(told).to_contain_text("of cat")
    assert not page.evaluate("document.body.textContent.includes('common.complete')")
    page.locator("#model").get_by_text("DeepLab v3+", exact=True).click()


def test_names_are_left_alone_by_a_browser_that_translates(page: Page) -> None:
    for names in (
        "#model label",
        "#source label",
        "#variant label",
        "#pictures .legend li",
        "#table tbody tr",
        "#ran code",
    ):
        assert page.locator(names).first.evaluate("one => !one.translate"), names
    choices = page.locator("#pictures .choices label")
    expect(choices.filter(has_text="cat")).to_have_attribute("translate", "no")
    assert choices.filter(has_text="all classes").evaluate("one => one.translate")


def test_colours_that_are_the_content_stay_where_others_are_forced(page: Page) -> None:
    page.emulate_media(forced_colors="active")
    swatch = page.locator("#pictures .legend li").filter(has_text="cat").locator(".swatch")
    expect(swatch).to_have_css("background-color", "rgb({}, {}, {})".format(*DISPLAY_PALETTE[8]))
    chosen = page.locator("#model label:has(input:checked)")
    assert chosen.evaluate("one => parseFloat(getComputedStyle(one).outlineWidth)") >= 2
    page.emulate_media(forced_colors="none")


def test_a_result_is_printed_without_its_controls(page: Page) -> None:
    page.emulate_media(media="print")
    for part in (".input canvas", ".segmented canvas", ".overlays canvas", ".legend"):
        expect(page.locator(f"#pictures {part}")).to_be_visible()
    expect(page.locator("#table")).to_be_visible()
    for part in (
        "footer",
        "#controls",
        "#examples",
        "#downloads",
        "#pictures .ways",
        "#pictures .choices",
        ".tab-wrapper >> nth=0",
    ):
        expect(page.locator(part)).to_be_hidden()
    assert page.locator("#link a").evaluate("link => link.dataset.printed") == page.url
    assert _sheets(page) == 1
    page.emulate_media(media="screen")


def _sheets(page: Page) -> int:
    """On how many sheets of paper a page is printed."""
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))


@pytest.mark.slow
def test_a_lesson_is_printed_as_a_handout(browser: Browser, url: str) -> None:
    with watched(browser, 1280, 720) as (page, errors), unharmed(errors):
        page.goto(url + "?photo=dogs&tab=lessons&section=skips")
        figure = page.locator("#figure-skips .drawing, #figure-skips figure").first
        expect(figure).to_be_visible()
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 718, "height": 1046})  # A4 in Chromium's margins
        for part in ("h2", ".prose", "input[type=number]"):
            expect(page.locator(f".lesson {part} >> visible=true").first).to_be_visible()
        expect(page.locator(".lesson input[type=range] >> visible=true")).to_have_count(0)
        box = figure.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 718
        assert _sheets(page) == 1


@pytest.mark.slow
def test_over_plain_http_the_camera_is_explained_and_the_link_copied(browser: Browser, url: str) -> None:
    options = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP lecture.test 127.0.0.1"]
    elsewhere = browser.browser_type.launch(executable_path=CHROMIUM, args=options)
    page = elsewhere.new_page(viewport={"width": 390, "height": 844})
    page.add_init_script("document.addEventListener('copy', () => { window.copied = String(getSelection()); });")
    load(page, url.replace("127.0.0.1", "lecture.test") + "?photo=cat")
    page.get_by_role("button", name="Camera").click()
    expect(page.locator("#pictures .live")).to_contain_text("https")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#link [role=status]")).to_have_text("Copied.")
    assert page.evaluate("copied") == page.locator("#link a").evaluate("link => link.href")
    elsewhere.close()
