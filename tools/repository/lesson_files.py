"""The lessons as a notebook, and the glossary: ``python -m tools.repository.lesson_files`` writes both into ``docs/``.

They are made from ``demo/lessons``; a test says when they are out of date.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from demo.lessons import LESSONS
from demo.lessons.glossary import TERMS
from demo.lessons.lesson import Lesson
from demo.lessons.papers import PAPERS

DOCS = Path(__file__).resolve().parents[2] / "docs"

BEGIN = """# The lessons, in Python

Each lesson of the demo in ten lines. Run this notebook from a copy of the project in which `python -m pip install -e .` was
run; the weights and pictures are bundled. The figures that change with their controls are in the demo's tab Lessons.
"""


def notebook() -> str:
    """Return the notebook of all lessons, nbformat 4.5, without outputs."""
    cells = [_markdown("begin", BEGIN)]
    for place, lesson in enumerate(LESSONS, 1):
        cells += _cells(place, lesson)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _cells(place: int, lesson: Lesson) -> Iterable[dict[str, Any]]:
    choices = "\n".join(f"- {choice}" for choice in sorted(lesson.choices))
    words = f"## {place} {lesson.title}\n\n{lesson.minutes} minutes. {lesson.aim}\n\n{lesson.text.strip()}\n"
    yield _markdown(f"{lesson.slug}-words", f"{words}\n**{lesson.question}**\n\n{choices}\n")
    code: dict[str, Any] = {"execution_count": None, "metadata": {}, "outputs": []}
    yield {"cell_type": "code", "id": f"{lesson.slug}-python", **code, "source": _lines(lesson.python.strip())}
    papers = "; ".join(_reference(name, where) for name, where in lesson.references)
    answer = f"<details><summary>Answer</summary>\n\n{lesson.choices[0]}. {lesson.answer.strip()}\n\n</details>\n"
    yield _markdown(f"{lesson.slug}-answer", f"{answer}\nRead more: {papers}.\n")


def _reference(name: str, where: str) -> str:
    words, address = PAPERS[name]
    return f"[{words}]({address})" + (f", {where}" if where else "")


def _markdown(name: str, words: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": _lines(words)}


def _lines(words: str) -> list[str]:
    return words.splitlines(keepends=True)


def glossary() -> str:
    """Return the glossary as Markdown."""
    terms = "\n".join(f"- **{term}**: {meaning}" for term, meaning in TERMS.items())
    return f"# Glossary\n\nThe terms that the demo and these docs use.\n\n{terms}\n"


FILES = {DOCS / "lessons.ipynb": notebook, DOCS / "glossary.md": glossary}
"""File -> what it holds."""


def main() -> None:
    """Write the files."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for file, content in FILES.items():
        file.write_text(content(), encoding="utf-8")
        print(file)


if __name__ == "__main__":
    main()
