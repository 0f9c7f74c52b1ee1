"""A network as one HTML file: opened from a disk in Chromium, without a network, it draws what a Segmenter answers."""

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect

import segmodels
from segmodels.cli import main
from segmodels.export.page import embedded
from segmodels.inference.label_map import label_map
from segmodels.inference.sizes import resize_photo
from segmodels.models import registry
from tools.stress.running import ROOT

from ..conftest import CHROMIUM, EXAMPLES, NEEDS_CHROMIUM
from ..demo.test_camera_browser import FAKE

pytest.importorskip("onnxscript", reason="needs onnx and onnxscript, which are optional")
pytestmark = NEEDS_CHROMIUM

NAME = registry.DEFAULT_MODEL
WAIT = 240_000
"""Milliseconds in which a browser on a busy machine has surely answered."""
NETWORK = (ROOT / "assets" / "page" / "network.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "net.html"
    main(["export", NAME, "--page", str(out)])
    return out


def answered(page: Page) -> NDArray[np.uint8]:
    """The label map that is drawn next."""
    page.wait_for_function("document.getElementById('pictures').answer", timeout=WAIT)
    width, labels = page.evaluate("""() => {
      const shown = document.getElementById('pictures'), {labels} = shown.answer;
      shown.answer = null;
      return [labels.width, [...labels.labels]];
    }""")
    return np.array(labels, dtype=np.uint8).reshape(-1, width)


@pytest.mark.slow
def test_the_file_segments_photos_from_a_disk_without_a_network(file: Path, browser: Browser) -> None:
    assert file.stat().st_size < 10e6
    segmenter = segmodels.load(NAME, precision="float32")
    features = segmenter.encode(Image.open(EXAMPLES / "cat.jpg").convert("RGB"))
    context = browser.new_context(offline=True, viewport={"width": 390, "height": 844})
    page = context.new_page()
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("#pictures[data-ready]", timeout=WAIT)
    page.set_input_files("input[type=file]", EXAMPLES / "cat.jpg")
    labels = answered(page)
    assert (labels == segmenter.decode(features, size=labels.shape[::-1]).labels).mean() >= 0.995
    page.evaluate(
        "() => { const rate = document.getElementById('rate'); rate.value = 12; rate.dispatchEvent(new Event('input')) }"
    )
    moved = answered(page)
    assert (moved == segmenter.decode(features, 12, size=labels.shape[::-1]).labels).mean() >= 0.995
    assert (moved != labels).any()
    expect(page.locator(".legend li").first).to_contain_text("cat")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_input_files("input[type=file]", {"name": "no.jpg", "mimeType": "image/jpeg", "buffer": b"no photo"})
    page.wait_for_selector(".problem:visible", timeout=WAIT)
    assert "cannot read the file" in page.locator(".problem").inner_text()
    context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith("blob:")] == [file.as_uri()]


@pytest.mark.slow
def test_the_camera_is_followed_and_stopped(file: Path, browser: Browser, tmp_path: Path) -> None:
    film = tmp_path / "rider.mjpeg"
    Image.open(EXAMPLES / "rider.jpg").resize((640, 424)).save(tmp_path / "rider.jpg", quality=90)
    film.write_bytes(30 * (tmp_path / "rider.jpg").read_bytes())
    options = [*FAKE, "--use-fake-ui-for-media-stream", f"--use-file-for-fake-video-capture={film}"]
    filming = browser.browser_type.launch(executable_path=CHROMIUM, args=options)
    page = filming.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector("#pictures[data-ready]", timeout=WAIT)
    page.get_by_role("button", name="Camera").click()
    expect(page.locator(".legend")).to_contain_text("horse", timeout=WAIT)
    expect(page.locator(".input .size")).to_contain_text("live")
    page.get_by_role("button", name="Stop").click()
    assert page.locator("video").evaluate("video => video.srcObject") is None
    page.set_input_files("input[type=file]", EXAMPLES / "cat.jpg")
    expect(page.locator(".legend")).to_contain_text("cat", timeout=WAIT)
    filming.close()


