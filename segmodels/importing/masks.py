"""Label maps in any spelling: black and white, grey, palette or colours, in any folders, with any endings."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import is_hidden
from ..label_files import LabelFile, class_lines, open_label_map
from ..labels import VOID, Colour
from ..training.check import VOID_COLOUR, used_colours
from ..training.convert import colour_number
from ..training.pairs import PHOTO_SUFFIXES, read_stems
from .plan import (
    BACKGROUND,
    VOID_NAMES,
    Dropped,
    Labels,
    Options,
    Pair,
    Plan,
    class_list,
    plain_name,
    split_of,
    unique_names,
)
from .presets import PRESETS, Preset

LABEL_FOLDERS = frozenset(
    [
        "labels",
        "label",
        "masks",
        "mask",
        "annotations",
        "annotation",
        "segmentationclass",
        "segmentationclassaug",
        "gt",
        "gtfine",
        "ann_dir",
        "ann_dirs",
        "trimaps",
        "groundtruth",
        "ground_truth",
        "annotations_png",
        "labels_png",
        "masks_png",
        "seg",
        "segmentation",
        "segmentations",
        "masks_machine",
        "trainannot",
        "valannot",
        "testannot",
        "annots",
    ]
)
"""What folders of label maps are called, in lower case."""

PHOTO_FOLDERS = frozenset(
    [
        "images",
        "image",
        "jpegimages",
        "img",
        "imgs",
        "img_dir",
        "leftimg8bit",
        "photos",
        "photo",
        "pictures",
        "images_png",
        "images_jpg",
    ]
)

TAILS = (
    *("_gtFine_labelTrainIds", "_gtFine_labelIds", "_labelTrainIds", "_labelIds", "_leftImg8bit", "_gtFine_color"),
    *(
        "_mask",
        "_masks",
        "_label",
        "_labels",
        "_seg",
        "_gt",
        "_segmentation",
        "_image",
        "_sat",
        "_RGB",
        "_rgb",
        "_L",
        "_P",
        "_m",
    ),
)
"""What the names of photos and label maps that belong together differ in."""

PHOTO_TAILS = ("_leftImg8bit", "_image", "_sat", "_RGB", "_rgb")

OTHER_LABELS = ("_instanceIds", "_gtFine_instanceIds", "_gtFine_color", "_labelme", "_polygons", "_viz", "_color")
"""Pictures beside label maps that are none."""

OTHER_FOLDERS = frozenset(("segmentationobject", "instances", "depth"))
"""Folders of pictures that are neither photos nor label maps of classes."""

LISTS = ("classes.txt", "labels.txt", "labelmap.txt", "label_colors.txt", "class_dict.csv", "_classes.csv", "codes.txt")
"""Files in which tools list classes."""

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""What the names of label maps end in: no file that blurs."""

FRINGE = 0.005
"""The share of all pixels up to which colours that stand for nothing are void: the blurred borders of shapes."""

Key = int | Colour


@dataclass(frozen=True)
class Meaning:
    """What the values or colours of label maps are: classes by their names, None for void."""

    names: Mapping[Key, str | None]
    by_colour: bool
    shown: Mapping[str, Colour]
    """Colours of the classes, where the source has some."""


def plan(source: Path, options: Options, preset: str | None = None) -> Plan:
    """Find pairs of photos and label maps below ``source`` and what their values mean.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: with a question, if it cannot be told what a value means.
    """
    known = PRESETS.get(preset or "", Preset())
    dropped = Dropped()
    matched = list(_matched(source, known.tails, dropped))
    if not matched:
        raise FileNotFoundError(
            f"{source} holds no pairs of a photo and a label map: they have the same name, in folders such as images and masks, or "
            "the label map has an ending such as _mask. Where a tool exported label maps alone, put the photos into a folder images"
        )
    counts, indexed = _count(matched, dropped)
    lists = (path for name in LISTS for path in (source / name, *sorted(source.glob(f"*/{name}"))) if path.is_file())
    listed = options.colours or next(lists, None)
    meaning, notes = _meaning(counts, indexed, known, listed, options, dropped)
    order = list(dict.fromkeys(plain_name(name) for name in meaning.names.values() if name is not None))
    classes = class_list(order, {plain_name(name): colour for name, colour in meaning.shown.items()})
    table = {key: VOID if name is None else order.index(plain_name(name)) for key, name in meaning.names.items()}
    named = unique_names(pair.stem for pair in matched)
    pairs = [
        Pair(name, pair.photo, partial(_labels, pair.label, table, meaning.by_colour), pair.split)
        for name, pair in zip(named, matched, strict=True)
    ]
    return Plan(preset or "masks", classes, tuple(_listed(source, pairs, matched)), dropped, tuple(notes))


