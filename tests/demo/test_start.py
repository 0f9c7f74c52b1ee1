"""The page is built without what only later answers need."""

import subprocess
import sys

import pytest

from tools.stress.running import ROOT

SCRIPT = "import sys, demo; demo.build(); print(*({'torchvision', 'matplotlib', 'torch._dynamo'} & sys.modules.keys()))"


@pytest.mark.slow
def test_the_page_is_built_without_torchvision() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
