"""YOLO's text files of polygons, and Ultralytics' data sets with label maps, as their YAML describes them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..files import is_hidden
from ..label_files import indices, open_label_map
from ..labels import VOID
from ..training.pairs import PHOTO_SUFFIXES
from .plan import Dropped, Labels, Names, Options, Pair, Plan, photo_sizes, unique_names
from .reading import read_yaml
from .shapes import coco_polygon


def plan(file: Path, options: Options) -> Plan:
    """Find the photos of a data set that a YAML ``file`` describes, and their polygons or label maps.

    With polygons, what none covers is the background, which Ultralytics makes the last class.

    Raises:
        ValueError: if it names no classes or no photos.
    """
    content = read_yaml(file)
    listed = content.get("names")
    if isinstance(listed, list):
        listed = dict(enumerate(listed))
    if not isinstance(listed, dict) or not listed:
        raise ValueError(f"{file} has no names of classes")
    called = {int(number): str(name) for number, name in listed.items()}
    masks = content.get("masks_dir") or ("masks" if (_root(file, content) / "masks").is_dir() else None)
    names = Names(
        [called[number] for number in sorted(called)], options, masks is None and not options.rest_is_void, first=False
    )
    dropped = Dropped()
    pairs = []
    for split in ("train", "val", "test"):
        for photo in _photos(file, content, split):
            label = _beside(photo, str(masks or "labels"), ".png" if masks else ".txt")
            if not label.is_file():
                dropped.add("photos without a label file", photo.name)
                continue
            values = {number: names.value(name) for number, name in called.items()}
            if masks:
                table = _mapping(content.get("label_mapping"), values)
                make = partial(_mapped, label, table)
            else:
                make = partial(_drawn, label, photo, values, names.rest, dropped)
            pairs.append(Pair(photo.stem, photo, make, split))
    if not pairs:
        raise FileNotFoundError(
            f"{file} describes no photos that are there with their labels; looked in {_root(file, content)}"
        )
    unique = unique_names(pair.name for pair in pairs)
    pairs = [Pair(name, pair.photo, pair.labels, pair.split) for name, pair in zip(unique, pairs, strict=True)]
    notes = options.unknown(set(called.values()))
    if masks and options.rest:
        notes += ("--rest says nothing of label maps, which give every pixel a value.",)
    return Plan("YOLO", names.class_list(), tuple(pairs), dropped, notes)


def _root(file: Path, content: Mapping[str, Any]) -> Path:
    """The data set's folder: what the file says, from where it lies, or where it lies."""
    said = Path(str(content.get("path") or "."))
    return next((root for root in (file.parent / said, said) if root.is_dir()), file.parent)


def _photos(file: Path, content: Mapping[str, Any], split: str) -> list[Path]:
    said = content.get(split)
    photos: list[Path] = []
    for one in said if isinstance(said, list) else [said] if said else []:
        place = next(
            (root / str(one) for root in (_root(file, content), file.parent) if (root / str(one)).exists()), None
        )
        if place is None:  # Roboflow writes ../train/images where it means train/images
            place = file.parent / str(one).removeprefix("../")
        if place.is_dir():
            found = (path for path in sorted(place.rglob("*")) if path.suffix.lower() in PHOTO_SUFFIXES)
            photos += [path for path in found if not is_hidden(path.relative_to(place))]
        elif place.is_file():
            lines = place.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            photos += [_root(file, content) / line.strip().removeprefix("./") for line in lines if line.strip()]
    return [photo for photo in photos if photo.is_file()]


def _beside(photo: Path, folder: str, suffix: str) -> Path:
    """Where the label of a photo lies: the last folder called ``images`` is called otherwise, as Ultralytics has it."""
    parts = list(photo.parts)
    places = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = folder
    return Path(*parts).with_suffix(suffix)


def _mapping(mapping: object, values: Mapping[int, int]) -> dict[int, int]:
    """The class of each value of a label map; all others are void. -1 is what 8 bits hold as 255."""
    if not isinstance(mapping, dict):
        return dict(values)
    table: dict[int, int] = {}
    for source, target in mapping.items():
        number = int(target) if isinstance(target, int) or str(target).strip().lstrip("-").isdecimal() else VOID
        table[int(source) % 256] = values.get(number, VOID)
    return {value: table.get(value, values.get(value, VOID)) for value in {*table, *values}}


def _mapped(file: Path, table: Mapping[int, int]) -> Labels:
    try:
        found = indices(open_label_map(file))
    except ValueError as error:
        raise ValueError(f"{file.name} {error}") from None
    lut = np.array([table.get(value, VOID) for value in range(256)], dtype=np.uint8)
    return lut[found]


def _drawn(file: Path, photo: Path, values: Mapping[int, int], rest: int, dropped: Dropped) -> Labels:
    """The polygons of one photo, larger ones first, as Ultralytics orders them; places are parts of the photo's size."""
    width, height = photo_sizes(photo)[1]
    masks = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        words = line.split()
        where = f"{file.name}, line {number}"
        if not words:
            continue
        if len(words) == 5:
            dropped.add("boxes, which are no outlines", where)
            continue
        try:
            points = np.array(words[1:], dtype=np.float64).reshape(-1, 2) * (width, height)
            value = values[int(words[0])]
            if len(points) < 3:
                raise ValueError
        except (ValueError, KeyError):
            dropped.add("lines that are no polygon of a class", where)
            continue
        masks.append((value, coco_polygon(points.tolist(), (width, height))))
    labels = np.full((height, width), rest, dtype=np.uint8)
    for value, mask in sorted(masks, key=lambda item: -int(item[1].sum())):
        labels[mask] = value
    return labels
