"""How torch's threads wait is set before torch is loaded, and never against the user's own setting."""

import os
import subprocess
import sys

import pytest
import torch

from segmodels.kernels import openmp
from tools.stress.running import ROOT

SAY = "import os; from segmodels.kernels import openmp; print(os.environ.get('GOMP_SPINCOUNT'), '|', openmp.waiting())"


def said(script: str, **variables: str) -> tuple[str, str]:
    """What ``script`` prints before and after the bar, in a process of its own with these environment variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, cwd=ROOT, env=environment | variables, capture_output=True, text=True, check=True)
    count, _, words = ran.stdout.strip().partition(" | ")
    return count, words


def test_threads_sleep_early_by_default() -> None:
    assert said(SAY) == ("1000", "GOMP_SPINCOUNT=1000")


@pytest.mark.parametrize(
    "variables", [{"GOMP_SPINCOUNT": "7"}, pytest.param({"OMP_WAIT_POLICY": "PASSIVE"}, marks=pytest.mark.slow)]
)
def test_the_users_own_setting_holds(variables: dict[str, str]) -> None:
    count, words = said(SAY, **variables)
    assert count == variables.get("GOMP_SPINCOUNT", "None")
    assert words == "=".join(*variables.items())


@pytest.mark.slow
def test_it_says_so_where_torch_came_first() -> None:
    count, words = said(f"import torch; {SAY}")
    assert count == "None"
    assert "torch was loaded before segmodels" in words


def test_a_quota_bounds_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)), raising=False)
    monkeypatch.setattr(openmp, "COUNT_GIVEN", False)
    monkeypatch.setenv("OMP_NUM_THREADS", "32")
    assert openmp.bound_threads(1) == (torch.get_num_threads() == 1)  # torch is loaded: it is too late
    assert os.environ["OMP_NUM_THREADS"] == "32"
    monkeypatch.delitem(sys.modules, "torch")
    assert openmp.bound_threads(3)
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_a_number_of_the_users_own_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmp, "COUNT_GIVEN", True)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delitem(sys.modules, "torch")
    assert openmp.bound_threads(1)
    assert os.environ["OMP_NUM_THREADS"] == "7"
