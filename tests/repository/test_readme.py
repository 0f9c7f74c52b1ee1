"""The README: its length, its links, and its Python, as well as that of docs/python.md, run as they stand."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tools.stress.running import ROOT

from ..conftest import EXAMPLES

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


def python_of(page: str) -> str:
    block = re.search(r"```python\n(import.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    assert block, page
    return block[1]


@pytest.fixture(params=[1, 6], ids=["upright", "rotated"])
def photo_folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in that has a photo.jpg."""
    exif = Image.Exif()
    exif[0x0112] = request.param  # 6: the camera was turned
    Image.open(EXAMPLES / "cat.jpg").save(tmp_path / "photo.jpg", exif=exif)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_of_the_readme_runs(photo_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(python_of("README.md"), {})
    assert "'cat'" in capsys.readouterr().out
    upright = {1: (451, 300), 6: (300, 451)}[Image.open("photo.jpg").getexif().get(0x0112, 1)]
    assert Image.open("overlay.png").size == upright


def test_the_python_of_the_python_page_runs(photo_folder: Path) -> None:
    here: dict[str, Any] = {}
    exec(python_of("docs/python.md"), here)
    written = sorted(file.name for file in (photo_folder / "results").iterdir())
    assert written == ["photo_figure.png", "photo_labels.png", "photo_overlay.png", "photo_report.json"]
    assert np.unique(here["labels"]).tolist() == [0, 1]


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) < 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings], target
