"""Take the README's pictures of the page: ``python -m tools.repository.screenshot [FOLDER]``. Needs Chromium.

``screenshot.png`` is the first screen; in ``slider.webp`` the atrous rate is moved.
"""

import argparse
import io
import os
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from demo import build, launch_options

FOLDER = Path(__file__).resolve().parents[2] / "docs"
SCREEN = (1280, 720)
RATES = (6, 4, 2, 1, 2, 4, 6, 9, 12, 18, 24, 18, 12, 9)
MILLISECONDS = 350
"""How long a picture of the animation stays."""
DRAWN = "#pictures [data-drawn]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where to write them (default: docs)")
    folder = parser.parse_args().folder
    page = build()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        view = browser.new_page(viewport={"width": SCREEN[0], "height": SCREEN[1]}, color_scheme="light")
        view.set_default_timeout(300_000)
        view.goto(url)
        view.wait_for_selector(DRAWN)
        view.wait_for_timeout(2000)
        view.screenshot(path=folder / "screenshot.png")
        first, *others = [at_rate(view, rate) for rate in RATES]
        first.save(
            folder / "slider.webp", save_all=True, append_images=others, duration=MILLISECONDS, loop=0, quality=60
        )
        browser.close()
    page.close()


def at_rate(view: Page, rate: int) -> Image.Image:
    """The page at an atrous rate, at three quarters of its size."""
    before = view.locator(DRAWN).get_attribute("data-drawn")
    slider = view.locator("#rate input[type=range]")
    if slider.input_value() != str(rate):
        slider.fill(str(rate))
        view.wait_for_function(
            "([drawn, before]) => document.querySelector(drawn).dataset.drawn !== before", arg=[DRAWN, before]
        )
    picture = Image.open(io.BytesIO(view.screenshot()))
    return picture.convert("RGB").resize((SCREEN[0] * 3 // 4, SCREEN[1] * 3 // 4), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
