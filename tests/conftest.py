"""What several tests share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from segmodels.kernels import openmp as _openmp  # noqa: F401 # isort: skip - before torch is loaded

import numpy as np
import pytest
import torch
from PIL import Image

if TYPE_CHECKING:
    import gradio as gr
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


LONGEST = (
    "test_segmenter",
    "test_lessons_browser",
    "test_security",
    "test_hostile",
    "test_access_browser",
    "test_restart_browser",
    "test_speed",
    "test_package",
    "test_anatomy_browser",
    "test_own_classes_browser",
    "test_onnx_graph",
    "test_page_browser",
    "test_anatomy",
    "test_own_classes",
    "test_photo",
    "test_train",
    "test_guarded_browser",
    "test_room_browser",
    "test_lab_pixel_browser",
)
"""The files that take longest, be it in the ordinary run or in the slow one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, then what needs Chromium: of two processes none waits for another's long file at the end."""

    def place(item: pytest.Item) -> tuple[int, bool]:
        name = item.path.stem
        return LONGEST.index(name) if name in LONGEST else len(LONGEST), not name.endswith("_browser")

    items.sort(key=place)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, beside the skipped tests, which are listed with their reasons."""
    if config.option.markexpr == "not slow and not long":
        terminalreporter.write_line("left out: python3 run.py test -m slow (CI runs it too), and -m long")


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
def blocks(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[gr.Blocks]":
    """The page as it is built, and its uploads in a folder of their own."""
    from demo import build  # here, because gradio takes seconds to import

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        yield build()


@pytest.fixture(scope="session")
def url(blocks: "gr.Blocks") -> Iterator[str]:
    """The running app's address: one app for all tests, as it is one for all visitors."""
    from demo import launch_options

    _, url, _ = blocks.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield url
    blocks.close()


@pytest.fixture(scope="session")
def cat() -> Image.Image:
    """A cat's face, 451 x 300 pixels."""
    return Image.open(EXAMPLES / "cat.jpg").convert("RGB")


@pytest.fixture(scope="session")
def astronaut() -> Image.Image:
    """A person in front of a flag and a model of a Space Shuttle, 512 x 512 pixels."""
    return Image.open(EXAMPLES / "astronaut.jpg").convert("RGB")


def eight_photos(folder: Path) -> Path:
    """Write photos, left half one colour with label 0, right half another with the label 1 or 2; two are for validation."""
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


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """Eight photos to train on."""
    return eight_photos(tmp_path / "data")