@dataclass(frozen=True)
class _Match:
    photo: Path
    label: Path
    stem: str
    split: str


def _matched(source: Path, tails: tuple[str, ...], dropped: Dropped) -> Iterator[_Match]:
    """The photos and label maps that belong together."""
    photos: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    candidates = [
        path
        for path in sorted(source.rglob("*"))
        if path.suffix.lower() in PHOTO_SUFFIXES and not is_hidden(path.relative_to(source)) and path.is_file()
        if not OTHER_FOLDERS & {part.lower() for part in path.relative_to(source).parts}
    ]
    for path in candidates:
        if path.stem.endswith(OTHER_LABELS) and not path.stem.endswith(tails or ("\0",)):
            continue
        key, is_label = _key(path.relative_to(source), tails)
        if is_label and path.suffix.lower() not in SUFFIXES:
            dropped.add("label maps of a format that blurs the borders of classes, such as JPEG", path.name)
        elif is_label or (key in photos and path.suffix.lower() in SUFFIXES and path.parent == photos[key].parent):
            labels.setdefault(key, path)
        else:
            photos.setdefault(key, path)
    by_stem: dict[str, list[str]] = {}
    for key in photos:
        by_stem.setdefault(key.rpartition("/")[2], []).append(key)
    used = set()
    for key, label in labels.items():
        near = [key] if key in photos else by_stem.get(key.rpartition("/")[2], [])
        if len(near) != 1:
            dropped.add("label maps without a photo of their name", label.name)
            continue
        used.add(near[0])
        photo = photos[near[0]]
        stem = _without_tail(photo.stem, PHOTO_TAILS)
        split = next((said for part in photo.relative_to(source).parts[:-1] if (said := split_of(part))), "")
        yield _Match(photo, label, stem, split)
    for key, photo in photos.items():
        if key not in used:
            dropped.add("photos without a label map", photo.name)


def _key(path: Path, tails: tuple[str, ...]) -> tuple[str, bool]:
    """What a photo and its label map have in common, and whether a file is a label map."""
    folders = [part for part in path.parts[:-1] if part.lower() not in LABEL_FOLDERS | PHOTO_FOLDERS]
    folders = [split_of(part) or part for part in folders]
    stem = _without_tail(path.stem, tails or TAILS)
    stem = _without_tail(stem, PHOTO_TAILS)
    in_folder = any(part.lower() in LABEL_FOLDERS for part in path.parts[:-1])
    tailed = stem != path.stem and not path.stem.endswith(PHOTO_TAILS)
    is_label = path.stem.endswith(tails) if tails else (in_folder or tailed)
    parts = [split_of(part) for part in path.parts[:-1]]
    if in_folder and not tails:
        folders = [
            *folders,
            *(
                said
                for part, said in zip(path.parts[:-1], parts, strict=True)
                if said and part.lower() in LABEL_FOLDERS
            ),
        ]
    return "/".join([*folders, stem]), is_label


def _without_tail(stem: str, tails: Iterable[str]) -> str:
    return next((stem.removesuffix(tail) for tail in tails if stem.endswith(tail) and stem != tail), stem)


def _listed(source: Path, pairs: list[Pair], matched: list[_Match]) -> Iterator[Pair]:
    """The pairs with the splits that lists of the source name, where there are such lists."""
    lists = [
        path
        for path in (*source.glob("*.txt"), *source.glob("ImageSets/Segmentation/*.txt"))
        if path.stem in ("train", "val", "test")
    ]
    named = {Path(stem).name: path.stem for path in lists for stem in read_stems(path)}
    for pair, match in zip(pairs, matched, strict=True):
        split = named.get(match.photo.stem, named.get(match.stem, "" if named else pair.split))
        if split or not named:
            yield Pair(pair.name, pair.photo, pair.labels, split)


@dataclass
class _Counts:
    """Pixels of each value and of each colour, over all label maps."""

    values: dict[int, int]
    colours: dict[Colour, int]
    shown: dict[int, set[Colour]]
    """The colours that palettes give to each value."""


