"""The catalogues of the page's languages."""

import re

import httpx
import pytest

from demo.components.language import FOLDER, LANGUAGES
from tools.repository.messages import read

MARKS = re.compile(r"\{(?:name|class)?\d+\}|</?\d+/?>")
"""What a translation has to keep, in any order: what is put in, and the elements around parts of a text."""


def test_the_script_offers_the_languages_that_have_a_catalogue() -> None:
    script = (FOLDER / "language.js").read_text(encoding="utf-8")
    (offered,) = re.findall(r"const NAMES = \{(.+)\}", script)
    assert set(re.findall(r"(\w\w):", offered)) == {"en", *LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_has_a_translation_for_every_key_and_keeps_what_stands_in_it(language: str) -> None:
    texts = read(language)
    assert list(texts) == sorted(read("de"))
    wrong = [
        key
        for key, text in texts.items()
        if not text or sorted(MARKS.findall(key)) != sorted(MARKS.findall(text)) or not nested(text)
    ]
    assert wrong == []


def nested(text: str) -> bool:
    """Whether elements end in the order in which they began, and no HTML is in the text."""
    open_: list[str] = []
    for mark in re.findall(r"</?[\w ]+/?>", text):
        if not MARKS.fullmatch(mark):
            return False
        if mark.startswith("</"):
            if not open_ or open_.pop() != mark[2:-1]:
                return False
        elif not mark.endswith("/>"):
            open_.append(mark[1:-1])
    return not open_


def test_a_catalogue_is_sent_once_and_no_other_file(url: str) -> None:
    address = f"{url}language/de.json"
    first = httpx.get(address)
    assert first.json()["texts"] == read("de")
    assert {"potted plant", "person", "sky"} <= set(first.json()["classes"])
    again = httpx.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert httpx.post(address).status_code == 404
    for other in ("en.json", "xx.json", "../language.js", "language.js", "__init__.py"):
        assert httpx.get(f"{url}language/{other}").status_code == 404
