"""Files of a result at the photo's own size: label map, overlay, figure, table and report."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segmodels import Segmentation
from segmodels.inference.pictures import figure, label_image
from segmodels.models import registry

from ..server import cache, timeouts
from ..server.inference import segment_photo


def write_labels(path: str, result: Segmentation, file: Path) -> None:
    label_image(result.labels, result.class_list).save(file)


def _write_overlay(path: str, result: Segmentation, file: Path) -> None:
    result.overlay(cache.photo(path).image).save(file, compress_level=1)


def _write_figure(path: str, result: Segmentation, file: Path) -> None:
    figure(cache.photo(path).image, result.labels, result.class_list).savefig(file)


def _write_table(path: str, result: Segmentation, file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["class", "share", "mean_confidence"])
        rows.writerows(
            [name, f"{share:.6f}", _rounded(result.confidence.get(name))] for name, share in result.shares.items()
        )


def _rounded(confidence: float | None) -> str:
    return "" if confidence is None else f"{confidence:.4f}"


def _write_report(path: str, result: Segmentation, file: Path) -> None:
    file.write_text(json.dumps(report(path, result), indent=2), encoding="utf-8")


def report(path: str, result: Segmentation) -> dict[str, Any]:
    """The command line's, with what was done to the photo."""
    report = result.report(Path(path).name)
    report["notes"] += cache.display(path).notes
    return report


Writer = Callable[[str, Segmentation, Path], None]


DOWNLOADS: dict[str, tuple[str, Writer]] = {
    "Label map (PNG)": ("labels.png", write_labels),
    "Overlay (PNG)": ("overlay.png", _write_overlay),
    "Figure (PNG)": ("figure.png", _write_figure),
    "Table (CSV)": ("classes.csv", _write_table),
    "Report (JSON)": ("report.json", _write_report),
}
"""Files at the photo's own size, made when they are asked for."""


def write_result(
    write: Writer, path: str, file: Path, model: str, rate: float, stride: int, variant: str | None, crf: bool
) -> None:
    disabled = registry.card(model).disabled_by(variant)
    result = segment_photo(path, model, rate, stride, crf=crf, disabled=disabled)
    timeouts.check()
    write(path, result, file)
