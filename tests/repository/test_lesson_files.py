"""The notebook of the lessons and the glossary are up to date, and the notebook is one that Jupyter opens."""

import json
import re
from typing import Any

import pytest

from demo.lessons import LESSONS
from tools.repository import lesson_files

COMMAND = "python -m tools.repository.lesson_files"


@pytest.mark.parametrize("file", lesson_files.FILES, ids=lambda file: file.name)
def test_the_file_is_what_the_command_writes(file: Any) -> None:
    assert file.read_text(encoding="utf-8") == lesson_files.FILES[file](), f"out of date: {COMMAND}"


def test_the_notebook_is_nbformat_4_5() -> None:
    """What nbformat's schema asks for: the fields of the notebook and of each cell, no others, and ids that differ."""
    book = json.loads((lesson_files.DOCS / "lessons.ipynb").read_text(encoding="utf-8"))
    assert set(book) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert {"display_name", "name"} <= set(book["metadata"]["kernelspec"])
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in book["cells"]:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        assert isinstance(cell["metadata"], dict)
        assert all(isinstance(line, str) for line in cell["source"])
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        fields = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            fields |= {"execution_count", "outputs"}
            assert cell["execution_count"] is None
            assert cell["outputs"] == []
        else:
            assert cell["cell_type"] == "markdown"
        assert set(cell) == fields


def test_the_notebook_has_each_lessons_lines_in_order() -> None:
    book = json.loads((lesson_files.DOCS / "lessons.ipynb").read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    assert code == [lesson.python.strip() for lesson in LESSONS]