def _count(matched: list[_Match], dropped: Dropped) -> tuple[_Counts, bool]:
    """What the label maps hold; and whether all have values, of a palette or grey."""
    counts = _Counts({}, {}, {})
    indexed = True
    for match in list(matched):
        try:
            found = open_label_map(match.label, None)
        except ValueError as error:
            dropped.add(f"label maps that cannot be used: one {str(error).rstrip('.')}", match.label.name)
            matched.remove(match)
            continue
        if found.is_coloured:
            indexed = False
            numbers, sizes = np.unique(colour_number(found.values), return_counts=True)
            for number, size in zip(numbers.tolist(), sizes.tolist(), strict=True):
                colour = (number >> 16, number >> 8 & 255, number & 255)
                counts.colours[colour] = counts.colours.get(colour, 0) + size
            continue
        values, sizes = np.unique(found.values, return_counts=True)
        own = used_colours(found)
        for value, size in zip(values.tolist(), sizes.tolist(), strict=True):
            counts.values[value] = counts.values.get(value, 0) + size
            if value in own:
                counts.shown.setdefault(value, set()).add(own[value])
    if not counts.values and not counts.colours:
        raise FileNotFoundError("none of the label maps can be read")
    return counts, indexed


def _meaning(
    counts: _Counts, indexed: bool, known: Preset, listed: Path | None, options: Options, dropped: Dropped
) -> tuple[Meaning, list[str]]:
    """What the values or colours mean, and sentences about what was taken for granted."""
    lines = class_lines(listed) if listed else []
    given = {line.colour: line.name for line in lines if line.colour is not None} or dict(known.colours)
    shown = dict(known.names) | {line.name: line.colour for line in lines if line.colour is not None}
    asked = {_parsed(text) for text in (*options.mapping, *options.void)}
    contradictory = any(len(colours) > 1 for colours in counts.shown.values())
    by_palette = bool(counts.shown) and not counts.colours and bool(given) and _fits(counts, given)
    by_colour = not indexed or by_palette or contradictory or any(isinstance(key, tuple) for key in asked)
    if by_colour and counts.values and not counts.shown:
        if counts.colours:
            raise ValueError(
                "some label maps hold colours and some grey values: import them one by one, from two folders"
            )
        by_colour = False
    if by_colour:
        for value, colours in counts.shown.items():
            for colour in colours:
                counts.colours[colour] = counts.colours.get(colour, 0) + counts.values[value] // len(colours)
        names, notes = _of_colours(counts.colours, given, options, dropped)
    else:
        names, notes = _of_values(counts.values, [line.name for line in lines], known, options)
    names = {key: None if name is None or name.lower() in VOID_NAMES else name for key, name in names.items()}
    return Meaning(_in_order(names, [*(line.name for line in lines), *known.values.values()]), by_colour, shown), notes


def _fits(counts: _Counts, given: Mapping[Colour, str]) -> bool:
    """Whether the colours of the palettes are those that a list gives: then they say more than the values."""
    colours = set().union(*counts.shown.values())
    return len(colours & {*given, VOID_COLOUR}) == len(colours)


def _in_order(names: Mapping[Key, str | None], order: list[str]) -> dict[Key, str | None]:
    """Values in the order of the list of their names, where there is one."""
    places = {name: place for place, name in reversed(list(enumerate(order)))}
    return dict(sorted(names.items(), key=lambda item: places.get(item[1] or "", len(places))))


def _parsed(text: str) -> Key | str:
    """A value, a colour as ``#ff0000`` or ``255 0 0``, or a name."""
    text = text.strip()
    words = text.replace(",", " ").split()
    if len(words) == 3 and all(word.isdecimal() for word in words):
        return int(words[0]), int(words[1]), int(words[2])
    if text.startswith("#") and len(text) == 7:
        red, green, blue = bytes.fromhex(text[1:])
        return red, green, blue
    return int(text) if text.lstrip("-").isdecimal() else text


