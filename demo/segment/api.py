"""``/segment`` for programs: gradio_client, curl, and the "Use via API" page."""

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from segmodels.models import registry
from segmodels.models.registry import DEFAULT_MODEL

from ..events import COMPUTES
from ..server import cache, timeouts, weight_downloads
from ..server.inference import segment_photo
from ..server.messages import error_message
from ..server.uploads import Upload
from .result_files import report as result_report
from .result_files import write_labels


def segment_api() -> None:
    """``/segment`` for programs: the same photos, networks and settings, and the command line's report."""
    with gr.Row(visible=False):
        image = gr.Image(label="image")
        model = gr.Textbox(DEFAULT_MODEL, label="model")
        rate, stride, crf = gr.JSON(label="atrous_rate"), gr.JSON(label="output_stride"), gr.JSON(label="crf")
        labels, drawn = gr.File(label="label map"), gr.File(label="overlay")
        report = gr.JSON(label="report")
        trigger = gr.Button()

    def segment(
        image: Upload, model: str = DEFAULT_MODEL, atrous_rate: Any = None, output_stride: Any = None, crf: Any = None
    ) -> tuple[str, str, dict[str, Any]]:
        """Segment a photo: label map (palette PNG at the photo's size), overlay (JPEG), report.

        ``crf`` is true for the fully connected CRF, or an object of its parameters.
        """
        if image is None:
            raise gr.Error("There is no photo: pass one as image.", print_exception=False)
        try:
            path = image["path"]
            weight_downloads.fetch(registry.card(model))
            result = segment_photo(path, model, atrous_rate, output_stride, crf=crf)
            timeouts.check()
            with tempfile.TemporaryDirectory() as folder:
                files = [Path(folder) / "labels.png", Path(folder) / "overlay.jpg"]
                write_labels(path, result, files[0])
                result.overlay(cache.photo(path).image).save(files[1], quality=90)
                cached = [
                    str(part.move_resource_to_block_cache(file))
                    for part, file in zip((labels, drawn), files, strict=True)
                ]
            report = result_report(path, result)
        except (ValueError, OSError) as error:
            raise gr.Error(error_message(error), print_exception=False) from None
        return cached[0], cached[1], report

    inputs, public = [image, model, rate, stride, crf], {"api_name": "segment", "api_visibility": "public"}
    trigger.click(segment, inputs, [labels, drawn, report], **{**COMPUTES, **public})
