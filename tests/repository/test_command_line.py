"""The commands on the cards."""

import sys

import pytest

from tools.weights.command_line import typed


def test_a_command_names_no_place_on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "argv", ["x", "/home/me/voc", "0.3=/tmp/runs/labels", "0.4=runs/edges/first", "--photos", "800"]
    )
    assert typed("train_zoo") == "python -m tools.weights.train_zoo voc 0.3=labels 0.4=runs/edges/first --photos 800"
