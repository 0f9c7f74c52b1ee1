"""What several tests share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
SHARED = "PYTEST_XDIST_WORKER" in os.environ
"""Whether another process runs tests beside this one: each has a core of its own then."""
torch.set_num_threads(1 if SHARED else int(os.environ.get("OMP_NUM_THREADS", "2")))

EXAMPLES = Path(__file__).resolve().parent.parent / "assets" / "examples"

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
NEEDS_CHROMIUM = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="needs Chromium: install it, or name it in CHROMIUM"
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, beside the skipped tests, which are listed with their reasons."""
    if config.option.markexpr == "not slow":
        terminalreporter.write_line("left out: what takes long and runs when asked for, python -m pytest -m slow")


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium without a window."""
    from playwright.sync_api import expect, sync_playwright  # here, so that other tests do without

    expect.set_options(timeout=30_000)  # milliseconds: the machine may be busy
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The running app's address: one app for all tests, as it is one for all visitors."""
    from demo import build, launch_options  # here, because gradio takes seconds to import

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        page = build()
        _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
        yield url
        page.close()


@pytest.fixture(scope="session")
def cat() -> Image.Image:
    """A cat's face, 451 x 300 pixels."""
    return Image.open(EXAMPLES / "cat.jpg").convert("RGB")


@pytest.fixture(scope="session")
def astronaut() -> Image.Image:
    """A person in front of a flag and a model of a Space Shuttle, 512 x 512 pixels."""
    return Image.open(EXAMPLES / "astronaut.jpg").convert("RGB")


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """Eight photos, left half one colour with label 0, right half another with the label 1 or 2; two are for validation."""
    folder = tmp_path / "data"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    colours = {1: (200, 40, 40), 2: (40, 60, 200)}
    for index in range(8):
        label = 1 + index % 2
        photo = np.full((64, 96, 3), 128, dtype=np.uint8)
        labels = np.zeros((64, 96), dtype=np.uint8)
        photo[:, 48:], labels[:, 48:] = colours[label], label
        labels[:4] = 255
        Image.fromarray(photo).save(folder / "images" / f"{index}.jpg")
        Image.fromarray(labels).save(folder / "labels" / f"{index}.png")
    (folder / "train.txt").write_text("\n".join(map(str, range(6))))
    (folder / "val.txt").write_text("6\n7\n")
    return folder
