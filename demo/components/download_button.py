"""A button that makes a file on the server and downloads it."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ..events import COMPUTES
from ..server.messages import WRONG_INPUTS, error_message

LONGEST_STEM = 100
"""Letters of a photo's name in that of its files: names of files are bounded."""
SAVE = """file => { Object.assign(document.createElement('a'), {href: drawing.address(file.path), download: file.orig_name}).click(); }"""
"""The file comes from the page's own origin: a proxy may not tell the server that browsers reach it by https."""


def download_button(
    name: str,
    file_name: str,
    write: Callable[..., None],
    inputs: Sequence[gr.Component],
    js: str = "(...values) => values",
    several: bool = False,
) -> None:
    """A button that makes a file and, once it is there, downloads it.

    ``inputs`` are the photo and any settings; ``write`` gets the photo's path, the file's path and the settings. ``js`` makes
    the values that are sent, in the browser. The file is called after the photo: ``bus_labels.png``. With ``several`` there is a
    list of photos, and ``write`` gets their paths.
    """
    button = gr.Button(name, size="sm", min_width=120, elem_id="download-all" if several else None)
    link = gr.DownloadButton(visible=False)

    def make(upload: Any, *settings: Any) -> str:
        if not upload:
            raise gr.Error("There is no photo yet: drop one in first.", print_exception=False)
        try:
            given: Any = [one["path"] for one in upload] if several else upload["path"]
        except (TypeError, LookupError):
            raise gr.Error(WRONG_INPUTS, print_exception=False) from None
        own_name = file_name if several else f"{Path(given).stem[:LONGEST_STEM]}_{file_name}"
        try:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / own_name
                write(given, file, *settings)
                cached = link.move_resource_to_block_cache(file)
        except (ValueError, OSError) as error:
            raise gr.Error(error_message(error), print_exception=False) from None
        assert cached is not None
        return cached

    sent = f"async (photo, ...settings) => ({js})(await photoThere(photo), ...settings)"
    made = button.click(make, list(inputs), [link], js=sent, **COMPUTES)
    made.success(None, [link], None, js=SAVE, api_visibility="private", preprocess=False)
