"""Results as COCO's JSON, which labelling tools take back: a shape a photo and class."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..checkpoints.files import read_weights
from ..files import atomic_write
from ..inference.run_length import packed_rle
from ..label_files import open_label_map
from ..labels import ClassList
from ..models import registry
from .job import Outcome


def classes_of(model: str, weights: str | None) -> ClassList:
    """Return the classes that a network knows, with its own weights or those in a file."""
    record = read_weights(Path(weights))[1] if weights else None
    return record.class_list if record else registry.card(model).class_list


def with_coco(outcomes: Iterator[Outcome], classes: ClassList, file: Path) -> Iterator[Outcome]:
    """Pass ``outcomes`` on, and write ``file`` after the last: their label maps as masks of COCO's JSON.

    A class's number is one more than its place, since 0 is no category for some readers. The background has no shape.

    Raises:
        OSError: if it cannot be written.
    """
    images: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    for outcome in outcomes:
        if outcome.report is not None:
            number = len(images) + 1
            width, height = outcome.report["size"]
            images.append({"id": number, "file_name": outcome.path.name, "width": width, "height": height})
            found = _shapes(Path(outcome.report["outputs"]["labels"]), number, classes)
            shapes += [{"id": len(shapes) + place, **shape} for place, shape in enumerate(found, 1)]
        yield outcome
    categories = [
        {"id": index + 1, "name": name, "supercategory": ""}
        for index, name in enumerate(classes.names)
        if index != classes.background
    ]
    with atomic_write(file) as partial:
        partial.write_text(
            json.dumps({"images": images, "annotations": shapes, "categories": categories}), encoding="utf-8"
        )


def _shapes(file: Path, image: int, classes: ClassList) -> Iterator[dict[str, Any]]:
    """What each class covers of one photo."""
    labels = open_label_map(file).values
    for index in range(len(classes.names)):
        mask = labels == index
        if index == classes.background or not mask.any():
            continue
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        left, top = int(columns[0]), int(rows[0])
        box = [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]
        yield {
            "image_id": image,
            "category_id": index + 1,
            "segmentation": packed_rle(mask),
            "area": int(mask.sum()),
            "bbox": box,
            "iscrowd": 1,  # as COCO marks shapes that are run-length codes
        }