@pytest.mark.slow
def test_a_server_that_calls_it_utf_8_spoils_nothing(file: Path, browser: Browser) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(file.read_bytes())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page()
    try:
        page.goto(f"http://127.0.0.1:{server.server_port}/net.html")
        page.wait_for_selector("#pictures[data-ready]", timeout=WAIT)
        assert page.evaluate("document.characterSet") == "UTF-8"
    finally:
        page.close()
        server.shutdown()
        server.server_close()


def test_every_byte_survives_the_page(browser: Browser) -> None:
    content = bytes(range(256)) + b"</script><!--\r\n="
    page = browser.new_page()
    written = b'<!DOCTYPE html><meta charset="windows-1252">' + embedded("bytes", content)
    page.route("**/*", lambda route: route.fulfill(body=written, content_type="text/html"))
    page.goto("http://127.0.0.1:9/")
    text: str = page.evaluate("document.getElementById('bytes').textContent")
    page.close()
    read = bytearray()
    letters = iter(bytes(BYTES[letter] for letter in text))
    for byte in letters:
        read.append(next(letters) - 64 if byte == ord("=") else byte)
    assert bytes(read) == content


def _letter(byte: int) -> str:
    """A byte in windows-1252 as browsers have it: what is no letter there is a control character."""
    try:
        return bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return chr(byte)


BYTES = {_letter(byte): byte for byte in range(256)}


@pytest.fixture(scope="module")
def script(browser: Browser) -> Iterator[Page]:
    """A page that has what the worker has, without a worker."""
    page = browser.new_page()
    page.goto("about:blank")
    page.add_script_tag(content=NETWORK)
    yield page
    page.close()


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((451, 300), (513, 337)), ((700, 481), (513, 481)), ((513, 700), (513, 337)), ((90, 60), (65, 97))],
)
def test_the_page_resizes_photos_as_torch_does(script: Page, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    expected = resize_photo(Image.fromarray(pixels), wanted).numpy()
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    made: str = script.evaluate(
        """([text, [width, height], [wide, high]]) => {
            const data = Uint8ClampedArray.from(atob(text), letter => letter.charCodeAt(0));
            const bytes = network.resized({data, width, height}, {width: wide, height: high});
            return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));
        }""",
        [base64.b64encode(rgba.tobytes()).decode(), size, wanted],
    )
    assert base64.b64decode(made) == expected.tobytes()


def test_the_page_stretches_the_contrast_of_cells_as_the_zoo_does(script: Page) -> None:
    pixels = np.random.default_rng(0).gamma(2, 12, (37, 41, 3)).clip(0, 255).astype(np.uint8)
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    made: list[float] = script.evaluate(
        "data => network.contrastRange({data: Uint8ClampedArray.from(data)}, [1, 99.8])", rgba.ravel().tolist()
    )
    assert made == pytest.approx(np.percentile(pixels, (1, 99.8)).tolist())


@pytest.mark.parametrize("seen", [(49, 65), None])
def test_the_page_makes_label_maps_as_the_zoo_does(script: Page, seen: tuple[int, int] | None) -> None:
    logits = torch.randn(4, 13, 17, generator=torch.Generator().manual_seed(0))
    size = (101, 120)
    made: list[int] = script.evaluate(
        """([numbers, [height, width], seen]) => {
            const logits = {data: Float32Array.from(numbers), count: 4, height: 13, width: 17};
            const aligned = seen && {height: seen[0], width: seen[1]};
            return Array.from(network.labelMap(logits, network.bestCells(logits), {width, height}, aligned));
        }""",
        [logits.flatten().tolist(), size, seen],
    )
    expected = label_map(logits, size, aligned_size=seen)
    assert (np.array(made).reshape(size) == expected).mean() >= 0.999
