"""The API reference is built from the docstrings."""

import ast
from pathlib import Path

import pytest

import segmodels
from tools.repository import api_docs
from tools.stress.running import ROOT


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    api_docs.write(folder)
    return folder


@pytest.mark.slow
def test_the_first_page_has_every_public_name(pages: Path) -> None:
    page = (pages / "segmodels.html").read_text(encoding="utf-8")
    for name in segmodels.__all__:
        assert f'id="{name}"' in page, name


@pytest.mark.slow
def test_there_is_a_page_for_every_module_but_the_command_line(pages: Path) -> None:
    for file in (ROOT / "segmodels").rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        if "cli" not in parts and parts[-1] not in ("__init__", "__main__"):
            assert pages.joinpath(*parts).with_suffix(".html").is_file(), file


@pytest.mark.slow
def test_sections_of_docstrings_become_headings(pages: Path) -> None:
    """pdoc knows Google's form: Args and Raises are not left as plain text."""
    page = (pages / "segmodels.html").read_text(encoding="utf-8")
    assert "Arguments:" in page
    assert "Raises:" in page


@pytest.mark.parametrize(
    "file", sorted((ROOT / "segmodels").rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT))
)
def test_every_public_function_and_class_has_a_docstring(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    assert [node.name for node in public if not ast.get_docstring(node)] == []
