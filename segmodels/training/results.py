"""What a run leaves behind beside its weights: a folder with its curve, its scores and what it sees."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image

from ..files import atomic_write, display_path
from ..inference.legend import legend_fonts, legend_label
from ..inference.pictures import overlay
from ..labels import VOID, ClassList
from .data import SegmentationFolder
from .edges import EdgeScores
from .metrics import Scores

SHOWN_PHOTOS = 6
"""Validation photos that are drawn with what the network makes of them, evenly spread over the list."""


def results_folder(out: Path) -> Path:
    """Where the results of the run that writes ``out`` are."""
    return out.with_name(f"{out.stem}_results")


def checkpoint_file(out: Path) -> Path:
    """Where the run that writes ``out`` keeps what it needs to go on."""
    return out.with_suffix(".checkpoint.pt")


def keep_previous(out: Path) -> str:
    """Give what an earlier run wrote to ``out`` another name, so that a new run begins without losing it.

    Weights, checkpoint and results get ``_previous`` behind their name, in place of those that have it already. Of a run that
    was stopped before it wrote weights there is the checkpoint alone.

    Returns:
        A sentence about it; empty if nothing was there.
    """
    kept = out.with_stem(f"{out.stem}_previous")
    moved = [(checkpoint_file(out), checkpoint_file(kept))]
    if out.is_file():
        moved = [(out, kept), *moved, (results_folder(out), results_folder(kept))]
        checkpoint_file(kept).unlink(missing_ok=True)
        shutil.rmtree(results_folder(kept), ignore_errors=True)
    there = [(old, new) for old, new in moved if old.exists()]
    for old, new in there:
        old.replace(new)
    if not there:
        return ""
    return f"An earlier run wrote {display_path(there[0][0])}: it is kept as {display_path(there[0][1])} until the next one."


def what_is_next(out: Path, data: Path | None) -> str:
    """Return a sentence about what was written, and the command to use it with; ``data`` has validation photos."""
    use = f"evaluate {display_path(data)}" if data else "segment PHOTO --out seen"
    return f"Wrote {display_path(out)} and {display_path(results_folder(out))}/. Next: segmodels {use} --model {display_path(out)}"


def write_log(out: Path, log: dict[str, Any]) -> None:
    """``log.json``: everything that made the weights."""
    with atomic_write(results_folder(out) / "log.json") as partial:
        partial.write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")


def write_curve(out: Path, history: Sequence[dict[str, float]], title: str) -> None:
    """``curve.png``: loss and scores over the steps so far."""
    _save(plot(history, title), results_folder(out) / "curve.png")


def write_scores(out: Path, scores: Scores, classes: ClassList, data: str) -> None:
    """``scores.md``: a table of the classes."""
    rows = [
        f"| {name} | {'-' if iou is None else f'{iou:.3f}'} | {pixels:,} |"
        for name, iou, pixels in zip(classes.names, scores.iou, scores.pixels, strict=True)
    ]
    text = (
        f"# {out.name} on {data}\n\n{scores.summary(classes.names)}\n\n"
        "| class | IoU | pixels |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )
    with atomic_write(results_folder(out) / "scores.md") as partial:
        partial.write_text(text, encoding="utf-8")


def write_predictions(out: Path, label: Callable[[Image.Image], NDArray[np.uint8]], folder: SegmentationFolder) -> None:
    """``predictions.png``: a few validation photos, the truth, and what the network says."""
    indices = np.unique(np.linspace(0, len(folder) - 1, SHOWN_PHOTOS).round().astype(int)).tolist()
    drawing = Figure(figsize=(10, 2.6 * len(indices)), layout="constrained")
    FigureCanvasAgg(drawing)
    grid = drawing.subplots(len(indices), 3, squeeze=False)
    seen: set[int] = set()
    for index, row in zip(indices, grid, strict=True):
        photo, truth = folder[index]
        labels = label(photo)
        pictures = (
            photo,
            overlay(photo, truth, classes=folder.class_list),
            overlay(photo, labels, classes=folder.class_list),
        )
        for axes, picture in zip(row, pictures, strict=True):
            axes.imshow(picture)
            axes.set_axis_off()
        seen |= set(np.unique(truth).tolist()) | set(np.unique(labels).tolist())
    for axes, title in zip(grid[0], ("photo", "truth", "prediction"), strict=True):
        axes.set_title(title)
    patches = [
        Patch(
            facecolor=folder.class_list.palette[value] / 255,
            edgecolor="grey",
            label=legend_label(folder.class_list, value),
        )
        for value in sorted(seen - {VOID})
    ]
    fonts = {"family": legend_fonts(folder.class_list.names)}
    drawing.legend(handles=patches, loc="outside lower center", ncols=min(len(patches), 6), frameon=False, prop=fonts)
    _save(drawing, results_folder(out) / "predictions.png")


def plot(history: Sequence[dict[str, float]], title: str) -> Figure:
    """Loss and, where there are any, validation scores over the steps of a run."""
    drawing = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(drawing)
    left = drawing.subplots()
    steps = [row["step"] for row in history]
    left.plot(steps, [row["loss"] for row in history], "o-", color="tab:grey", label="training loss")
    left.set(title=title, xlabel="step", ylabel="training loss")
    if "pixel_accuracy" not in history[-1]:
        return drawing
    right = left.twinx()
    score = ("miou7", "mIoU-7") if any("miou7" in row for row in history) else ("miou", "mIoU")
    for name, label in (score, ("pixel_accuracy", "pixel accuracy")):
        if scored := [row for row in history if name in row]:
            right.plot([row["step"] for row in scored], [row[name] for row in scored], "o-", label=label)
    right.set(ylabel="on the validation photos", ylim=(0, 1))
    drawing.legend(loc="outside lower center", ncols=3, frameon=False)
    return drawing


def write_edge_plot(file: Path, edges: Mapping[str, EdgeScores], title: str) -> None:
    """A PNG of pixel accuracy and mIoU within bands of true edges, a line for each of ``edges``."""
    drawing = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(drawing)
    accuracy, miou = drawing.subplots(1, 2)
    for name, scores in edges.items():
        bands = list(scores.bands)
        accuracy.plot(bands, [scores.band(width).pixel_accuracy for width in bands], "o-", label=name)
        miou.plot(bands, [scores.band(width).miou() for width in bands], "o-", label=name)
    for axes, measure in ((accuracy, "pixel accuracy"), (miou, "mIoU")):
        axes.set(xlabel="pixels from a true edge, at most", ylabel=measure)
        axes.set_xscale("log", base=2)
        axes.set_xticks(bands, [str(width) for width in bands])
        axes.grid(alpha=0.3)
    accuracy.legend()
    drawing.suptitle(title)
    _save(drawing, file)


def _save(drawing: Figure, file: Path) -> None:
    with atomic_write(file) as partial:
        drawing.savefig(partial, format="png")
