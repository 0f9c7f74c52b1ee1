"""Take the README's picture of the page: ``python -m tools.screenshot [FILE]``. Needs Chromium."""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from demo import build, launch_options

DEFAULT = Path(__file__).resolve().parent.parent / "docs" / "screenshot.png"


def main() -> None:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    page = build()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        view = browser.new_page(viewport={"width": 1400, "height": 1000}, color_scheme="light")
        view.goto(url)
        view.wait_for_selector("#pictures .segmented img")
        view.locator("#examples .gallery-item").nth(1).click()
        view.wait_for_function("document.querySelector('#pictures .legend').innerText.includes('person')")
        view.wait_for_timeout(500)
        view.screenshot(path=file)
        browser.close()
    page.close()


if __name__ == "__main__":
    main()
