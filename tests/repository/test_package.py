"""``pip install .``, into a folder of its own and without a network, and what was installed at work."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import segmodels
from tools.stress.running import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built from what git would give to others: a copy, because setuptools leaves its own in the source."""
    copy, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for part in ("segmodels", "assets", "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        (copy / part).symlink_to(ROOT / part)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(built)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(copy)], check=True)
    (made,) = built.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has this package, and what it needs from the one at work here."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    programs = folder / "bin"
    (site,) = folder.glob("lib/python*/site-packages")
    needed = [path for path in sys.path if path.endswith("site-packages")]
    (site / "needed.pth").write_text("\n".join(needed))
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python")]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--quiet", str(wheel)], check=True)
    return programs


def test_every_module_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.endswith(".py")}
    assert packed == {str(file.relative_to(ROOT)) for file in (ROOT / "segmodels").rglob("*.py")}


def test_the_installed_command_lists_the_zoo_and_segments_an_example(installed: Path, tmp_path: Path) -> None:
    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    command = str(installed / "segmodels")
    listed = run(command, "list")
    assert all(name in listed for name in segmodels.list_models())
    (cat,) = installed.parent.glob("lib/python*/site-packages/segmodels/assets/examples/cat.jpg")
    run(command, "segment", str(cat), "--model", segmodels.models.registry.bundled_models()[0], "--out", "out")
    assert len(list((tmp_path / "out").iterdir())) == 3
