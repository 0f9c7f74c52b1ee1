"""``.ci/run`` runs the ordinary tests, then the slow ones, and names those that passed only when they ran again."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.stress.running import ROOT

FAILURES = {"tests/test_a.py::test_one": True, "tests/test_b.py::test_two[x y]": True}

STARTER = """
import json, sys
from pathlib import Path

tier = "slow" if sys.argv[1:4] == ["test", "-m", "slow"] else "ordinary"
with Path("tiers").open("a") as tiers:
    print(tier, file=tiers)
if tier != {tier!r}:
    sys.exit()
again = "--last-failed" in sys.argv
if not again:
    record = Path(".pytest_cache/v/cache/lastfailed")
    record.parent.mkdir(parents=True)
    record.write_text({failures!r})
sys.exit({second} if again else {first})
"""


@pytest.mark.parametrize("tier", ["ordinary", "slow"])
@pytest.mark.parametrize(
    ("first", "second", "status", "flaky"), [(0, 1, 0, []), (1, 0, 0, sorted(FAILURES)), (1, 1, 1, [])]
)
def test_both_tiers_run_and_flaky_tests_are_listed(
    tmp_path: Path, first: int, second: int, status: int, flaky: list[str], tier: str
) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "run.py").write_text(
        STARTER.format(failures=json.dumps(FAILURES), first=first, second=second, tier=tier)
    )
    environment = os.environ | {"CHROMIUM": "/bin/true"}
    command = ["bash", str(tmp_path / ".ci" / "run")]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (status, "")
    tiers = (tmp_path / "tiers").read_text().split()
    assert tiers[0] == "ordinary"
    assert ("slow" in tiers) == (tier == "slow" or status == 0)
    assert [line.removeprefix("FLAKY ") for line in ended.stdout.splitlines()] == flaky
