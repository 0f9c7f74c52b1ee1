"""The tools: what they say of themselves, and what the cards say of runs."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from segmodels.models import registry
from tools.stress.running import ROOT
from tools.weights import cards

COMMANDS = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in (ROOT / "tools").rglob("*.py")
    if "__main__" in file.read_text("utf-8")
)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_printed_and_nothing_is_done(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name.endswith("_google"):
        for needed in ("tflite", "ai_edge_litert"):
            pytest.importorskip(needed, reason="needs TFLite, which nothing else here does")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module(name, run_name="__main__")
    assert caught.value.code == 0
    assert "usage:" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", registry.COMPACT)
def test_the_cards_are_what_the_tool_makes_of_the_log(name: str) -> None:
    measured = registry.card(name).measured
    assert json.loads(json.dumps(cards.training(registry.card(name)))) == measured["training"]
    assert (registry.WEIGHTS / f"{name}.md").read_text(encoding="utf-8") == cards.markdown(
        registry.card(name), measured
    )


@pytest.mark.slow
@pytest.mark.parametrize(("page", "table"), [(cards.ZOO, cards.table), (cards.README, cards.short_table)])
def test_the_pages_have_the_tables_of_the_cards(page: Path, table: Callable[[], str]) -> None:
    _, _, rest = page.read_text(encoding="utf-8").partition(cards.MARKS[0])
    assert rest.partition(cards.MARKS[1])[0].strip() == table().strip()
