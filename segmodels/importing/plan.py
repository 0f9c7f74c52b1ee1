"""What is to be imported: pairs of a photo and a label map that is made when it is asked for, and what was dropped."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..inference.photo import read_photo
from ..labels import VOID, ClassList, Colour
from ..training.data import stored_size
from ..training.pairs import PHOTO_SUFFIXES, files_in

Labels = NDArray[np.uint8]

VOID_NAMES = frozenset(
    ("void", "ignore", "ignored", "__ignore__", "ignore_label", "unlabeled", "unlabelled", "nodata", "no-data")
)
"""What tools call pixels that are neither trained on nor scored; compared in lower case."""

BACKGROUND = "background"

SHOWN = 20
"""Names of classes that a sentence gives; of more, it gives the number."""


class Dropped:
    """What was left out, counted by the reason."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, reason: str, where: str, count: int = 1) -> None:
        """Note ``count`` things that were dropped for ``reason``, the first of them ``where``."""
        self._counts[reason] += count
        self._first.setdefault(reason, where)

    def count(self, reason: str) -> int:
        """Return how many things were dropped for ``reason``."""
        return self._counts[reason]

    def sentences(self) -> list[str]:
        """Return a sentence for each reason."""
        return [
            f"dropped: {reason} ({count}, such as {self._first[reason]})." for reason, count in self._counts.items()
        ]


@dataclass(frozen=True)
class Pair:
    """A photo and its label map."""

    name: str
    """What both are called in the data folder, without the ending."""
    photo: Path | bytes
    """Its file, or the bytes of one that the source holds."""
    labels: Callable[[], Labels]
    """Makes the label map, (H, W) of classes and void.

    Raises ValueError with a sentence if it cannot be made."""
    split: str = ""
    """``train``, ``val`` or ``test``; empty where the source does not say."""


@dataclass(frozen=True)
class Plan:
    """What was found in a source."""

    kind: str
    """The format, as it is named to people."""
    classes: ClassList
    pairs: tuple[Pair, ...]
    dropped: Dropped = field(default_factory=Dropped)
    notes: tuple[str, ...] = ()
    """Sentences about what was decided."""
    upright: bool = False
    """Whether label maps lie on the photos as they are shown."""


@dataclass(frozen=True)
class Options:
    """What the user says of a source."""

    mapping: Mapping[str, str] = field(default_factory=dict)
    """The class of a value, colour or name: ``{"1": "cat", "#ff0000": "dog", "persons": "person"}``."""
    void: tuple[str, ...] = ()
    """Values, colours and names that are void."""
    colours: Path | None = None
    """A list of classes with their names and colours."""
    rest: str | None = None
    """What pixels are that no shape covers: ``background`` or ``void``."""
    width: int | None = None
    """Pixels: how wide lines and points are drawn."""
    annotator: str | None = None
    """Whose annotations are taken, where several people drew on one photo."""

    def meaning(self, name: str) -> str | None:
        """Return the class that something called ``name`` becomes; None for void."""
        mapped = self.mapping.get(name, name)
        gone = name in self.void or mapped in self.void or mapped.lower() in VOID_NAMES
        return None if gone else " ".join(mapped.split())

    @property
    def asked(self) -> list[str]:
        """The values, colours and names of the source that ``mapping`` and ``void`` speak of."""
        return [*self.mapping, *(text for text in self.void if text not in self.mapping.values())]

    def unknown(self, names: Collection[str], others: Collection[str] = ()) -> tuple[str, ...]:
        """Return a sentence if ``mapping`` or ``void`` has what is none of the source's ``names``, nor of ``others``."""
        missed = [repr(text) for text in self.asked if text not in names and text not in others]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        there = f"there are {', '.join(sorted(names)[:SHOWN])}{more}" if names else "there are no names"
        return (f"No label is called {' or '.join(missed)}; {there}.",) if missed else ()

    @property
    def rest_is_void(self) -> bool:
        """Whether pixels that no shape covers are void."""
        return self.rest == "void"


class Names:
    """Names of a source, the class of each, and the list of classes that they make."""

    def __init__(self, names: Iterable[str], options: Options, background: bool, first: bool = True) -> None:
        """Number the classes of ``names`` in their order.

        Args:
            names: as the source has them.
            options: which of them are others, or void.
            background: whether there is a class for what no shape covers.
            first: whether that is the first class, or the last.
        """
        self.options = options
        classes: list[str] = []
        for name in names:
            meant = options.meaning(name)
            if meant is not None and meant not in classes and meant != BACKGROUND:
                classes.append(meant)
        if background or any(options.meaning(name) == BACKGROUND for name in names):
            classes.insert(0 if first else len(classes), BACKGROUND)
        self.classes = tuple(classes)

    def value(self, name: str) -> int:
        """Return the class of a name of the source, or void."""
        meant = self.options.meaning(name)
        return VOID if meant is None else self.classes.index(meant)

    @property
    def rest(self) -> int:
        """The class of what no shape covers, or void."""
        return VOID if self.options.rest_is_void or BACKGROUND not in self.classes else self.classes.index(BACKGROUND)

    def class_list(self, colours: Mapping[str, Colour] | None = None) -> ClassList:
        """Return the classes, with the colours that the source has for them if it has one for each.

        Raises:
            ValueError: if there are too few or too many, or a name cannot be one.
        """
        return class_list(self.classes, colours)


