"""Label maps in any spelling: black and white, grey, palette or colours, in any folders, with any endings."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import display_path
from ..label_files import LabelFile, open_label_map
from ..labels import VOID, Colour
from ..training.convert import colour_number
from ..training.pairs import PHOTO_SUFFIXES
from .mask_pairs import LABEL_FOLDERS, LABELS_ALONE, PHOTO_FOLDERS, PHOTOS_ALONE, matched_pairs, with_listed_splits
from .mask_values import Key, count_values, find_meaning
from .plan import (
    Dropped,
    Labels,
    Options,
    Pair,
    Plan,
    class_list,
    plain_name,
    unique_names,
)
from .presets import PRESETS, Preset

LISTS = ("classes.txt", "labels.txt", "labelmap.txt", "label_colors.txt", "class_dict.csv", "_classes.csv", "codes.txt")
"""Files in which tools list classes."""


def plan(source: Path, options: Options, preset: str | None = None) -> Plan:
    """Find pairs of photos and label maps below ``source`` and what their values mean.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: with a question, if it cannot be told what a value means.
    """
    known = PRESETS.get(preset or "", Preset())
    dropped = Dropped()
    matched = list(matched_pairs(source, known.tails, dropped))
    if not matched:
        raise FileNotFoundError(f"{source} {_nothing(source, dropped)}")
    counts, indexed = count_values(matched, dropped)
    lists = [path for name in LISTS for path in (source / name, *sorted(source.glob(f"*/{name}"))) if path.is_file()]
    listed = options.colours or next(iter(lists), None)
    meaning, notes = find_meaning(counts, indexed, known, listed, options, dropped)
    order = list(dict.fromkeys(plain_name(name) for name in meaning.names.values() if name is not None))
    classes = class_list(order, {plain_name(name): colour for name, colour in meaning.shown.items()})
    table = {key: VOID if name is None else order.index(plain_name(name)) for key, name in meaning.names.items()}
    named = unique_names(pair.stem for pair in matched)
    pairs = [
        Pair(name, pair.photo, partial(_labels, pair.label, table, meaning.by_colour), pair.split)
        for name, pair in zip(named, matched, strict=True)
    ]
    pairs, said = with_listed_splits(source, pairs, matched, dropped)
    notes += [
        f"{path.relative_to(source)} was not read: the names are those of {listed}."
        for path in lists
        if listed and path.read_bytes() != listed.read_bytes()
    ]
    return Plan(_kind(preset, listed), classes, tuple(pairs), dropped, (*notes, *said))


def _nothing(source: Path, dropped: Dropped) -> str:
    """Why there is no pair in ``source``: the end of a sentence."""
    if source.is_file():
        return (
            "is a photo: name the folder" if source.suffix.lower() in PHOTO_SUFFIXES else "is no export that is known"
        )
    if not any(source.iterdir()):
        return "is empty"
    if source.name.lower() in LABEL_FOLDERS | PHOTO_FOLDERS:
        return f"is one part of an export, which seems to be the folder above, {display_path(source.resolve().parent)}"
    photos, labels = dropped.count(PHOTOS_ALONE), dropped.count(LABELS_ALONE)
    if labels and not photos:
        return f"holds label maps ({labels}) and no photo: in CVAT tick *Save images*, or put the photos into a folder images"
    if photos and not labels:
        return f"holds photos ({photos}) and no label map: these lie in a folder such as masks, or end in _mask"
    return (
        "holds no pairs of a photo and a label map: they have the same name, in folders such as images and masks, or the "
        f"label map has an ending such as _mask (photos: {photos}, label maps: {labels})"
    )


def _kind(preset: str | None, listed: Path | None) -> str:
    """What was found, as it is named to people: also the list that says what the values mean."""
    if preset or not listed:
        return preset or "masks"
    return f"{'CVAT masks' if listed.name == 'labelmap.txt' else 'masks'} ({listed.name})"


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
