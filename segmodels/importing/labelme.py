"""labelme's folders of JSON, one beside each photo."""

import base64
import binascii
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..inference.run_length import Mask, Size
from ..label_files import IGNORED
from .plan import BACKGROUND, Dropped, Labels, Names, Options, Pair, Photos, Plan, split_of, unique_names
from .reading import read_json
from .shapes import canvas_size, mask_of_png, pillow_polygon, stroke

LINES = ("line", "linestrip", "point", "points")
"""Shapes that cover nothing by themselves."""


def is_labelme(content: object) -> bool:
    """Return whether a JSON file is labelme's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def plan(source: Path, files: list[Path], options: Options) -> Plan:
    """Find the photos and shapes of labelme's ``files``; the classes are all labels, sorted, behind the background.

    Raises:
        ValueError: if a file is damaged, or there are lines and it is not said how wide they are.
    """
    contents = {file: read_json(file) for file in files}
    shapes = [shape for content in contents.values() for shape in content["shapes"]]
    lines = sum(shape.get("shape_type") in LINES for shape in shapes)
    if lines and not options.width:
        raise ValueError(
            f"lines and points ({lines}) cover no pixels by themselves: say how wide they are with --width PIXELS"
        )
    named = {str(shape.get("label")) for shape in shapes}
    labels = sorted(named - {IGNORED, "_background_"})
    names = Names(labels, options, not options.rest_is_void)
    dropped = Dropped()
    photos = Photos(source)
    pairs = []
    for file, content in contents.items():
        photo = _photo(file, content, photos)
        if photo is None:
            place = str(content["imagePath"]).replace("\\", "/")
            outside = (file.parent / place).is_file()
            why = "whose photo lies outside SOURCE: import the folder above" if outside else "without their photo"
            dropped.add(f"files {why}", f"{file.name}: {place}")
            continue
        split = next((said for part in file.relative_to(source).parts[:-1] if (said := split_of(part))), "")
        size = canvas_size(content.get("imageWidth"), content.get("imageHeight"))
        pairs.append(Pair(file.stem, photo, partial(_drawn, content["shapes"], size, names, dropped, file.name), split))
    photos.drop_unused(dropped, "labelme")
    unique = unique_names(pair.name for pair in pairs)
    pairs = [Pair(name, pair.photo, pair.labels, pair.split) for name, pair in zip(unique, pairs, strict=True)]
    rest = "void" if options.rest_is_void else BACKGROUND
    notes = (f"Pixels that no shape covers are {rest}; --rest says otherwise.", *options.unknown(named))
    return Plan("labelme", names.class_list(), tuple(pairs), dropped, notes, upright=True)


def _photo(file: Path, content: dict[str, Any], photos: Photos) -> Path | bytes | None:
    """The photo beside the file, or the one that the file holds."""
    found = photos.find(str(content["imagePath"]), file.parent)
    if found is not None or not isinstance(content.get("imageData"), str):
        return found
    try:
        return base64.b64decode(content["imageData"], validate=True)
    except (ValueError, binascii.Error):
        return None


def _drawn(shapes: list[dict[str, Any]], size: Size, names: Names, dropped: Dropped, where: str) -> Labels:
    """The shapes in their order, a later one on top, on the photo as it is shown."""
    labels = np.full(size[::-1], names.rest, dtype=np.uint8)
    for shape in shapes:
        try:
            mask = mask_of(shape, size, names.options.width or 1)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            dropped.add(f"shapes that cannot be drawn: {error}", where)
            continue
        label = str(shape.get("label"))
        labels[mask] = names.rest if label == "_background_" else names.value(label)
    return labels


def mask_of(shape: dict[str, Any], size: Size, width: int) -> Mask:
    """Return the pixels of a shape, as labelme's own export drew them.

    Raises:
        ValueError: for a kind that there is not.
    """
    kind, points = shape.get("shape_type") or "polygon", shape["points"]
    if kind == "mask":
        return _placed(mask_of_png(shape["mask"]), points, size)
    if kind in LINES:
        if kind == "points":
            return np.logical_or.reduce([stroke([point], size, width) for point in points])
        return stroke(points, size, width)
    if kind == "circle":
        (x, y), (edge_x, edge_y) = points
        radius = math.hypot(x - edge_x, y - edge_y)
        return _pillow_ellipse((x - radius, y - radius, x + radius, y + radius), size)
    if kind == "rectangle":
        (left, top), (right, bottom) = points
        points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    elif kind not in ("polygon", "oriented_rectangle"):
        raise ValueError(f"there is a kind called {kind}")
    if len(points) < 3:
        raise ValueError("a polygon has fewer than three points")
    return pillow_polygon(points, size)


def _pillow_ellipse(box: tuple[float, float, float, float], size: Size) -> Mask:
    from PIL import Image, ImageDraw

    image = Image.new("1", size)
    ImageDraw.Draw(image).ellipse(box, fill=1, outline=1)
    return np.array(image)


def _placed(mask: Mask, points: list[list[float]], size: Size) -> Mask:
    """A mask at its place: both of its corners are pixels that it has."""
    (left, top), (right, bottom) = (tuple(int(value) for value in point) for point in points)
    if mask.shape != (bottom - top + 1, right - left + 1):
        raise ValueError("a mask has another size than its corners")
    whole = np.zeros(size[::-1], dtype=bool)
    inside = whole[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
    inside |= mask[max(-top, 0) :, max(-left, 0) :][: inside.shape[0], : inside.shape[1]]
    return whole
