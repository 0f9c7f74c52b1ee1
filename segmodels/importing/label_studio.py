"""Label Studio's JSON export: polygons, boxes, ellipses and brushes, in percent of the photo."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from ..inference.run_length import Mask, Size
from .plan import BACKGROUND, Dropped, Labels, Names, Options, Pair, Photos, Plan, unique_names
from .reading import read_json
from .shapes import canvas_size, coco_polygon, ellipse, label_studio_rle

KINDS = {
    "polygonlabels": "polygonlabels",
    "rectanglelabels": "rectanglelabels",
    "ellipselabels": "ellipselabels",
    "brushlabels": "brushlabels",
}
"""Results that cover pixels, and where their labels stand."""


def is_label_studio(content: object) -> bool:
    """Return whether a JSON file is Label Studio's."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(task, dict) and "data" in task for task in content[:3])
    )


def plan(source: Path, files: list[Path], options: Options) -> Plan:
    """Find the photos and results of Label Studio's ``files``.

    Raises:
        ValueError: if a file is damaged, or several people drew on one photo and it is not said whose are taken.
    """
    tasks = [task for file in files for task in read_json(file)]
    dropped = Dropped()
    drawn = [(task, _annotation(task, options, dropped)) for task in tasks]
    used = dict.fromkeys(label for _, results in drawn for result in results or [] for label in _labels_of(result))
    names = Names(sorted(used), options, not options.rest_is_void)
    photos = Photos(source if source.is_dir() else source.parent)
    pairs = []
    for task, results in drawn:
        name = _photo_name(task)
        if not results:
            dropped.add("tasks without a result", name)
            continue
        photo = photos.find(name) or photos.find(name.partition("-")[2] or name)
        if photo is None:
            dropped.add("photos that are not there", name)
            continue
        pairs.append(Pair(photo.stem, photo, partial(_drawn, results, names, dropped, name)))
    if source.is_dir():
        photos.drop_unused(dropped, "Label Studio")
    unique = unique_names(pair.name for pair in pairs)
    pairs = [Pair(name, pair.photo, pair.labels) for name, pair in zip(unique, pairs, strict=True)]
    rest = "void" if options.rest_is_void else BACKGROUND
    notes = (f"Pixels that no shape covers are {rest}; --rest says otherwise.", *options.unknown(used))
    return Plan("Label Studio", names.class_list(), tuple(pairs), dropped, notes, upright=True)


def _photo_name(task: Mapping[str, Any]) -> str:
    """The file's name in the first entry of a task's data that looks like one."""
    for value in task["data"].values():
        if isinstance(value, str) and "." in value:
            address = urlsplit(value)
            named = parse_qs(address.query).get("d", [address.path])[0]
            return unquote(named).replace("\\", "/").rpartition("/")[2]
    return f"task {task.get('id')}"


def _annotation(task: Mapping[str, Any], options: Options, dropped: Dropped) -> list[dict[str, Any]] | None:
    """The results of one person; None if there are none."""
    there = [one for one in task.get("annotations", []) if not one.get("was_cancelled") and one.get("result")]
    people = {_person(one): one for one in there}
    if options.annotator is not None:
        if options.annotator not in people and there:
            dropped.add(f"tasks that {options.annotator} did not draw on", _photo_name(task))
        there = [people[options.annotator]] if options.annotator in people else []
    if len(there) > 1:
        whose = ", ".join(sorted(people))
        raise ValueError(
            f"on {_photo_name(task)} there are {len(there)} annotations, by {whose}: say whose are taken with --annotator"
        )
    return there[0]["result"] if there else None


def _person(annotation: Mapping[str, Any]) -> str:
    by = annotation.get("completed_by")
    return str(by.get("email") or by.get("id")) if isinstance(by, dict) else str(by)


def _labels_of(result: Mapping[str, Any]) -> list[str]:
    value = result.get("value", {})
    return [str(label) for label in value.get(KINDS.get(str(result.get("type")), ""), [])]


def _drawn(results: list[dict[str, Any]], names: Names, dropped: Dropped, where: str) -> Labels:
    """The results in their order, a later one on top."""
    sizes = {(one.get("original_width"), one.get("original_height")) for one in results if "original_width" in one}
    if len(sizes) != 1:
        raise ValueError(f"{where}: the results do not agree on the photo's size")
    size = canvas_size(*sizes.pop())
    labels = np.full(size[::-1], names.rest, dtype=np.uint8)
    for result in results:
        kind, called = str(result.get("type")), _labels_of(result)
        if kind not in KINDS:
            dropped.add(f"results of the kind {kind}, which cover no pixels", where)
            continue
        if len(called) != 1:
            dropped.add("shapes with no label, or with several", where)
            continue
        try:
            labels[_mask(result, size)] = names.value(called[0])
        except (ValueError, TypeError, KeyError) as error:
            dropped.add(f"shapes that cannot be drawn: {error}", where)
    return labels


def _mask(result: Mapping[str, Any], size: Size) -> Mask:
    """The pixels of one result. Where the photo was turned to draw on it, percents are of the turned one."""
    turns = round(float(result.get("image_rotation") or 0) / 90) % 4
    turned = size if turns % 2 == 0 else size[::-1]
    return np.rot90(_mask_as_drawn(str(result["type"]), result["value"], turned, turns), turns)


def _mask_as_drawn(kind: str, value: Mapping[str, Any], size: Size, turns: int) -> Mask:
    width, height = size[0] / 100, size[1] / 100
    if kind == "brushlabels":
        if turns:
            raise ValueError("a brush on a turned photo")
        return label_studio_rle(value["rle"], size)
    if kind == "polygonlabels":
        points = [[x * width, y * height] for x, y in value["points"]]
        if len(points) < 3:
            raise ValueError("a polygon has fewer than three points")
        return coco_polygon(points, size)
    degrees = float(value.get("rotation") or 0)
    left, top = value["x"] * width, value["y"] * height
    if kind == "ellipselabels":
        return ellipse(left, top, value["radiusX"] * width, value["radiusY"] * height, size, degrees)
    across, down = value["width"] * width, value["height"] * height
    turn = np.deg2rad(degrees)
    right, below = np.array([np.cos(turn), np.sin(turn)]) * across, np.array([-np.sin(turn), np.cos(turn)]) * down
    corner = np.array([left, top])
    return coco_polygon(
        [corner.tolist(), (corner + right).tolist(), (corner + right + below).tolist(), (corner + below).tolist()], size
    )
