"""Files that events and questions name: uploads, examples by their content, and what is gone."""

from pathlib import Path

import gradio as gr
import pytest
from gradio.processing_utils import hash_file

from demo.server.messages import NOT_AN_UPLOAD
from demo.server.uploads import Gone, check_files

from ..conftest import EXAMPLES

CAT = EXAMPLES / "cat.jpg"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The upload folder of a server that has just been started."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "before", ["/tmp/segmodels-uploads-old/{}/cat.jpg", r"C:\Temp\segmodels-uploads-old\{}\cat.jpg"]
)
def test_an_example_of_a_page_that_is_older_than_the_server_is_found(before: str, folder: Path) -> None:
    question = {"values": [{"path": before.format(hash_file(CAT))}, 6]}
    check_files(question)
    found = Path(question["values"][0]["path"])  # type: ignore[index]
    assert found.is_relative_to(folder)
    assert found.read_bytes() == CAT.read_bytes()


def test_an_example_that_was_swept_is_there_again(folder: Path) -> None:
    file = {"path": str(folder / hash_file(CAT) / "cat.jpg")}
    check_files([file])
    assert Path(file["path"]).read_bytes() == CAT.read_bytes()


def test_a_photo_of_another_process_is_gone(folder: Path) -> None:
    for path in (f"/tmp/segmodels-uploads-old/{'0' * 64}/mine.jpg", str(folder / ("0" * 64) / "mine.jpg")):
        with pytest.raises(Gone) as caught:
            check_files({"photo": {"path": path}})
        assert caught.value.path == path


@pytest.mark.parametrize(
    "path", ["/etc/passwd", f"/etc/{'0' * 64}/passwd", "passwd", "", None, 5, "/tmp/segmodels-uploads-x"]
)
def test_what_was_never_uploaded_is_refused(path: object) -> None:
    with pytest.raises(gr.Error) as caught:
        check_files({"path": path})
    assert caught.value.message == NOT_AN_UPLOAD
