"""``pip install .``, into a folder of its own and without a network, and what was installed at work."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file

import segmodels
from segmodels.cli import main
from tools.stress.running import ROOT, RunningApp


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built from what git would give to others: a copy, because setuptools leaves its own in the source."""
    copy, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for part in ("segmodels", "demo", "assets", "pyproject.toml", "setup.py", "README.md", "LICENSE"):
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


@pytest.mark.slow
def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    """Modules, and what the page is made of: scripts, styles and templates."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith(("segmodels/", "demo/"))}
    files = {file for package in ("segmodels", "demo") for file in (ROOT / package).rglob("*.*") if file.is_file()}
    needed = {str(file.relative_to(ROOT)) for file in files if file.suffix not in (".pyc", ".md")}
    assert needed == {name for name in packed if not name.startswith("segmodels/assets/")}
    assert "segmodels/py.typed" in packed


@pytest.mark.slow
def test_the_installed_command_opens_the_page(installed: Path, tmp_path: Path) -> None:
    for command in (["segmodels", "demo"], ["segmodels-demo"]):
        program, *arguments = command
        with RunningApp([installed / program, *arguments], tmp_path, PYTHONSAFEPATH="1") as app:
            page = httpx.get(app.url).text
            client = Client(app.url, verbose=False, download_files=str(tmp_path))
            example = next(installed.parent.glob("lib/python*/site-packages/segmodels/assets/examples/cat.jpg"))
            _, _, report = client.predict(image=handle_file(example), api_name="/segment")
            assert "cat" in report["classes"]
            assert str(ROOT) not in page
            assert "side by side" in page


def test_without_gradio_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as caught:
        main(["demo"])
    assert caught.value.code == 2
    assert "pip install 'segmodels[demo]'" in capsys.readouterr().err


@pytest.mark.slow
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
