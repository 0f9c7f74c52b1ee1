"""The page in a browser that guards against fingerprinting: scripts are given other pixels than were drawn."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect

import segmodels
from demo.components.photo_overlay import label_png
from segmodels.labels import DISPLAY_PALETTE, VOC_CLASSES
from segmodels.models.registry import DEFAULT_MODEL

from ..conftest import EXAMPLES, NEEDS_CHROMIUM
from ..helpers import load, unharmed, watched

pytestmark = [NEEDS_CHROMIUM, pytest.mark.slow]

GUARD = """
for (const kind of [CanvasRenderingContext2D, OffscreenCanvasRenderingContext2D]) {
  const read = kind.prototype.honest = kind.prototype.getImageData;
  kind.prototype.getImageData = function (...place) {
    const found = read.apply(this, place);
    found.data.forEach((value, at) => { found.data[at] = CHANGED; });
    return found;
  };
}
"""
NOISY, BLIND = "value ^ Math.random() < .3", "256 * Math.random()"
"""Some browsers change the last bit here and there, others give nothing but noise."""


@pytest.fixture(scope="module", params=[NOISY, BLIND], ids=["noisy", "blind"])
def guarded(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Page]:
    with watched(browser, 1280, 720) as (page, errors), unharmed(errors):
        page.add_init_script(GUARD.replace("CHANGED", request.param))
        load(page, url + "?photo=cat")
        yield page


def seen(page: Page, figure: str) -> NDArray[np.uint8]:
    """What is drawn, (H, W, 3)."""
    width, height, pixels = page.locator(f"#pictures .{figure} canvas").evaluate(
        """canvas => [canvas.width, canvas.height,
        [...canvas.getContext('2d').honest(0, 0, canvas.width, canvas.height).data]]"""
    )
    found: NDArray[np.uint8] = np.array(pixels, dtype=np.uint8).reshape(height, width, 4)
    return found[..., :3]


def test_every_pixel_has_the_colour_of_its_class(guarded: Page) -> None:
    labels = segmodels.load(DEFAULT_MODEL)(Image.open(EXAMPLES / "cat.jpg"), crf=True).labels
    agree = (seen(guarded, "segmented") == DISPLAY_PALETTE[labels]).all(-1)
    assert agree.mean() > 0.97  # but for the outlines
    photo, cat = np.asarray(Image.open(EXAMPLES / "cat.jpg"), dtype=float), labels == VOC_CLASSES.index("cat")
    half = (photo + DISPLAY_PALETTE[VOC_CLASSES.index("cat")]) / 2
    dim = 0.24 * (photo + photo @ [[0.3], [0.59], [0.11]])
    wanted = np.where(cat[..., None], half, dim)
    assert np.median(np.abs(seen(guarded, "overlays") - wanted)) < 3
    assert np.median(np.abs(seen(guarded, "input") - photo)) < 3


def test_what_is_painted_is_what_is_sent(guarded: Page) -> None:
    """A dab of the brush, 3 % of the longer side, in the middle: a disc of its radius."""
    guarded.get_by_role("tab", name="Lab", exact=True).click()
    guarded.get_by_role("tab", name="Teach a class").click()
    guarded.wait_for_selector("#teach .board .photo[src]")
    guarded.locator("#teach canvas").first.focus()
    guarded.keyboard.press("Space")
    runs = guarded.evaluate("JSON.parse(brushPainting()).maps[0].runs")
    painted = np.repeat(np.array(runs[::2]), runs[1::2]).reshape(300, 451)
    rows, columns = np.mgrid[:300, :451] + 0.5
    disc = np.hypot(rows - 150, columns - 451 / 2) <= 0.03 * 451 / 2
    assert (painted == np.where(disc, 1, 255)).all()
    guarded.get_by_role("tab", name="Segment", exact=True).click()


def test_the_camera_says_what_hides_its_pictures(browser: Browser, url: str) -> None:
    with watched(browser) as (page, errors), unharmed(errors):
        page.add_init_script(GUARD.replace("CHANGED", BLIND))
        load(page, url + "?photo=cat")
        page.get_by_role("button", name="Camera").click()
        expect(page.locator("#pictures .live")).to_contain_text("guard against fingerprinting")


def test_label_maps_of_every_depth_and_filter_are_read(guarded: Page) -> None:
    """As Pillow writes them: few classes in one, two or four bits, rows with whatever filter is shortest."""
    noise = np.random.default_rng(0)
    for classes in (2, 4, 12, 40):
        slope = (np.add.outer(np.arange(61) // 3, np.arange(37)) % classes).astype(np.uint8)
        for labels in (slope, noise.integers(0, classes, (61, 37), dtype=np.uint8), np.maximum(slope, slope[::-1])):
            found = guarded.evaluate("async url => [...(await drawing.labelMap(url)).labels]", label_png(labels))
            assert found == labels.ravel().tolist()