def _of_values(
    counts: Mapping[int, int], listed: list[str], known: Preset, options: Options
) -> tuple[dict[Key, str | None], list[str]]:
    said: dict[Key | str, str | None] = {_parsed(text): name for text, name in options.mapping.items()}
    said |= {_parsed(text): None for text in options.void}
    names: dict[Key, str | None] = {}
    notes: list[str] = []
    values = sorted(counts)
    if known.values:
        base: dict[int, str] = dict(known.values)
    else:
        shifted = 0 in said and said[0] is None and len(listed) in values and len(listed) > 0
        base = {value + shifted: name for value, name in enumerate(listed)}
    unnamed = []
    for value in values:
        if value in said:
            names[value] = said[value]
        elif value in base:
            names[value] = options.meaning(base[value])
        elif known.values or (value == VOID and (len(values) > 2 or base or said)):
            names[value] = None
        else:
            unnamed.append(value)
    if unnamed == [0] and any(isinstance(key, int) for key in said) and BACKGROUND not in names.values():
        names[0] = BACKGROUND
        notes.append("0 was not named and is taken for background; --map 0=NAME or --void 0 says otherwise.")
    elif unnamed:
        raise ValueError(_question(unnamed, counts))
    if VOID in names and names[VOID] is None and VOID not in said:
        notes.append(f"{VOID} is taken for void; --map {VOID}=NAME says otherwise.")
    unseen = [str(key) for key in said if isinstance(key, int) and key not in counts]
    if unseen:
        notes.append(f"No label map has the value {', '.join(unseen)}.")
    return {value: names[value] for value in values}, notes


def _question(unnamed: list[int], counts: Mapping[int, int]) -> str:
    total = sum(counts.values())
    if len(unnamed) > 40:
        return (
            f"the label maps have {len(unnamed)} values without a name, up to {unnamed[-1]}: these may be numbers of single objects, "
            "or blurred borders; name those that are classes with --map VALUE=NAME and the others with --void"
        )
    shares = ", ".join(f"{value} ({counts[value] / total:.1%})" for value in unnamed[:10])
    example = ",".join(f"{value}=NAME" for value in unnamed[:3])
    return (
        f"what do the values {shares}{' and more' if len(unnamed) > 10 else ''} of the label maps mean? Say it with --map {example} "
        "and --void VALUE, or give a list of the classes with --colours FILE"
    )


def _of_colours(
    counts: Mapping[Colour, int], given: Mapping[Colour, str], options: Options, dropped: Dropped
) -> tuple[dict[Key, str | None], list[str]]:
    said: dict[Key | str, str | None] = {_parsed(text): name for text, name in options.mapping.items()}
    said |= {_parsed(text): None for text in options.void}
    names: dict[Key, str | None] = {}
    unnamed: dict[Colour, int] = {}
    for colour, pixels in sorted(counts.items(), key=lambda item: -item[1]):
        if colour in said:
            names[colour] = said[colour]
        elif colour in given:
            names[colour] = options.meaning(given[colour])
        elif colour == VOID_COLOUR:
            names[colour] = None
        else:
            unnamed[colour] = pixels
    total = sum(counts.values())
    if unnamed and (sum(unnamed.values()) > FRINGE * total or not names):
        shown = ", ".join(f"{colour} ({pixels / total:.1%})" for colour, pixels in list(unnamed.items())[:8])
        first = "#{:02x}{:02x}{:02x}".format(*next(iter(unnamed)))
        raise ValueError(
            f"what do the colours {shown}{' and more' if len(unnamed) > 8 else ''} of the label maps mean? Say it with --map "
            f"'{first}=NAME' and --void '{first}', or give a list of names and colours with --colours FILE"
        )
    if unnamed:
        dropped.add(
            "pixels of colours that stand for nothing, such as blurred borders: they are void",
            "the label maps",
            sum(unnamed.values()),
        )
        names |= dict.fromkeys(unnamed)
    ranks = {key: rank for rank, key in enumerate(dict.fromkeys([*said, *given]))}
    return dict(sorted(names.items(), key=lambda item: ranks.get(item[0], len(ranks)))), []


def _labels(path: Path, table: Mapping[Key, int], by_colour: bool) -> Labels:
    """The label map of classes that a file becomes.

    Raises:
        ValueError: if it has a value that no other had.
    """
    found: LabelFile = open_label_map(path, None)
    numbers: NDArray[np.integer]
    if by_colour:
        numbers = colour_number(found.colours())
        keys = {(red << 16) | (green << 8) | blue: value for (red, green, blue), value in _colours(table)}
    else:
        numbers = found.values
        keys = {key: value for key, value in table.items() if isinstance(key, int)}
    used, places = np.unique(numbers, return_inverse=True)
    return np.array([keys.get(number, VOID) for number in used.tolist()], dtype=np.uint8)[places].reshape(numbers.shape)


def _colours(table: Mapping[Key, int]) -> Iterator[tuple[Colour, int]]:
    for key, value in table.items():
        if isinstance(key, tuple):
            yield key, value
