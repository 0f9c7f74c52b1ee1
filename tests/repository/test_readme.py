"""The README's Python, as whoever copies it would run it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tools.stress.running import ROOT

from ..conftest import EXAMPLES

FROM_PYTHON = re.search(r"## From Python\n+```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_block_from_python_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation  # 6: the camera was turned
    Image.open(EXAMPLES / "cat.jpg").save(tmp_path / "photo.jpg", exif=exif)
    monkeypatch.chdir(tmp_path)
    assert FROM_PYTHON
    here: dict[str, Any] = {}
    exec(FROM_PYTHON[1], here)
    written = sorted(file.name for file in (tmp_path / "results").iterdir())
    assert written == ["photo_figure.png", "photo_labels.png", "photo_overlay.png", "photo_report.json"]
    assert np.unique(here["labels"]).tolist() == [0, 1]
