"""COCO's JSON: instances and stuff with polygons and run-length codes, and panoptic segmentations."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..inference.run_length import Mask, Size, coco_rle
from ..label_files import open_label_map
from ..labels import VOID
from .plan import Dropped, Labels, Names, Options, Pair, Photos, Plan, ask_for_rest, photo_sizes, split_of, unique_names
from .reading import read_json
from .shapes import canvas_size, coco_polygon


def is_coco(content: object) -> bool:
    """Return whether a JSON file is COCO's."""
    return isinstance(content, dict) and all(
        isinstance(content.get(key), list) for key in ("images", "categories", "annotations")
    )


def plan(source: Path, files: Sequence[Path], options: Options) -> Plan:
    """Find the photos and the shapes of COCO's JSON ``files``.

    A class goes by its category's name, since numbers have gaps and begin at 0 or 1.

    Raises:
        ValueError: if a file is none of COCO's, or it is not said what pixels are that no shape covers.
    """
    contents = {file: read_json(file) for file in files}
    if any(not is_coco(content) for content in contents.values()):
        raise ValueError(f"{files[0]} is no JSON of COCO's: it has images, annotations and categories")
    panoptic = any(_is_panoptic(content) for content in contents.values())
    if not panoptic:
        ask_for_rest(options, "COCO's shapes do not cover every pixel")
    dropped = Dropped()
    used = {_category(one) for content in contents.values() for one in _parts(content)}
    categories = {
        category.get("id"): str(category.get("name"))
        for content in contents.values()
        for category in content["categories"]
    }
    for number, name in categories.items():
        if number not in used:
            dropped.add("categories without a shape", name)
    names = Names(
        [name for number, name in categories.items() if number in used],
        options,
        not panoptic and not options.rest_is_void,
    )
    photos = Photos(source if source.is_dir() else _base(source), {file.stem for file in files})
    found: list[Pair] = []
    for file, content in contents.items():
        found += _pairs(
            file, content, categories, names, photos, dropped, split_of(file.stem) if len(files) > 1 else ""
        )
    if source.is_dir():
        photos.drop_unused(dropped, "COCO")
    unique = unique_names(pair.name for pair in found)
    pairs = tuple(Pair(name, pair.photo, pair.labels, pair.split) for name, pair in zip(unique, found, strict=True))
    notes = options.unknown(set(categories.values()))
    if panoptic and options.rest:
        notes += ("--rest says nothing of panoptic PNGs, which give every pixel a segment, or void.",)
    return Plan("COCO", names.class_list(), pairs, dropped, notes)


def _base(file: Path) -> Path:
    """Where photos are looked for: beside the file, or beside the folder ``annotations`` that it lies in."""
    return file.parent.parent if file.parent.name.lower() in ("annotations", "annotation") else file.parent


def _is_panoptic(content: Mapping[str, Any]) -> bool:
    return any("segments_info" in one for one in content["annotations"][:1])


def _parts(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All that has a category: annotations, or the segments of panoptic ones."""
    return [part for one in content["annotations"] for part in one.get("segments_info", [one])]


def _category(part: Mapping[str, Any]) -> object:
    return part.get("category_id")


def _pairs(
    file: Path,
    content: Mapping[str, Any],
    categories: Mapping[object, str],
    names: Names,
    photos: Photos,
    dropped: Dropped,
    split: str,
) -> list[Pair]:
    shapes: dict[object, list[dict[str, Any]]] = {}
    for one in content["annotations"]:
        shapes.setdefault(one.get("image_id"), []).append(one)
    pairs = []
    for image in content["images"]:
        name = str(image.get("file_name"))
        photo = photos.find(name, file.parent)
        own = shapes.get(image.get("id"), [])
        if photo is None:
            dropped.add("photos that are not there", name)
            continue
        if not own:
            dropped.add("photos without a shape", name)
            continue
        size = canvas_size(image.get("width"), image.get("height"))
        values = {number: names.value(text) for number, text in categories.items() if _has(names, text)}
        if "segments_info" in own[0]:
            make = partial(_panoptic, file, photos.root, own[0], size, values)
        else:
            make = partial(_drawn, photo, own, size, values, names.rest, dropped)
        pairs.append(Pair(photo.stem, photo, make, split))
    return pairs


def _has(names: Names, text: str) -> bool:
    meant = names.options.meaning(text)
    return meant is None or meant in names.classes


def _drawn(
    photo: Path,
    shapes: Sequence[Mapping[str, Any]],
    size: Size,
    values: Mapping[object, int],
    rest: int,
    dropped: Dropped,
) -> Labels:
    """The shapes of one photo, larger ones first, so that what lies on something is not covered by it."""
    if size not in photo_sizes(photo):
        raise ValueError(f"{photo.name} has another size than the JSON says, {size[0]} x {size[1]}")
    masks = []
    for shape in shapes:
        try:
            masks.append((values.get(_category(shape), VOID), mask_of(shape.get("segmentation"), size)))
        except (ValueError, TypeError, KeyError) as error:
            dropped.add(f"shapes that cannot be drawn: {error}", photo.name)
    labels = np.full(size[::-1], rest, dtype=np.uint8)
    for value, mask in sorted(masks, key=lambda item: -int(item[1].sum())):
        labels[mask] = value
    return labels


def mask_of(segmentation: object, size: Size) -> Mask:
    """Return the pixels of a segmentation: a list of polygons, or a run-length code.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(segmentation, dict):
        return coco_rle(segmentation["counts"], size)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("there is a box and no outline")
    covered = np.zeros(size[::-1], dtype=bool)
    for numbers in segmentation:
        if len(numbers) < 6 or len(numbers) % 2:
            raise ValueError("an outline has fewer than three points")
        covered |= coco_polygon(np.asarray(numbers, dtype=np.float64).reshape(-1, 2).tolist(), size)
    return covered


def _panoptic(
    file: Path, root: Path, annotation: Mapping[str, Any], size: Size, values: Mapping[object, int]
) -> Labels:
    """A panoptic PNG: a segment's number is R + 256 G + 65536 B, and 0 is void."""
    name = str(annotation.get("file_name"))
    places = [folder / name for folder in (file.with_suffix(""), file.parent, root / file.stem, root)]
    png = next((place for place in places if place.is_file()), None)
    if png is None:
        raise ValueError(f"{name} is missing: panoptic PNGs lie in a folder called {file.stem}")
    colours = open_label_map(png).colours().astype(np.int64)
    if colours.shape[1::-1] != size:
        raise ValueError(f"{png.name} has another size than its photo")
    numbers = colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2]
    meant = {one.get("id"): values.get(_category(one), VOID) for one in annotation["segments_info"]}
    used, places_ = np.unique(numbers, return_inverse=True)
    return np.array([meant.get(number, VOID) for number in used.tolist()], dtype=np.uint8)[places_].reshape(
        numbers.shape
    )
