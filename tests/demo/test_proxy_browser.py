"""The page behind nginx, by the very configuration that docs/hosting.md gives."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Request, Response, expect

from demo import build, launch_options
from demo.server import in_browser
from segmodels.models.registry import DEFAULT_MODEL

from ..conftest import EXAMPLES, NEEDS_CHROMIUM
from ..helpers import load, unharmed
from .test_browser import upload
from .test_container import free_port

pytestmark = [
    NEEDS_CHROMIUM,
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("nginx") and shutil.which("openssl")), reason="needs nginx and openssl"),
]

HOSTING = Path(__file__).resolve().parents[2] / "docs" / "hosting.md"
WAYS = {
    "as documented": ("", ""),
    "prefix kept": (r":(\d+)/;", r":\1;"),
    "https is not told": (r"\n.*X-Forwarded-Proto.*", ""),
}
"""What of the configuration is replaced by what."""


@pytest.fixture(scope="module")
def behind() -> Iterator[str]:
    """The address of an app that knows below which path it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ROOT_PATH", "/seg")
        app = build()
        app.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield str(app.local_url)
    app.close()


@pytest.fixture(params=WAYS)
def proxied(request: pytest.FixtureRequest, behind: str, tmp_path: Path) -> Iterator[str]:
    """The address at nginx."""
    port, key, certificate = free_port(), tmp_path / "lab.key", tmp_path / "lab.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    block = re.search(r"```nginx\n(.+?)```", HOSTING.read_text(encoding="utf-8"), re.DOTALL)
    assert block
    server = re.sub(*WAYS[request.param], block[1]) if WAYS[request.param][0] else block[1]
    for written, here in {
        "443": str(port),
        "lab.example.org": "localhost",
        "/etc/ssl/lab.pem": str(certificate),
        "/etc/ssl/lab.key": str(key),
        "7860": str(urlsplit(behind).port),
    }.items():
        assert written in server
        server = server.replace(written, here)
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.getuid() == 0 else ""  # its workers have to write into this test's folder
    settings = f"{user} daemon off; pid {tmp_path}/pid; events {{}} http {{ access_log off; {temporary} {server} }}"
    (tmp_path / "nginx.conf").write_text(settings)
    running = subprocess.Popen(["nginx", "-e", "stderr", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")])
    yield f"https://localhost:{port}/seg/"
    running.terminate()
    running.wait(20)


def test_the_page_works_behind_nginx(browser: Browser, proxied: str, tmp_path: Path) -> None:
    with Image.open(EXAMPLES / "hug.jpg") as photo:
        photo.crop((0, 0, 640, 480)).save(tmp_path / "own photo #1.png")
    page: Page = browser.new_page(viewport={"width": 1280, "height": 720}, ignore_https_errors=True)
    page.set_default_timeout(60_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))

    def answered(response: Response) -> None:
        address = response.url
        if not address.startswith((proxied, "blob:", "data:")) and not address.endswith("/favicon.ico"):
            wrong.append(f"asked {address}")
        elif response.status >= 400 and not address.endswith("/favicon.ico"):
            wrong.append(f"{response.status} {address}")

    page.on("response", answered)

    def failed(request: Request) -> None:
        if request.url.startswith("http:") and request.resource_type != "image":  # gradio's own, which nobody sees
            wrong.append(request.url)

    page.on("requestfailed", failed)
    with unharmed(wrong):
        load(page, proxied + "?photo=cat")
        expect(page.locator("#pictures .legend")).to_contain_text("cat")
        if in_browser.is_offered(DEFAULT_MODEL):
            here = page.get_by_role("link", name="Compute here").evaluate("link => link.href")
            assert here == f"{proxied}in-browser/{DEFAULT_MODEL}.html"
        upload(page, tmp_path / "own photo #1.png")
        expect(page.locator("#pictures figcaption").first).to_contain_text("640 × 480")
        page.wait_for_function("!new URLSearchParams(location.search).has('photo')")
        page.reload()  # one's own photo is fetched from the server then
        expect(page.locator("#pictures figcaption").first).to_contain_text("640 × 480")
        with page.expect_download() as download:
            page.get_by_role("button", name="Label map (PNG)").click()
        assert download.value.path().read_bytes().startswith(b"\x89PNG")
    page.close()
