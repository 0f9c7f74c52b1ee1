"""Cityscapes' polygons: ``gtFine/*/*_gtFine_polygons.json`` beside ``leftImg8bit``."""

from functools import partial
from pathlib import Path

import numpy as np

from ..inference.run_length import Size
from .plan import Dropped, Labels, Names, Options, Pair, Photos, Plan, split_of, unique_names
from .presets import PRESETS
from .reading import read_json
from .shapes import canvas_size, pillow_polygon

ENDING = "_polygons.json"


def is_polygons(content: object) -> bool:
    """Return whether a JSON file holds Cityscapes' polygons."""
    return isinstance(content, dict) and isinstance(content.get("objects"), list) and "imgHeight" in content


def plan(source: Path, files: list[Path], options: Options) -> Plan:
    """Find the photos of Cityscapes' polygons; classes are the nineteen that are scored, in their order, or all others' names.

    Raises:
        ValueError: if a file is damaged.
    """
    dropped = Dropped()
    shapes: dict[Path, tuple[Size, list[tuple[str, list[list[float]]]]]] = {}
    for file in files:
        content = read_json(file)
        size = canvas_size(content.get("imgWidth"), content.get("imgHeight"))
        kept = [one for one in content["objects"] if not one.get("deleted") and len(one.get("polygon", [])) > 2]
        shapes[file] = size, [(str(one.get("label")), one["polygon"]) for one in kept]
    known = PRESETS["cityscapes"].names
    used = {label for _, objects in shapes.values() for label, _ in objects}
    official = bool(used & set(known))
    names = Names([name for name in known if name in used] if official else sorted(used), options, False)
    photos = Photos(source)
    pairs = []
    for file, (size, objects) in shapes.items():
        stem = file.name.removesuffix(ENDING)
        base = stem.removesuffix("_gtFine").removesuffix("_gtCoarse")
        photo = photos.find(f"{base}_leftImg8bit.png") or photos.find(f"{base}.png")
        if photo is None:
            dropped.add("polygons without a photo of their name", file.name)
            continue
        split = next((said for part in file.relative_to(source).parts[:-1] if (said := split_of(part))), "")
        pairs.append(Pair(base, photo, partial(_drawn, size, objects, names, dropped, file.name), split))
    unique = unique_names(pair.name for pair in pairs)
    pairs = [Pair(name, pair.photo, pair.labels, pair.split) for name, pair in zip(unique, pairs, strict=True)]
    return Plan("Cityscapes", names.class_list(known), tuple(pairs), dropped, options.unknown(used))


def _drawn(
    size: Size, objects: list[tuple[str, list[list[float]]]], names: Names, dropped: Dropped, where: str
) -> Labels:
    """The polygons in their order, later ones on top, as the data set's own scripts draw them; the rest is void."""
    labels = np.full(size[::-1], 255, dtype=np.uint8)
    for label, polygon in objects:
        single = label if names.options.meaning(label) in names.classes else label.removesuffix("group")
        meant = names.options.meaning(single)
        if label == "license plate":  # its number is negative, and the scripts leave it out
            continue
        mask = pillow_polygon(polygon, size, border=False)
        if meant is not None and meant not in names.classes:
            dropped.add("polygons of classes that are not scored: they are void", f"{where} ({label})")
            labels[mask] = 255
        else:
            labels[mask] = names.value(single)
    return labels
