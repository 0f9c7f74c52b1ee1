"""Skips that learn, as the page asks for them: each visitor's own, a little at a time."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from demo.components.examples import OFFERED
from demo.lab import skips_learn
from demo.server import cache

from ..conftest import EXAMPLES
from ..helpers import shown

RAFT = {"path": str(EXAMPLES / "raft.jpg")}
FEW = ["raft", *[name for name in OFFERED if name != "raft"][:2]]
"""Examples to learn from, which two networks see first."""


@pytest.fixture(scope="module", autouse=True)
def few_examples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skips_learn, "OFFERED", FEW)
        patch.setattr(skips_learn, "_lessons", cache.LRUCache(8))
        yield


def ask(run: str, on: bool, photo: dict[str, str] = RAFT) -> dict[str, Any]:
    return skips_learn.show(photo["path"], {"run": run * 32, "on": on, "turn": 0})


def step(answer: dict[str, Any]) -> int:
    found = re.search(r"Step (\d+) of", answer["html"][""])
    assert found
    return int(found[1])


def test_it_goes_on_where_it_was_and_only_when_it_is_on() -> None:
    assert step(ask("a", False)) == 0
    first = step(ask("a", True))
    assert first > 0
    assert step(ask("a", False)) == first
    assert step(ask("a", True)) > first


def test_each_visitor_has_their_own() -> None:
    ask("b", True)
    assert step(ask("c", False)) == 0


def test_the_visitors_photo_is_not_learned_from() -> None:
    assert len(skips_learn.lessons("raft")) == 4 * (len(FEW) - 1)
    assert len(skips_learn.lessons("own")) == 4 * len(FEW)


@pytest.mark.parametrize(
    "junk", [None, {}, {"run": "a" * 31, "on": True}, {"run": "../" + "a" * 29, "on": True}, {"run": "a" * 32, "on": 1}]
)
def test_anything_else_is_answered_with_a_sentence(junk: Any) -> None:
    assert "not a question that the page asks" in "".join(shown(skips_learn.show, RAFT, junk).values())
