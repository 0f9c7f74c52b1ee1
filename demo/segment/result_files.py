"""Files of a result at the photo's own size: label map, overlay, figure, table and report."""

import csv
import json
import tempfile
import zipfile
from collections.abc import Callable, Sequence
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
    options: dict[str, Any] = {"quality": 90} if file.suffix == ".jpg" else {"compress_level": 1}
    result.overlay(cache.photo(path).image).save(file, **options)


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
    write(path, _result(path, model, rate, stride, variant, crf), file)


def _result(path: str, model: str, rate: float, stride: int, variant: str | None, crf: bool) -> Segmentation:
    disabled = registry.card(model).disabled_by(variant)
    result = segment_photo(path, model, rate, stride, crf=crf, disabled=disabled)
    timeouts.check()
    return result


MOST_PHOTOS = 24
"""In one archive, as in the page's strip of photos."""
ARCHIVED: dict[str, Writer] = {"labels.png": write_labels, "overlay.jpg": _write_overlay, "report.json": _write_report}
"""What an archive has of each photo."""


def write_all(
    paths: Sequence[str], file: Path, model: str, rate: float, stride: int, variant: str | None, crf: bool
) -> None:
    """Write the results of several photos into one archive, each called after its photo.

    Raises:
        ValueError: for more photos than an archive has, or one that cannot be read.
    """
    if len(paths) > MOST_PHOTOS:
        raise ValueError(f"these are {len(paths)} photos, and at most {MOST_PHOTOS} go into one archive")
    with zipfile.ZipFile(file, "w") as archive, tempfile.TemporaryDirectory() as folder:
        for stem, path in zip(own_stems(paths), paths, strict=True):
            with cache.decoding_once():  # one photo in memory at a time
                result = _result(path, model, rate, stride, variant, crf)
                for name, write in ARCHIVED.items():
                    part = Path(folder) / name
                    write(path, result, part)
                    archive.write(part, f"{stem}_{name}")


def own_stems(paths: Sequence[str]) -> list[str]:
    """Return the files' names without their endings, numbered where several have the same."""
    stems: list[str] = []
    for stem in (Path(path).stem for path in paths):
        numbered = (f"{stem}-{number}" for number in range(2, len(paths) + 2))
        stems.append(stem if stem not in stems else next(name for name in numbered if name not in stems))
    return stems
