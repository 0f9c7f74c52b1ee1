"""Files of classes and of label maps, as people and their tools write them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .labels import MAX_PIXELS, VOC_CLASSES, VOID, ClassList, Colour

IGNORED = "__ignore__"
"""labelme's name, in the first line of its list, for what is neither trained on nor scored: no class, the value -1."""

BACKGROUNDS = ("background", "_background_")
"""What the class that is nothing in particular is called, the second by labelme."""

_COLOUR = r"(?P<red>\d+)[\s,;]+(?P<green>\d+)[\s,;]+(?P<blue>\d+)"
_AT_END = rf"(?:[\s,;]+(?:{_COLOUR}|\#(?P<hex>[0-9a-fA-F]{{6}})))?[\s,;]*"
_NAME = r"(?P<name>[^\d\s,;](?:.*?[^\s,;])?)"
_STYLES = {
    "CVAT": re.compile(r"(?P<name>[^:]+):(?:(?P<red>\d+),\s*(?P<green>\d+),\s*(?P<blue>\d+))?:[^:]*:[^:]*"),
    "colour, name": re.compile(rf"{_COLOUR}[\s,;]+{_NAME}"),
    "number, name": re.compile(rf"(?P<index>\d+)(?:\s*[:,;]\s*|\s+){_NAME}{_AT_END}"),
    "number, colour, name": re.compile(rf"(?P<index>\d+)(?:\s*[:,;]\s*|\s+){_COLOUR}[\s,;]+{_NAME}"),
    "name": re.compile(rf"(?P<name>\S(?:.*?[^\s,;])??){_AT_END}"),
}
"""How a line may be written. All lines of a file are written alike; the first style that fits all of them is taken."""

_HEADERS = {"name", "class", "label", "r", "g", "b", "red", "green", "blue", "id", "index", "pixel value", "color"}
"""The words of the first line of a table, such as Roboflow's ``Pixel Value, Class``."""


@dataclass(frozen=True)
class ClassLine:
    """A line of a list of classes."""

    number: int
    """Its number in the file, from 1."""
    name: str
    colour: Colour | None
    """None where the line gives none."""


def read_class_list(path: Path) -> ClassList:
    """Return the classes in a text file, one a line; a class's value in label maps is its place, from 0.

    A line is ``name``, ``name R G B``, ``name, R, G, B``, ``name #rrggbb``, ``R G B name`` or any of them with the value
    before it; or it is a line of CVAT's ``labelmap.txt``. Lines that begin with ``#`` and the head of a table are no classes,
    nor is labelme's ``__ignore__`` in the first line.

    Raises:
        ValueError: with a sentence that names the line, if the file is no such list.
    """
    lines = class_lines(path)
    names = tuple(line.name for line in lines)
    background = next((index for index, name in enumerate(names) if name in BACKGROUNDS), None)
    try:
        defaults = ClassList(names, background=background)
        colours = (line.colour or colour for line, colour in zip(lines, defaults.colours, strict=True))
        return ClassList(names, tuple(colours), background)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def given_colours(path: Path) -> dict[Colour, int]:
    """Return the class of each colour that a list of classes gives itself; empty if there is no such file.

    Raises:
        ValueError: if two classes have one colour, or the file is no list of classes.
    """
    given: dict[Colour, int] = {}
    lines = class_lines(path) if path.is_file() else []
    for index, line in enumerate(lines):
        if line.colour in given:
            first = lines[given[line.colour]].name
            raise ValueError(
                f"{path}, line {line.number}: {first} and {line.name} have one colour, so it cannot be told which is meant"
            )
        if line.colour is not None:
            given[line.colour] = index
    return given


