"""The browser's runtime is in the repository as npm has it, and small enough to be there."""

import gzip
import hashlib
import json

import pytest

from segmodels.checkpoints.paths import ONNXRUNTIME_WEB
from tools.repository.onnxruntime_web import FILES

ABOUT = json.loads((ONNXRUNTIME_WEB / "about.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_the_one_that_is_named(name: str) -> None:
    compressed = (ONNXRUNTIME_WEB / f"{name}.gz").read_bytes()
    content = gzip.decompress(compressed)
    facts = ABOUT["files"][name]
    assert len(compressed) == facts["compressed"] < 10e6
    assert (len(content), hashlib.sha256(content).hexdigest()) == (facts["bytes"], facts["sha256"])


def test_its_licence_is_beside_it() -> None:
    assert ABOUT["licence"] == "MIT"
    assert "Microsoft" in (ONNXRUNTIME_WEB / "LICENSE").read_text(encoding="utf-8")
