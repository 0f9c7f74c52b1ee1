"""A reader can take in a file and a function: neither grows without end."""

import ast
from pathlib import Path

import pytest

from .running import ROOT

SOURCES = sorted(
    file for part in ("*.py", "demo/**/*.py", "segmodels/**/*.py", "tools/**/*.py") for file in ROOT.glob(part)
)
LONGEST_FILE, LONGEST_FUNCTION = 400, 50
"""In lines."""


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_and_no_function_is_too_long(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION, node.name