def class_lines(path: Path) -> list[ClassLine]:
    """Return the lines of a list of classes that name one.

    Raises:
        ValueError: with a sentence that names the line, if a line cannot be understood.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text file in UTF-8") from None
    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    numbered = [(number, line) for number, line in numbered if not re.match(r"#(?![0-9a-fA-F]{6}\b)", line)]
    if numbered and _is_header(numbered[0][1]):
        del numbered[0]
    if numbered and re.split(r"[\s,;:]", numbered[0][1])[0] == IGNORED:
        del numbered[0]
    bare = _bare([line for _, line in numbered])
    numbered = [(number, line) for (number, _), line in zip(numbered, bare, strict=True)]
    style = next(
        style for style, pattern in _STYLES.items() if style == "name" or all(pattern.fullmatch(s) for _, s in numbered)
    )
    lines, values = [], []
    for number, text in numbered:
        match = _STYLES[style].fullmatch(text)
        if match is None:
            raise ValueError(f"{path}, line {number}: {text[:60]!r} cannot be understood; write `name` or `name R G B`")
        line = ClassLine(number, " ".join(match["name"].split()), _colour(match.groupdict()))
        _check_name(path, line)
        values.append(match.groupdict().get("index"))
        lines.append(line)
    return _without_values(path, lines, values)


def _bare(lines: list[str]) -> list[str]:
    """The lines without a YAML list's dash and without quotation marks, where all have them."""
    for form in (r"-\s+(.+)", r"'([^']+)',?", r'"([^"]+)",?'):
        found = [re.fullmatch(form, line) for line in lines]
        lines = [match[1] for match in found if match] if all(found) else lines
    return lines


def _is_header(line: str) -> bool:
    words = [word.strip().lower() for word in re.split(r"[,;\t]", line)] if re.search(r"[,;\t]", line) else line.split()
    return len(words) > 1 and {word.lower() for word in words} <= _HEADERS


def _colour(groups: dict[str, str | None]) -> Colour | None:
    if groups.get("hex"):
        red, green, blue = bytes.fromhex(groups["hex"] or "")
        return red, green, blue
    if groups.get("red") is None:
        return None
    return int(groups["red"] or 0), int(groups["green"] or 0), int(groups["blue"] or 0)


def _check_name(path: Path, line: ClassLine) -> None:
    """Refuse what is no name but a notation that was not understood: it would become a class."""
    where = f"{path}, line {line.number}: {line.name[:60]!r}"
    if line.name == IGNORED:
        raise ValueError(f"{where} is no class, and has a meaning in the first line alone")
    if re.search(r"[:{}\[\]<>=,]|#[0-9a-fA-F]{3}|\d[\s,;]+\d+$|\d\.\d|^['\"]", line.name) or line.name.isdecimal():
        raise ValueError(f"{where} cannot be understood as the name of a class; write `name` or `name R G B`")
    if line.colour and max(line.colour) > 255:
        raise ValueError(f"{where} has the colour {line.colour}: red, green and blue go from 0 to 255")


def _without_values(path: Path, lines: list[ClassLine], values: Sequence[str | None]) -> list[ClassLine]:
    """The lines without the values that stand before or behind all names, which must be their places."""
    if lines and all(line.colour is None for line in lines) and not any(values):
        ends = [re.fullmatch(r"(\D*[^\d\s])\s+(\d+)", line.name) for line in lines]
        names = [match[1] for match in ends if match]
        numbers = [match[2] for match in ends if match]
        if len(set(names)) == len(lines) and {int(number) for number in numbers} == set(range(len(lines))):
            lines = [ClassLine(line.number, name, None) for line, name in zip(lines, names, strict=True)]
            values = numbers
    for index, (line, value) in enumerate(zip(lines, values, strict=True)):
        if value is not None and int(value) != index:
            raise ValueError(
                f"{path}, line {line.number}: {line.name} has the value {value} there and {index} by its place; "
                "the values go from 0 on, without a gap (255 is void and has no line)"
            )
    return lines


@dataclass(frozen=True)
class LabelFile:
    """What stands in the file of a label map."""

    values: NDArray[np.integer]
    """(H, W) indices of a palette image or levels of a grey one, at the file's own depth; (H, W, 3) uint8 colours."""
    palette: NDArray[np.uint8] | None = None
    """(n, 3) the colours of a palette image."""

    @property
    def is_coloured(self) -> bool:
        """Whether its pixels are colours."""
        return self.values.ndim == 3

    def colours(self) -> NDArray[np.uint8]:
        """Return the colours of its pixels, (H, W, 3); of a palette image, those that it shows.

        Raises:
            ValueError: if it is grey, or an index has no colour.
        """
        if self.is_coloured:
            return self.values.astype(np.uint8)
        if self.palette is None:
            raise ValueError("it is grey, and holds no colours")
        if len(self.palette) <= int(self.values.max()):
            raise ValueError(f"its palette has no colour for {self.values.max()}")
        return self.palette[self.values]


FORMATS = ("PNG",)
"""Of the label maps in a data folder."""


