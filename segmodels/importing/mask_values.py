"""What the values or colours of label maps stand for: counted in the maps, then named by lists, options or presets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..label_files import class_lines, open_label_map
from ..labels import VOID, Colour
from ..training.check import VOID_COLOUR, used_colours
from ..training.convert import colour_number
from .mask_pairs import Match
from .plan import BACKGROUND, VOID_NAMES, Dropped, Options
from .presets import Preset

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


@dataclass
class Counts:
    """Pixels of each value and of each colour, over all label maps."""

    values: dict[int, int]
    colours: dict[Colour, int]
    shown: dict[int, set[Colour]]
    """The colours that palettes give to each value."""


def count_values(matched: list[Match], dropped: Dropped) -> tuple[Counts, bool]:
    """What the label maps hold; and whether all have values, of a palette or grey."""
    counts = Counts({}, {}, {})
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


def find_meaning(
    counts: Counts, indexed: bool, known: Preset, listed: Path | None, options: Options, dropped: Dropped
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
    notes += _not_there(names, {*given.values(), *(line.name for line in lines), *known.values.values()}, options)
    return Meaning(_in_order(names, [*(line.name for line in lines), *known.values.values()]), by_colour, shown), notes


def _not_there(names: Mapping[Key, str | None], listed: set[str], options: Options) -> list[str]:
    """Sentences about values, colours and names that the user speaks of and no label map, or no list, has."""
    unseen = {text: key for text in options.asked if not isinstance(key := _parsed(text), str) and key not in names}
    if unseen and len({*names.values()} - {None}) < 2:
        there = ", ".join(map(str, sorted(names, key=str)))
        raise ValueError(f"no label map has the value {', '.join(unseen)}; they hold {there}")
    sentences = [f"No label map has the value {', '.join(unseen)}."] if unseen else []
    seen = [text for text in options.asked if not isinstance(_parsed(text), str)]
    return [*sentences, *options.unknown(listed, seen)]


def _fits(counts: Counts, given: Mapping[Colour, str]) -> bool:
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
        raise ValueError(_question(unnamed, counts, listed))
    if VOID in names and names[VOID] is None and VOID not in said:
        notes.append(f"{VOID} is taken for void; --map {VOID}=NAME says otherwise.")
    return {value: names[value] for value in values}, notes


def _question(unnamed: list[int], counts: Mapping[int, int], listed: list[str]) -> str:
    total = sum(counts.values())
    if len(unnamed) > 40:
        return (
            f"the label maps have {len(unnamed)} values without a name, up to {unnamed[-1]}: these may be numbers of single objects, "
            "or blurred borders; name those that are classes with --map VALUE=NAME and the others with --void"
        )
    shares = ", ".join(f"{value} ({counts[value] / total:.1%})" for value in unnamed[:10])
    example = ",".join(f"{value}=NAME" for value in unnamed[:10])
    if listed:
        given = ", ".join(f"{value} {name}" for value, name in enumerate(listed[:10]))
        return (
            f"the list of classes names {given}{', ...' * (len(listed) > 10)}, but the label maps also hold {shares}: name these "
            f"with --map {example}, or say --void VALUE"
        )
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