def class_list(names: Iterable[str], colours: Mapping[str, Colour] | None = None) -> ClassList:
    """Return a list of classes whose names ``classes.txt`` can hold, with ``colours`` where all have one of their own.

    Raises:
        ValueError: if there are too few or too many.
    """
    names = tuple(names)
    given = tuple(colours[name] for name in names if name in colours) if colours else ()
    distinct = len(set(given)) == len(names)
    plain = tuple(plain_name(name) for name in names)
    return ClassList(plain, given if distinct else (), names.index(BACKGROUND) if BACKGROUND in names else None)


def plain_name(name: str) -> str:
    """Return a name without the characters that mean something else in a list of classes."""
    for mark in ",;:{}[]<>=\t":
        name = name.replace(mark, " ")
    name = " ".join(name.replace("#", "no ").split())[:60].strip() or "unnamed"
    return f"class {name}" if name[0].isdigit() else name


def ask_for_rest(options: Options, what: str) -> None:
    """Raise ValueError unless the user has said what pixels are that no shape covers."""
    if options.rest is None:
        raise ValueError(
            f"{what}: say what pixels are that no shape covers, --rest background (all else) or --rest void (not known)"
        )


class Photos:
    """The photos below a folder, found by their names."""

    def __init__(self, root: Path, without: Collection[str] = ()) -> None:
        """Look for photos below ``root``, but for folders whose names are in ``without``."""
        self.root = root
        self._by_name: dict[str, list[Path]] = {}
        for path in files_in(root, PHOTO_SUFFIXES).values():
            if path.parent.name not in without:
                self._by_name.setdefault(path.name.lower(), []).append(path)
        self._by_stem: dict[str, list[Path]] = {}
        self._unused: dict[Path, Path] = {}
        for paths in self._by_name.values():
            for path in paths:
                self._by_stem.setdefault(path.stem.lower(), []).append(path)
                self._unused[path.resolve()] = path

    def find(self, name: str, *near: Path) -> Path | None:
        """Return the photo of a name, which may have folders; first where it says, from ``near`` on, then anywhere."""
        found = self._find(name, *near)
        if found is not None:
            self._unused.pop(found.resolve(), None)
        return found

    def drop_unused(self, dropped: Dropped, tool: str) -> None:
        """Note the pictures that were not asked for, by the folder below ``root`` that they lie in."""
        for path in self._unused.values():
            folder = path.relative_to(self.root).parts[0]
            place = "" if folder == path.name else f" in {folder}/"
            dropped.add(f"pictures{place} that no JSON of {tool} names", path.name)

    def _find(self, name: str, *near: Path) -> Path | None:
        name = name.replace("\\", "/")
        for folder in (*near, self.root):
            if (folder / name).is_file() and (folder / name).resolve().is_relative_to(self.root.resolve()):
                return folder / name
        base = name.rpartition("/")[2].lower()
        there = self._by_name.get(base) or self._by_stem.get(base.rpartition(".")[0] or base, [])
        ends = [path for path in there if path.as_posix().lower().endswith(name.lower().lstrip("/"))]
        return (ends or there)[0] if len(ends or there) == 1 else None


def split_of(text: str) -> str:
    """Return the split that a file's or a folder's name tells; empty if none."""
    words = set(text.lower().replace("-", "_").replace(".", "_").split("_"))
    stripped = {word.rstrip("0123456789") for word in words} | {word.removesuffix("annot") for word in words}
    for split, said in (
        ("val", {"val", "valid", "validation"}),
        ("train", {"train", "training"}),
        ("test", {"test", "testing"}),
    ):
        if stripped & said:
            return split
    return ""


def photo_sizes(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the (width, height) of a photo as it stands in its file, and as it is shown.

    Raises:
        ValueError: if it cannot be read.
    """
    stored, turn = stored_size(path)
    return stored, stored if turn is None else read_photo(path).image.size


def unique_names(wanted: Iterable[str]) -> list[str]:
    """Return names of files for photos, each once: two folders may have photos of one name."""
    names: list[str] = []
    taken: set[str] = set()
    for name in wanted:
        plain = (
            "".join(letter if letter.isalnum() or letter in "._- " else "_" for letter in name).strip(". ") or "photo"
        )
        number, unique = 1, plain
        while unique.lower() in taken:
            number += 1
            unique = f"{plain}_{number}"
        taken.add(unique.lower())
        names.append(unique)
    return names