def open_label_map(
    path: Path, formats: tuple[str, ...] | None = FORMATS, turn: Callable[[Image.Image], Image.Image] | None = None
) -> LabelFile:
    """Read the file of a label map, which may come from a stranger: its size is judged before a pixel is decoded.

    Args:
        path: the file.
        formats: Pillow's names of the formats that are tried.
        turn: what brings the picture upright, if it is to be turned.

    Raises:
        ValueError: with the end of a sentence that begins with the file's name, if it is no label map.
    """
    try:
        with Image.open(path, formats=formats) as image:
            raw = _raw_mode(image)
            if image.width * image.height > MAX_PIXELS:
                raise _Said(f"has {image.width:,} × {image.height:,} pixels, more than any photo here may have.")
            if image.format == "JPEG":
                raise _Said("is a JPEG, which blurs the borders of classes: save label maps as PNG.")
            if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I", "F") and not image.mode.startswith("I;16"):
                raise _Said(f"is no label map: its mode is {image.mode}.")
            if "16" in raw and not image.mode.startswith("I"):
                raise _Said("has colours of 16 bits a channel, which stand for no class.")
            image.load()
            return _content(turn(image) if turn else image, raw)
    except _Said:
        raise
    except Exception as error:  # what a broken file does to a decoder has many names
        raise _Said(f"is no {'picture' if formats is None else ' or '.join(formats)} that can be read.") from error


class _Said(ValueError):
    """The end of a sentence about a file."""


def _raw_mode(image: Image.Image) -> str:
    """How the pixels stand in the file, in Pillow's words: ``L;4`` is grey of four bits."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


LEVELS = {"L;2": 85, "L;4": 17, "L;2I": 85, "L;4I": 17}
"""What Pillow multiplies the levels of shallow grey pictures by."""


def _content(image: Image.Image, raw: str) -> LabelFile:
    if image.mode in ("RGBA", "LA"):
        if image.getchannel("A").getextrema() != (255, 255):
            raise _Said("is transparent in places: save it without an alpha channel.")
        image = image.convert(image.mode[:-1])
    if image.mode == "P":
        colours = np.frombuffer(bytes(image.getpalette("RGB") or []), dtype=np.uint8)
        return LabelFile(np.array(image), colours.reshape(-1, 3))
    values = np.array(image)
    if image.mode == "F":
        if not (np.isfinite(values).all() and (values == np.rint(values)).all()):
            raise _Said("has values that are no whole numbers.")
        values = values.astype(np.int32)
    return LabelFile(values.astype(np.uint8) if image.mode == "1" else values // LEVELS.get(raw, 1))


def read_label_map(path: Path, num_classes: int = len(VOC_CLASSES), name: str = "The label map") -> NDArray[np.uint8]:
    """Read a label map: a PNG, palette or grey of any depth, whose values are classes or ``VOID``; (H, W).

    The file may come from a stranger. ``name`` is what sentences call it.

    Raises:
        ValueError: with a plain sentence, fit to be shown, if it is anything else.
    """
    try:
        found = open_label_map(path)
        labels = indices(found)
    except _Said as error:
        raise ValueError(f"{name} {error}") from None
    check_values(labels, num_classes, name)
    return labels


def indices(found: LabelFile) -> NDArray[np.uint8]:
    """Return the values of a label map as classes.

    Raises:
        ValueError: with the end of a sentence, if they are colours, or more than 8 bits can hold.
    """
    if found.is_coloured:
        raise _Said("is saved in colours: its values must be classes, palette or grey.")
    if found.values.min() < 0 or found.values.max() > VOID:
        value = found.values.max() if found.values.max() > VOID else found.values.min()
        raise _Said(f"has the value {value}: classes end at {VOID - 1}, so these may be numbers of single objects.")
    return found.values.astype(np.uint8)


def check_values(labels: NDArray[np.uint8], num_classes: int, name: str) -> None:
    """Raise ValueError with a sentence about ``name`` if a value of ``labels`` is neither a class nor ``VOID``."""
    used = np.bincount(labels.ravel(), minlength=VOID + 1).nonzero()[0].tolist()
    strange = [value for value in used if num_classes <= value < VOID]
    if strange:
        raise ValueError(
            f"{name} has the value {strange[0]}, but the {num_classes} classes go from 0 to {num_classes - 1}, and {VOID} is void."
        )
