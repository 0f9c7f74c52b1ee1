"""Published weights that a visitor of the page chooses: fetched before their eyes from a loopback server, or not."""

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

import segmodels
from demo.components.markup import readable
from demo.components.model_picker.choices import SOURCES
from demo.server import cache, weight_downloads
from segmodels import Segmenter
from segmodels.models import registry
from segmodels.models import torchvision as published

from ..conftest import EXAMPLES, NEEDS_CHROMIUM
from ..helpers import load, unharmed, watched
from ..models.test_torchvision import (
    CONTENT,
    MOBILENET,
    PUBLISHED,
    SHA256,
    Server,
    checkpoint,
    kept,
    serving,
    torchvisions,
)

pytestmark = [NEEDS_CHROMIUM, pytest.mark.slow]

SLOW = 60_000
"""Milliseconds in which a network has surely answered, on a busy machine."""
WEIGHTS = "weights of DeepLab v3, MobileNetV3 (44 MB)"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch's hub cache, empty; no network is loaded yet, and nothing went wrong yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    fresh: cache.LRUCache[Segmenter] = cache.LRUCache(8)
    monkeypatch.setattr(cache, "_segmenters", fresh)
    monkeypatch.setattr(weight_downloads, "_failures", {})
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def server(hub_cache: Path) -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def opened(browser: Browser, url: str) -> Iterator[Page]:
    """One page for all tests; each begins and ends with a bundled network."""
    with watched(browser, 1280, 900) as (page, errors), unharmed(errors):
        load(page, url + "?photo=cat&crf=0")
        yield page


@pytest.fixture
def page(opened: Page) -> Iterator[Page]:
    yield opened
    go_on_with_bundled_weights(opened)


def choose_torchvisions(page: Page) -> None:
    """Ask for torchvision's weights; the page then chooses the network with the smallest download."""
    page.locator("#source").get_by_text("torchvision's").click()
    expect(page.locator(f'#model input[value="{MOBILENET}"]')).to_be_checked()


def go_on_with_bundled_weights(page: Page) -> None:
    page.locator("#source").get_by_text("Bundled").click()
    expect(page.locator("#pictures .legend")).to_contain_text("cat", timeout=SLOW)
    expect(page.locator("#ran")).to_contain_text("deeplabv3plus_mobilenetv2", timeout=SLOW)


def served(server: Server, monkeypatch: pytest.MonkeyPatch, content: bytes, sha256: str | None = None) -> None:
    """Let every published network's weights be ``content``, under a name with this hash or its own."""
    url = server.add(content, sha256)
    monkeypatch.setattr(published, "url", lambda name: url)


def test_the_size_of_every_download_is_said_before_it_begins(
    page: Page, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "url", lambda name: server.url("tiny-0123abcd.pth"))
    megabytes = {name: round(published.facts(name)["megabytes"]) for name in PUBLISHED}
    least, most = min(megabytes.values()), max(megabytes.values())
    (label,) = (label for label, source in SOURCES if source == "published")
    assert f"({least} to {most} MB)" in label
    assert megabytes[MOBILENET] == least
    choose_torchvisions(page)
    offered = [f"{registry.card(name).title} ({size} MB)" for name, size in megabytes.items()]
    expect(page.locator("#model label")).to_have_text(offered)


def test_a_chosen_network_is_fetched_with_a_progress_and_then_segments(
    page: Page, server: Server, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = checkpoint(torchvisions(MOBILENET).state_dict())
    served(server, monkeypatch, content)
    server.gate.clear()  # half of the file arrives
    choose_torchvisions(page)
    expect(page.locator("#about")).to_contain_text(f"Fetching the {WEIGHTS}")
    half, whole = len(content) / 2e6, len(content) / 1e6
    counted = re.compile(rf"(\d+)/{whole:.0f} MB")
    arrived = counted.search(page.locator("#about").inner_text())
    assert arrived
    assert 0 < int(arrived[1]) <= round(half)
    assert not kept(hub_cache)[0].endswith(".pth")
    server.gate.set()
    expect(page.locator("#ran")).to_contain_text(MOBILENET, timeout=SLOW)
    expected = segmodels.load(MOBILENET)(Image.open(EXAMPLES / "cat.jpg"))
    (largest, share) = next(iter(expected.shares.items()))
    expect(page.locator("#pictures .legend li").first).to_have_text(f"{readable(largest)} {share:.1%}")
    expect(page.locator("#about")).to_contain_text("the lightest of the published networks")
    assert list(server.asked.values()) == [1]
    assert [file.rpartition("-")[2] for file in kept(hub_cache)] == [f"{hashlib.sha256(content).hexdigest()[:8]}.pth"]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("truncated", "the download broke off after 2.1 of 2.1 MB"),
        ("another hash", f"what 127.0.0.1 sent is not tiny-{SHA256}.pth: its SHA-256 is another"),
        ("no such file", "127.0.0.1 answered 404 Not Found"),
        ("no server", "there is no connection to 127.0.0.1"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_the_page_goes_on(
    page: Page, server: Server, hub_cache: Path, monkeypatch: pytest.MonkeyPatch, trouble: str, said: str
) -> None:
    served(server, monkeypatch, CONTENT + b"!" * (trouble == "another hash"), SHA256)
    if trouble == "truncated":
        server.promised = 1000
    if trouble == "no such file":
        server.files.clear()
    if trouble == "no server":
        server.server_close()
    started = time.monotonic()
    choose_torchvisions(page)
    problem = page.locator("#pictures .problem")
    expect(problem).to_contain_text(
        f"({registry.card(MOBILENET).measured['megabytes']:.0f} MB) cannot be fetched now: {said}"
    )
    assert time.monotonic() - started < 10
    sentence = problem.inner_text()
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
    assert registry.card(MOBILENET).title in sentence
    assert "choose a network bundled with this page" in sentence
    for internal in ("_", "/models/", "checkpoints", str(hub_cache)):  # names and places that are the owner's business
        assert internal not in sentence
    with pytest.raises(ValueError, match="cannot be fetched now"):  # what would run it says the same and asks nobody
        cache.segmenter(MOBILENET)
    assert list(server.asked.values()) == [1] * (trouble != "no server")
    assert kept(hub_cache) == []
    go_on_with_bundled_weights(page)
