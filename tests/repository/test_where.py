"""The page that says where to change what names places that there are."""

import re

import pytest

from tools.stress.running import ROOT

PLACES = re.findall(
    r"`((?:segmodels|demo|assets|tests)/[^` ]*|[a-z_]+\.(?:py|toml))`", (ROOT / "docs/where.md").read_text()
)
COMMANDS = re.findall(r"`python -m tools\.(\w+\.\w+)", (ROOT / "docs/where.md").read_text())


@pytest.mark.parametrize("place", PLACES)
def test_there_is_such_a_place(place: str) -> None:
    """Where only a name is given, it is in one of the folders that the page is about."""
    assert (ROOT / place).exists() or ("/" not in place and list(ROOT.glob(f"*/*/{place}")))


@pytest.mark.parametrize("command", COMMANDS)
def test_there_is_such_a_command(command: str) -> None:
    assert (ROOT / "tools" / f"{command.replace('.', '/')}.py").is_file()
