"""A network of the page in the visitor's own browser: no photo is sent, and no connection is needed once it is there."""

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Request, expect

import segmodels

from ..conftest import EXAMPLES, NEEDS_CHROMIUM
from ..export.test_page_browser import WAIT, answered
from ..helpers import load, watched

pytest.importorskip("onnxscript", reason="needs onnx and onnxscript, which are optional")

NAME = "fcn_mobilenetv2"


@pytest.mark.slow
@NEEDS_CHROMIUM
def test_it_computes_here_with_the_network_cut(browser: Browser, url: str) -> None:
    with watched(browser, 1280, 720) as (page, errors):
        load(page, f"{url}?photo=cat&model={NAME}")
        link = page.get_by_role("link", name="Compute here")
        with page.context.expect_page(timeout=WAIT) as opened:
            link.click()
        here = opened.value
        here.wait_for_selector("#pictures[data-ready]", timeout=WAIT)
        here.context.set_offline(True)
        asked: list[str] = []

        def heard(request: Request) -> None:
            asked.append(request.url)

        here.on("request", heard)
        here.set_input_files("input[type=file]", EXAMPLES / "cat.jpg")
        labels = answered(here)
        expect(here.locator(".legend li").first).to_contain_text("cat")
        assert [address for address in asked if not address.startswith("blob:")] == []
        here.context.set_offline(False)
        assert errors == []
    segmenter = segmodels.load(NAME, precision="float32")
    features = segmenter.encode(Image.open(EXAMPLES / "cat.jpg").convert("RGB"))
    expected = segmenter.decode(features, size=labels.shape[::-1]).labels
    assert np.mean(labels == expected) >= 0.995


@pytest.mark.slow
def test_the_page_comes_once(url: str) -> None:
    address = f"{url}in-browser/{NAME}.html"
    first = httpx.get(address, timeout=WAIT / 1000)
    assert first.status_code == 200
    assert len(first.content) <= 8e6
    again = httpx.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_nothing_else_is_open(url: str) -> None:
    assert httpx.post(f"{url}in-browser/{NAME}.html").status_code == 404
    for other in ("unet.html", "../pyproject.toml", f"{NAME}.htm", f"{NAME}.html/", "fcn%00.html"):
        assert httpx.get(f"{url}in-browser/{other}").status_code == 404
