"""The folder that uploads and results lie in for an hour."""

import asyncio
import atexit
import functools
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import hash_file, save_file_to_cache
from gradio.utils import get_upload_folder, is_in_or_equal

from segmodels.checkpoints.paths import EXAMPLES

from .messages import GONE, NOT_AN_UPLOAD

Upload = dict[str, Any] | None
"""An image as gradio hands it over unprocessed: its ``path`` lies in the upload folder, which gradio has checked."""

KEPT_SECONDS = 3600
SWEEP_SECONDS = 600

_PREFIX = "segmodels-uploads-"


def use_own_folder() -> Path:
    """Make gradio put uploads into a new folder of this process, deleted at its end, instead of one of all its apps.

    What processes that were killed left behind goes now.

    Raises:
        OSError: with a sentence, if there is no folder for temporary files that can be written.
    """
    try:
        parent = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
        parent.mkdir(parents=True, exist_ok=True)
        own = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    except OSError as error:
        raise OSError(f"photos need a folder that can be written ({error}): name one in GRADIO_TEMP_DIR") from error
    for folder in parent.glob(_PREFIX + "*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > KEPT_SECONDS:  # a living one is touched at every sweep
                shutil.rmtree(folder, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(own)
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own


def sweep(folder: Path, kept: frozenset[Path], seconds: float = KEPT_SECONDS) -> None:
    """Delete the files in ``folder`` that are older than ``seconds``, but for ``kept``, and folders that are empty.

    gradio deletes the uploads and results that it knows of; this finds the others.
    """
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        with suppress(OSError):  # somebody else was faster, or the folder is not empty
            if path in kept or time.time() - path.lstat().st_ctime <= seconds:
                continue
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
    with suppress(OSError):
        os.utime(folder)


def own_folder() -> Path | None:
    """The upload folder, unless others may use it too."""
    folder = Path(get_upload_folder())
    return folder if folder.name.startswith(_PREFIX) else None


def is_among_uploads(path: Any) -> bool:
    """Whether ``path`` names something in the upload folder, or the folder; it need not be there."""
    try:
        return isinstance(path, str) and "://" not in path and is_in_or_equal(path, get_upload_folder())
    except (OSError, ValueError):  # such as a name too long, or one with a NUL in it
        return False


class Gone(gr.Error):
    """An uploaded photo that is not here, or not any more."""

    def __init__(self, path: Any) -> None:
        super().__init__(GONE, print_exception=False)
        self.path = path


def check_files(inputs: Any) -> None:
    """Look at everything in ``inputs`` that is, or pretends to be, a file.

    A page that was opened before the server restarted, or by another replica, names places in another process's folder.
    There an example is known by its content, and gets the place that it has here.

    Raises:
        gr.Error: unless each is in the upload folder and still there.
    """
    for file in _files(inputs):
        path: Any = file.get("path")
        inside = is_among_uploads(path)
        if inside and Path(str(path)).is_file():
            continue
        *above, folder, _ = ["", *re.split(r"[\\/]", path)] if isinstance(path, str) else ["", ""]
        if example := _examples().get(folder):
            file["path"] = save_file_to_cache(example, get_upload_folder())
        elif inside or any(part.startswith(_PREFIX) for part in above):
            raise Gone(path)
        else:
            raise gr.Error(NOT_AN_UPLOAD, print_exception=False)


@functools.cache
def _examples() -> dict[str, Path]:
    """The example photos by the folders in which gradio keeps them: these are called after what is in a file."""
    return {hash_file(file): file for file in EXAMPLES.glob("*.jpg")}


def _files(inputs: Any) -> Iterator[dict[str, Any]]:
    """Each dictionary that a component could take for a file."""
    waiting = [inputs]
    while waiting:  # not recursive: a request may be nested deeply
        value = waiting.pop()
        if isinstance(value, dict):
            if value.keys() & {"path", "url", "meta"}:
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)


def drop_broken() -> None:
    """Delete what uploads that failed or were broken off left; to be called while there is none."""
    folder = own_folder()
    for file in folder.glob("tmp*") if folder else ():
        with suppress(OSError):
            os.truncate(file, 0)  # whoever failed may still hold it open, and with it the space
            file.unlink()


@asynccontextmanager
async def swept(_: Any) -> AsyncIterator[None]:
    """While the app runs, sweep its own folder now and then; one that others may use too is left alone."""
    folder = own_folder()
    if folder is None:
        yield
        return
    kept = frozenset(folder.rglob("*"))  # the page's own pictures
    task = asyncio.create_task(_keep_sweeping(folder, kept))
    try:
        yield
    finally:
        task.cancel()


async def _keep_sweeping(folder: Path, kept: frozenset[Path]) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        await asyncio.to_thread(sweep, folder, kept)
