"""The camera in Chromium, fed from a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from ..conftest import CHROMIUM, EXAMPLES, NEEDS_CHROMIUM

pytestmark = [NEEDS_CHROMIUM, pytest.mark.slow]

SLOW = 60_000
FAKE = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--use-fake-device-for-media-stream"]


@pytest.fixture(scope="module")
def page(browser: Browser, url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page with a camera that films the rider."""
    film = tmp_path_factory.mktemp("film") / "rider.mjpeg"
    frame = film.with_suffix(".jpg")
    Image.open(EXAMPLES / "rider.jpg").resize((640, 424)).save(frame, quality=90)
    film.write_bytes(30 * frame.read_bytes())
    options = [*FAKE, "--use-fake-ui-for-media-stream", f"--use-file-for-fake-video-capture={film}"]
    filming = browser.browser_type.launch(executable_path=CHROMIUM, args=options)
    page = filming.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(SLOW)
    page.goto(url + "?photo=cat")
    expect(page.locator("#pictures .legend")).to_contain_text("cat")
    yield page
    filming.close()


def test_masks_follow_the_camera_until_it_is_stopped(page: Page) -> None:
    page.get_by_role("button", name="Camera").click()
    expect(page.locator("#pictures .legend")).to_contain_text("horse")
    expect(page.locator("#pictures .live")).to_contain_text("masks a second")
    page.wait_for_function("Number(document.querySelector('#pictures [data-masks]').dataset.masks) > 5")
    page.locator("#model").get_by_text("U-Net", exact=True).click()
    expect(page.locator("#ran")).to_contain_text("unet")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#pictures .legend")).to_contain_text("cat")
    assert page.locator("#pictures video").evaluate("video => video.srcObject") is None


def test_choices_stay_long_enough_to_be_clicked_however_fast_masks_come(page: Page) -> None:
    page.get_by_role("button", name="Camera").click()
    expect(page.locator("#pictures .choices")).to_contain_text("horse")
    made = page.locator("#pictures .choices").evaluate(
        """(choices, seconds) => new Promise(resolve => {
          let made = 0;
          new MutationObserver(() => { made++; }).observe(choices, {childList: true});
          setTimeout(() => resolve(made), 1000 * seconds);
        })""",
        3,
    )
    assert 1 <= made <= 7
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#pictures .legend")).to_contain_text("cat")


def test_what_the_camera_sees_can_be_taken_as_a_photo(page: Page) -> None:
    page.get_by_role("button", name="Camera").click()
    expect(page.locator("#pictures .legend")).to_contain_text("horse")
    page.get_by_role("button", name="Take this photo").click()
    expect(page.locator("#pictures figcaption").first).to_contain_text("pixels")
    expect(page.locator("#pictures .legend")).to_contain_text("horse")
    page.get_by_role("button", name="Copy link").hover()
    expect(page.locator("#link .own")).to_be_visible()


def test_out_of_sight_the_camera_stops(page: Page) -> None:
    page.get_by_role("button", name="Camera").click()
    expect(page.locator("#pictures .live")).to_contain_text("masks a second")
    page.get_by_role("tab", name="Lab", exact=True).click()
    page.wait_for_function("!document.querySelector('#pictures [data-live]')")
    page.get_by_role("tab", name="Segment", exact=True).click()
    expect(page.locator("#pictures .live")).to_contain_text("out of sight")


def test_a_video_plays_with_its_masks_and_can_be_paused_and_scrubbed(page: Page, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    film = tmp_path / "film.webm"
    names = ["rider"] * 20 + ["cat"] * 20
    with av.open(str(film), "w") as target:
        stream = target.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 640, 424, "yuv420p"
        for name in names:
            image = Image.open(EXAMPLES / f"{name}.jpg").convert("RGB").resize((640, 424))
            target.mux(stream.encode(av.VideoFrame.from_image(image)))
        target.mux(stream.encode(None))
    page.locator("#pictures input[type=file]").set_input_files(film)
    legend, scrub = page.locator("#pictures .legend"), page.locator("#pictures .scrub")
    expect(legend).to_contain_text("horse")
    expect(page.locator("#pictures .live")).to_contain_text("masks a second")
    page.get_by_role("button", name="Pause").click()
    scrub.fill("0.9")
    expect(legend).to_contain_text("cat")
    scrub.fill("0.1")
    expect(legend).to_contain_text("horse")
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Stop").click()
    expect(scrub).to_be_hidden()
    assert page.locator("#pictures video").get_attribute("src") is None


def test_a_video_that_cannot_be_played_is_told_of(page: Page, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    page.locator("#pictures input[type=file]").set_input_files(tmp_path / "broken.mp4")
    expect(page.locator("#pictures .live")).to_contain_text("cannot play this video")


@pytest.mark.parametrize(
    ("error", "said"),
    [("NotFoundError", "There is no camera here"), ("NotAllowedError", "The camera may not be used")],
)
def test_without_a_camera_or_leave_there_is_a_sentence(page: Page, error: str, said: str) -> None:
    page.evaluate(
        "error => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', error); }; }", error
    )
    page.get_by_role("button", name="Camera").click()
    expect(page.locator("#pictures .live")).to_contain_text(said)
    page.evaluate("delete navigator.mediaDevices.getUserMedia")
