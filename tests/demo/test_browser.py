"""The page in a real browser: upload, choose, see, download."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, Locator, Page, Request, Response, expect

import segmodels
from segmodels.checkpoints.download import FetchError
from segmodels.labels import DISPLAY_PALETTE, PALETTE, VOC_CLASSES
from segmodels.models import registry
from segmodels.models import torchvision as published

from ..conftest import EXAMPLES, NEEDS_CHROMIUM
from ..helpers import GO, START, go, load, unharmed, watched

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def opened(browser: Browser, url: str) -> Iterator[tuple[Page, list[str]]]:
    """One page at desktop width for all tests that begin at ``START``, and what went wrong on it."""
    with watched(browser) as (page, errors):
        load(page, url + "?photo=cat")
        yield page, errors


@pytest.fixture
def page(opened: tuple[Page, list[str]]) -> Iterator[Page]:
    """The page, its first example segmented."""
    page, errors = opened
    go(page, START)
    expect(page.locator("#pictures figcaption").first).to_have_text("Input 451 × 300 pixels")
    expect(page.locator("#pictures .legend")).to_contain_text("cat")
    expect(page.locator("#ran")).to_contain_text("atrous rates 6, 12, 18")
    with unharmed(errors):
        yield page


def upload(page: Page, file: Path) -> None:
    """Put ``file`` in the place of the photo that is there."""
    page.locator("#pictures input[type=file]").set_input_files(file)


def drawn(page: Page) -> str:
    """The segmented output as it is on the page."""
    picture: str = page.locator("#pictures .segmented canvas").evaluate("canvas => canvas.toDataURL()")
    return picture


def test_three_panels_side_by_side(page: Page) -> None:
    captions = page.locator("#pictures figcaption")
    expect(captions).to_have_text(["Input 451 × 300 pixels", "Segmented output", "Per-class overlays"])
    boxes = [captions.nth(index).bounding_box() for index in range(3)]
    assert all(box is not None for box in boxes)
    assert len({round(box["y"]) for box in boxes if box}) == 1
    expect(page.locator("#pictures .legend")).to_contain_text("cat")
    expect(page.locator("#table")).to_contain_text("Mean confidence")
    expect(page.locator("#ran")).to_contain_text("deeplabv3plus_mobilenetv2")


def inside(part: Locator, width: int, height: int) -> bool:
    """Whether all of it is in view, without scrolling, in a window of this size."""
    box = part.bounding_box()
    assert box is not None
    return box["x"] >= 0 and box["y"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= height


PEOPLE = ("raft", "hug")
"""A wide photo and a high one, both with people."""


def show(page: Page, photo: str) -> None:
    """Let an open page show a photo with people, whatever it shows now."""
    with Image.open(EXAMPLES / f"{photo}.jpg") as image:
        width, height = image.size
    page.wait_for_selector("#pictures [data-drawn]")
    go(page, f"?photo={photo}")
    expect(page.locator("#pictures figcaption").first).to_contain_text(f"{width} × {height} pixels", timeout=30_000)
    expect(page.locator("#pictures .choices")).to_contain_text("person", timeout=30_000)


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_all_that_changes_the_pictures_is_beside_them_on_the_first_screen(
    browser: Browser, url: str, scheme: Literal["light", "dark"]
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme=scheme)
    page.goto(f"{url}?photo={PEOPLE[0]}")
    for photo in PEOPLE:
        show(page, photo)
        for part in ("canvas", ".legend", ".choices", ".ways"):
            for one in page.locator(f"#pictures {part}").all():
                assert inside(one, 1280, 720), (photo, part)
        for control in ("model", "source", "rate", "stride", "variant", "opacity", "crf", "marks", "voc", "changed"):
            assert inside(page.locator(f"#{control}"), 1280, 720), (photo, control)
        canvases = [canvas.bounding_box() for canvas in page.locator("#pictures canvas").all()]
        assert len({round(box["y"]) for box in canvases if box}) == 1
    page.close()


@pytest.mark.slow
def test_what_is_said_of_nothing_found_pushes_no_control_off_the_first_screen(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    Image.new("RGB", (300, 450), (120, 130, 110)).save(tmp_path / "upright.png")
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(url)
    page.wait_for_selector("#pictures [data-drawn]")
    upload(page, tmp_path / "upright.png")
    expect(page.locator("#pictures .nothing")).to_contain_text("found nothing")
    expect(page.locator("#pictures .choices")).to_be_hidden()  # there is nothing to choose from
    for part in ("#pictures .nothing", "#model", "#source", "#rate", "#stride", "#opacity", "#voc"):
        assert inside(page.locator(part), 1280, 720), part
    page.close()


def test_on_a_phone_network_and_rate_are_under_the_mask(browser: Browser, url: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{url}?photo={PEOPLE[0]}")
    for photo in PEOPLE:
        show(page, photo)
        for part in ("#pictures .input canvas", "#pictures .segmented canvas", "#model", "#rate"):
            assert inside(page.locator(part), 390, 844), (photo, part)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_an_upload_is_segmented(page: Page) -> None:
    upload(page, EXAMPLES / "astronaut.jpg")
    expect(page.locator("#pictures .legend")).to_contain_text("person")
    expect(page.locator("#pictures")).to_contain_text("512 × 512")


@pytest.mark.slow
def test_ones_own_photo_comes_back_with_a_reload_and_an_example_that_was_chosen_after_it_too(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    with Image.open(EXAMPLES / "hug.jpg") as photo:
        photo.crop((0, 0, 640, 480)).save(tmp_path / "own.png")
    with watched(browser, 1280, 720) as (page, errors), unharmed(errors):
        load(page, url)
        size = page.locator("#pictures figcaption").first
        upload(page, tmp_path / "own.png")
        expect(size).to_contain_text("640 × 480")
        page.wait_for_function("!new URLSearchParams(location.search).has('photo')")
        page.reload()
        expect(size).to_contain_text("640 × 480")
        page.locator("#examples [data-example=cat]").click()
        expect(size).to_contain_text("451 × 300")
        page.wait_for_function("new URLSearchParams(location.search).get('photo') === 'cat'")
        page.reload()
        expect(size).to_contain_text("451 × 300")
        page.evaluate(
            "sessionStorage.setItem('photo', JSON.stringify({path: '/nowhere/else.jpg', name: 'a', size: 1}))"
        )
        page.goto(url)
        expect(page.locator("#pictures [role=status]").first).to_have_text(
            "Your photo is no longer here: open it again."
        )


def test_a_rate_that_is_typed_is_rounded(page: Page) -> None:
    number = page.locator("#rate input[type=number]")
    number.fill("3.4")
    number.press("Tab")
    expect(page.locator("#ran")).to_contain_text("atrous rates 3, 6, 9")
    expect(number).to_have_value("3")


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
            expect(page.get_by_text("has no ASPP and a fixed output stride")).to_be_visible()


def test_moving_the_atrous_rate_runs_the_decoder_alone(page: Page) -> None:
    before = drawn(page)
    slider = page.locator("#rate input[type=range]")
    slider.focus()
    for _ in range(5):
        slider.press("ArrowLeft")
    expect(page.locator("#ran")).to_contain_text("atrous rates 1, 2, 3")
    expect(page.locator("#ran")).to_contain_text("features cached")
    expect(page.locator("#ran")).to_contain_text("trained at atrous rate 6")
    assert drawn(page) != before


def test_half_the_stride_doubles_the_rate(page: Page) -> None:
    page.locator("#stride label", has_text=re.compile(r"^\s*8\s*$")).click()
    expect(page.locator("#ran")).to_contain_text("atrous rates 12, 24, 36 at output stride 8")
    page.locator("#stride label", has_text=re.compile(r"^\s*32\s*$")).click()
    expect(page.locator("#ran")).to_contain_text("atrous rates 3, 6, 9 at output stride 32")


def test_what_a_part_of_the_decoder_changes_is_told_and_marked(page: Page) -> None:
    fcn = segmodels.load("fcn_mobilenetv2")
    features = fcn.encode(Image.open(EXAMPLES / "cat.jpg"))
    whole = fcn.decode(features).labels
    coarse = fcn.decode(features, disabled=("score 16", "score 8")).labels
    page.locator("#model label", has_text=re.compile(r"^\s*FCN\s*$")).click()
    expect(page.locator("#ran")).to_contain_text("FCN")
    expect(page.locator("#ran")).to_contain_text("CRF")
    page.locator("#crf").get_by_role("checkbox").uncheck()
    expect(page.locator("#changed")).to_contain_text("of the pixels changed from FCN-8s, with the CRF")
    page.locator("#variant label", has_text="FCN-32s").click()
    share = f"{(whole != coarse).mean():.1%}"
    expect(page.locator("#changed")).to_contain_text(f"{share} of the pixels changed from FCN-8s, without the CRF")
    page.locator("#marks").get_by_role("checkbox").check()
    row, column = np.argwhere(whole != coarse)[0]
    place = ((column + 0.5) / whole.shape[1], (row + 0.5) / whole.shape[0])
    assert pixel(page, "overlays", *place) == [255, 214, 0, 255]
    page.locator("#variant label", has_text="FCN-8s").click()
    expect(page.locator("#changed")).to_have_text("")
    page.locator("#crf").get_by_role("checkbox").check()
    expect(page.locator("#changed")).to_contain_text("of the pixels changed from FCN-8s, without the CRF")
    expect(page.locator("#ran")).to_contain_text("CRF")
    page.locator("#marks").get_by_role("checkbox").uncheck()


def test_a_rate_is_asked_for_before_gradio_tells_of_the_move(page: Page) -> None:
    asked = page.locator("#rate input[type=range]").evaluate(
        """slider => {
          slider.value = '9';
          slider.dispatchEvent(new Event('input', {bubbles: true}));
          return questions.wanted().rate;
        }"""
    )
    assert asked == 9
    expect(page.locator("#ran")).to_contain_text("atrous rates 9, 18, 27")


def test_one_question_is_on_its_way_at_a_time_and_the_newest_choice_is_shown(page: Page) -> None:
    rates: list[int] = []
    under_way, most = 0, 0

    def question(request: Request) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(request.post_data or "{}") if "component_server" in request.url else {}
        return body["data"] if body.get("fn_name") == "ask" else {}

    def sent(request: Request) -> None:
        nonlocal under_way, most
        if asked := question(request):
            rates.append(asked["rate"])
            under_way += 1
            most = max(most, under_way)

    def answered(response: Response) -> None:
        nonlocal under_way
        under_way -= bool(question(response.request))

    page.on("request", sent)
    page.on("response", answered)
    slider = page.locator("#rate input[type=range]")
    for _ in range(12):
        slider.press("ArrowRight")
    expect(page.locator("#ran")).to_contain_text("atrous rates 18, 36, 54")
    page.wait_for_timeout(300)
    page.remove_listener("request", sent)
    page.remove_listener("response", answered)
    expect(page.locator("#ran")).to_contain_text("atrous rates 18, 36, 54")
    assert rates == sorted(set(rates))  # no choice is asked for twice, and none after a newer one
    assert rates[-1] == 18
    assert most == 1


def pixel(page: Page, figure: str, across: float, down: float) -> list[int]:
    """(red, green, blue, alpha) of a picture, at a share of its width and height."""
    found: list[int] = page.locator(f"#pictures .{figure} canvas").evaluate(
        "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(canvas.width * x, canvas.height * y, 1, 1).data]",
        [across, down],
    )
    return found


def deep_inside(name: str, photo: Path) -> tuple[float, float]:
    """A place, as shares of width and height, around which the library finds nothing but this class."""
    labels = segmodels.load(registry.DEFAULT_MODEL)(Image.open(photo)).labels
    ours = Image.fromarray(255 * (labels == VOC_CLASSES.index(name)).astype(np.uint8))
    rows, columns = np.nonzero(np.asarray(ours.filter(ImageFilter.MinFilter(31))))
    middle = len(rows) // 2
    return float(columns[middle] / labels.shape[1]), float(rows[middle] / labels.shape[0])


@pytest.mark.slow
def test_a_page_that_is_hurried_from_photo_to_photo_comes_to_rest(page: Page) -> None:
    for _ in range(3):
        for photo in ("hug", "raft", "coffee", "cat"):
            page.evaluate(GO, f"?photo={photo}")
            page.wait_for_timeout(100)
    expect(page.locator("#pictures figcaption").first).to_have_text("Input 451 × 300 pixels")
    asked: list[Request] = []

    def note(request: Request) -> None:
        asked.append(request)

    page.on("request", note)
    for _ in range(60):
        asked.clear()
        page.wait_for_timeout(1000)
        if not asked:
            break
    page.remove_listener("request", note)
    assert asked == []


def test_choosing_a_class_isolates_it_by_mouse_and_keyboard(page: Page) -> None:
    page.locator("#examples [data-example=hug]").click()
    expect(page.locator("#pictures .legend")).to_contain_text("person")
    face = deep_inside("person", EXAMPLES / "hug.jpg")
    person = list(DISPLAY_PALETTE[15])
    assert pixel(page, "segmented", *face) == [*person, 255]
    page.locator("#pictures .choices").get_by_text("dog", exact=True).click()
    page.mouse.move(0, 0)
    assert pixel(page, "segmented", *face)[3] < 60
    page.locator("#pictures .choices input:checked").press("ArrowLeft")
    page.wait_for_function("document.querySelector('#pictures .choices input:checked').value !== '12'")
    page.locator('#pictures .choices label[data-class="15"]').click()
    assert pixel(page, "segmented", *face) == [*person, 255]


def test_the_overlay_opacity_and_the_colours_answer_in_the_browser(page: Page) -> None:
    opacity, colours = page.locator("#opacity input[type=range]"), page.locator("#voc input")
    before = opacity.input_value()
    opacity.press("End")
    middle = (0.4, 0.5)
    page.wait_for_timeout(300)
    assert pixel(page, "overlays", *middle)[:3] == list(DISPLAY_PALETTE[8])
    colours.check()
    page.wait_for_timeout(300)
    assert pixel(page, "overlays", *middle)[:3] == list(PALETTE[8])
    assert pixel(page, "segmented", *middle)[:3] == list(PALETTE[8])
    cat = page.locator("#pictures .legend li").filter(has_text="cat").locator(".swatch")
    expect(cat).to_have_css("background-color", "rgb({}, {}, {})".format(*PALETTE[8]))
    colours.uncheck()
    expect(cat).to_have_css("background-color", "rgb({}, {}, {})".format(*DISPLAY_PALETTE[8]))
    opacity.fill(before)  # as the other tests want it


def test_the_pointer_tells_class_share_and_confidence(page: Page) -> None:
    page.locator("#pictures .segmented canvas").hover()
    expect(page.locator("#pictures .under-pointer")).to_have_text(
        re.compile(r"cat: \d+\.\d% of the photo, mean confidence \d+\.\d%")
    )
    page.mouse.move(0, 0)
    expect(page.locator("#pictures .under-pointer")).to_be_hidden()


def test_a_move_of_the_slider_costs_little(page: Page) -> None:
    """A label map and the numbers: less than 30 kB, and no photo."""
    sizes: list[int] = []
    network = page.context.new_cdp_session(page)  # counts what arrives: the stream of answers may stay open for long
    network.send("Network.enable")
    network.on("Network.dataReceived", lambda event: sizes.append(event["dataLength"]))
    page.locator("#rate input[type=range]").press("ArrowRight")
    expect(page.locator("#ran")).to_contain_text("atrous rates 7, 14, 21")
    page.wait_for_timeout(500)
    network.detach()
    assert 2_000 < sum(sizes) < 30_000


def test_a_server_that_does_not_answer_is_told_of_and_asked_again(page: Page) -> None:
    page.route("**/component_server/**", lambda route: route.abort())
    page.locator("#rate input[type=range]").press("ArrowRight")
    expect(page.locator("#pictures .problem")).to_contain_text("does not answer")
    page.unroute("**/component_server/**")
    page.locator("#examples [data-example=cat]").click()
    expect(page.locator("#ran")).to_contain_text("atrous rates 7, 14, 21")
    expect(page.locator("#pictures .problem")).to_have_text("")


def test_a_photo_that_does_not_arrive_is_told_of_and_can_be_chosen_again(page: Page) -> None:
    page.route("**/file=**", lambda route: route.abort())
    page.locator("#examples [data-example=bear]").click()
    expect(page.locator("#pictures .problem")).to_contain_text("could not be fetched")
    page.unroute("**/file=**")
    page.locator("#examples [data-example=bear]").click()
    expect(page.locator("#pictures .problem")).to_have_text("")
    expect(page.locator("#pictures .legend")).to_contain_text("person")


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
    expect(page.locator("#pictures .problem")).to_contain_text(
        "cannot be fetched now: there is no connection; choose a network bundled with this page"
    )
    expect(page.locator("#model")).to_contain_text("DeepLab v3, ResNet-101")
    page.locator("#source").get_by_text("Bundled").click()
    expect(page.locator("#pictures .legend")).to_contain_text("cat")


def test_nothing_found_is_said_kindly(page: Page) -> None:
    upload(page, EXAMPLES / "rocket.jpg")
    expect(page.locator("#pictures")).to_contain_text("The network found nothing here")


def test_pictures_have_alternative_texts(page: Page) -> None:
    labels = segmodels.load(registry.DEFAULT_MODEL)(Image.open(EXAMPLES / "cat.jpg"), crf=True).labels
    share = (labels == VOC_CLASSES.index("cat")).mean()
    texts = [str(canvas.get_attribute("aria-label")) for canvas in page.locator("#pictures canvas").all()]
    assert "451 by 300" in texts[0]
    for text in texts[1:]:
        percent = re.search(r"of cat, (\d+) %", text)
        assert percent
        assert float(percent[1]) == pytest.approx(100 * share, abs=1)  # rounded
