"""A data folder looked over before anyone waits for an epoch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..inference.photo import read_photo
from ..label_files import LabelFile, given_colours, indices, open_label_map
from ..labels import VOC, VOC_CLASSES, VOID, ClassList, Colour
from .data import folder_classes
from .frame import Edges, compare, said_frame
from .pairs import LABEL_SUFFIXES, PHOTO_SUFFIXES, TAILS, Files, files_in, label_of, missing, photo_of, read_stems

SHOWN = 5
"""Files that a sentence names; of more, it gives the number."""

SPLITS = ("train", "val", "test")
THIN = 0.001
"""The share of all pixels below which a class is said to be thin."""

VOID_COLOUR: Colour = (224, 224, 192)
"""Void's colour in Pascal VOC's label maps."""


@dataclass
class Findings:
    """What is wrong with a data folder, and what is in it."""

    classes: ClassList
    problems: list[str] = field(default_factory=list)
    """Sentences about what training or scoring would stumble over."""
    remarks: list[str] = field(default_factory=list)
    """Sentences about what is worth knowing."""
    photos: dict[str, int] = field(default_factory=dict)
    """How many each split lists."""
    pixels: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """(256,) how many pixels each value of the label maps has, by split."""
    coloured: list[Path] = field(default_factory=list)
    """Label maps that hold colours in place of classes."""
    palettes: "Palettes" = field(default_factory=lambda: Palettes())
    edges: Edges = field(default_factory=Edges)
    """How the label maps of turned photos lie, of those whose sizes cannot tell."""


class Palettes:
    """The colours that palette images give to the values they use: each value must have one in all files."""

    def __init__(self) -> None:
        self._seen: dict[int, dict[Colour, str]] = {}
        self._voids: dict[int, str] = {}

    def note(self, found: LabelFile, name: str, given: Mapping[Colour, int]) -> None:
        """Take in one label map, called ``name``."""
        if found.palette is None:
            return
        for value, colour in used_colours(found).items():
            self._seen.setdefault(value, {}).setdefault(colour, name)
            if colour == VOID_COLOUR and value != VOID and given.get(colour) != value:
                self._voids.setdefault(value, name)

    def are_of(self, palette: NDArray[np.uint8]) -> bool:
        """Return whether the values have the colours of ``palette`` (256, 3), or are shown as greys, which say nothing."""
        seen = [(value, colour) for value, colours in self._seen.items() for colour in colours]
        return all(len(set(colour)) == 1 or colour == _as_colour(palette[value]) for value, colour in seen)

    def problems(self) -> Iterator[str]:
        """What contradicts itself: programs that make files smaller reorder palettes, each file in its own way."""
        repair = (
            "read them from the files as they were before, or give the classes' colours in classes.txt and --convert"
        )
        for value, colours in self._seen.items():
            if len(colours) > 1:
                (one, first), (other, second) = list(colours.items())[:2]
                yield (
                    f"The palettes contradict each other: {value} is {one} in {first} and {other} in {second}, so it cannot be "
                    f"one class in both. A program that makes PNG files smaller may have put them into another order: {repair}."
                )
                return
        for value, name in self._voids.items():
            yield (
                f"The palette of {name} gives void's colour {VOID_COLOUR} to {value}, which is a class here; void is {VOID}. "
                f"A program that makes PNG files smaller may have put it into another order: {repair}."
            )
            return


def used_colours(found: LabelFile) -> dict[int, Colour]:
    """Return the colours of the values that occur in a palette image."""
    if found.palette is None:
        return {}
    used = np.bincount(found.values.ravel(), minlength=256).nonzero()[0].tolist()
    return {value: _as_colour(found.palette[value]) for value in used if value < len(found.palette)}


def _as_colour(values: NDArray[np.uint8]) -> Colour:
    red, green, blue = values.tolist()
    return red, green, blue


def check(root: Path, replaced: Path | None = None) -> Findings:
    """Look over all splits of the folder at ``root``.

    Args:
        root: the data folder.
        replaced: a folder with label maps that are looked at in place of those of the same name in ``labels/``.

    Raises:
        FileNotFoundError: if the folder, ``images/``, ``labels/`` or every list is missing.
        ValueError: if ``classes.txt`` is no list of classes.
    """
    for part in ("", "images", "labels"):
        if not (root / part).is_dir():
            raise FileNotFoundError(missing(root, part))
    findings = Findings(folder_classes(root))
    lists = {split: read_stems(root / f"{split}.txt") for split in SPLITS if (root / f"{split}.txt").is_file()}
    if not lists:
        raise FileNotFoundError(missing(root, "train.txt"))
    looked = _Look(root, replaced, findings)
    for split, stems in lists.items():
        looked.at_split(split, stems)
    if twins := looked.twins:
        findings.remarks.append(
            f"The same photo twice, byte for byte: {', '.join(twins[:SHOWN])}{', ...' * (len(twins) > SHOWN)}. A photo that is "
            "in train and in val makes scores too high."
        )
    findings.problems += findings.palettes.problems()
    if not (root / "classes.txt").is_file():
        said = "There is no classes.txt, so the values of the label maps are taken for Pascal VOC's"
        if findings.palettes.are_of(VOC.palette):
            findings.remarks.append(f"{said}.")
        else:
            findings.problems.append(
                f"{said}, whose colours are not those of their palettes. Write the names of your classes there."
            )
    check_lists(root, lists, looked.labels, findings)
    _check_names(findings)
    _check_shares(root, findings)
    _check_frame(root, findings)
    return findings


def colours_of(root: Path) -> dict[Colour, int]:
    """Return the colours that are given for the classes of a data folder: in classes.txt, or Pascal VOC's without it."""
    file = root / "classes.txt"
    if file.is_file():
        return given_colours(file)
    return {colour: index for index, colour in enumerate(VOC.colours)} | {VOID_COLOUR: VOID}


class _Look:
    """One look over a data folder."""

    def __init__(self, root: Path, replaced: Path | None, findings: Findings) -> None:
        self.root, self.findings = root, findings
        self.photos: Files = files_in(root / "images", PHOTO_SUFFIXES)
        self.labels: Files = files_in(root / "labels", LABEL_SUFFIXES)
        if replaced is not None:
            self.labels = {**self.labels, **files_in(replaced, LABEL_SUFFIXES)}
        self.given = colours_of(root)
        self.contents: dict[bytes, tuple[str, str]] = {}  # by the digest of a photo's file, the first one that has it
        self.twins: list[str] = []

    def at_split(self, split: str, stems: Sequence[str]) -> None:
        """Every pair of one split: there, readable, of one size, with known values."""
        findings = self.findings
        wrong: dict[str, list[str]] = {}
        counts = np.zeros(256, dtype=np.int64)
        for stem in stems:
            for what, said in self._faults(stem, counts):
                wrong.setdefault(what, []).append(said)
            self._note_twin(stem, split)
        for what, names in wrong.items():
            findings.problems.append(f"{split}: {what}: {some(names)}.")
        if not stems:
            findings.problems.append(f"{split}: the list is empty.")
        elif problem := one_class_problem(counts, findings.classes):
            findings.problems.append(f"{split}: {problem}")
        findings.photos[split], findings.pixels[split] = len(stems), counts

    def _faults(self, stem: str, counts: NDArray[np.int64]) -> Iterator[tuple[str, str]]:
        """What is wrong with one pair: the kind of fault, and the pair as it is to be named. Counts its pixels."""
        photo, label = photo_of(self.photos, stem, self.root), label_of(self.labels, stem, self.root)
        if not photo.is_file():
            yield "photos are missing from images/", self._named(stem, self.photos)
        if not label.is_file():
            yield "label maps are missing from labels/", self._named(stem, self.labels)
            return
        try:
            found = open_label_map(label)
        except ValueError as error:
            yield "label maps cannot be read", f"{label.name} ({str(error).rstrip('.')})"
            return
        if self._holds_colours(found):
            self.findings.coloured.append(label)
            yield f"label maps hold colours, not classes ({self._advice()})", label.name
        else:
            yield from self._values(found, label, counts)
        if photo.is_file():
            yield from self._photo_faults(photo, found)

    def _note_twin(self, stem: str, split: str) -> None:
        """Compare a photo with those before it, byte for byte."""
        photo = photo_of(self.photos, stem, self.root)
        if photo.is_file():
            first = self.contents.setdefault(sha256(photo.read_bytes()).digest(), (stem, split))
            if first[0] != stem:
                self.twins.append(f"{stem} ({split}) is {first[0]} ({first[1]})")

    def _holds_colours(self, found: LabelFile) -> bool:
        """Whether its pixels are colours, or a palette's values are no classes but its colours are."""
        if found.palette is None:
            return found.is_coloured
        colours = used_colours(found)
        if any(self.given.get(colour, value) != value for value, colour in colours.items()):
            return True
        return are_levels(colours, len(self.findings.classes.names))

    def _advice(self) -> str:
        if self.given:
            return "`check --convert` turns those of classes.txt into classes"
        return "classes.txt gives no colours: write them there, `name R G B`, then `check --convert` turns them into classes"

    def _values(self, found: LabelFile, label: Path, counts: NDArray[np.int64]) -> Iterator[tuple[str, str]]:
        try:
            values = indices(found)
        except ValueError as error:
            yield "label maps hold no classes", f"{label.name} {str(error).rstrip('.')}"
            return
        self.findings.palettes.note(found, label.name, self.given)
        own = np.bincount(values.ravel(), minlength=256)
        counts += own
        count = len(self.findings.classes.names)
        strange = [value for value in own.nonzero()[0].tolist() if count <= value < VOID]
        if strange:
            yield (
                f"label maps have values beyond the {count} classes{_shifted(own, count)}",
                f"{label.name} ({strange[0]})",
            )

    def _photo_faults(self, photo: Path, found: LabelFile) -> Iterator[tuple[str, str]]:
        labelled = found.values.shape[1::-1]
        try:
            read = read_photo(photo)
        except ValueError as error:
            yield "photos cannot be read", f"{photo.name} ({str(error).rstrip('.')})"
            return
        size, turn, upright = read.stored_size, read.turn, read.image
        if labelled not in (size, upright.size):
            yield "sizes differ", f"{photo.name} {size[0]} x {size[1]}, its labels {labelled[0]} x {labelled[1]}"
        elif turn is not None and size == upright.size and not found.is_coloured:
            self.findings.edges += compare(upright, found.values.astype(np.uint8), turn)

    @staticmethod
    def _named(stem: str, there: Files) -> str:
        """A name that is missing, with one that may be meant."""
        near = next((path.name for name, path in there.items() if stem in name or name in stem), None)
        return f"{stem} (there is {near})" if near else stem


def are_levels(colours: Mapping[int, Colour], num_classes: int) -> bool:
    """Return whether a palette is of greys whose levels are the classes, in another order: what an optimiser of PNG files
    makes of a grey label map.
    """
    levels = {value: colour[0] for value, colour in colours.items()}
    if any(len(set(colour)) > 1 for colour in colours.values()) or not set(levels.values()) <= {
        *range(num_classes),
        VOID,
    }:
        return False
    return any(level != value and level not in (0, VOID) for value, level in levels.items())


def _shifted(counts: NDArray[np.int64], num_classes: int) -> str:
    """A guess, where values seem to be off by one: 0 is void in ADE20K, LoveDA, Potsdam and COCO-Stuff 10k."""
    values = counts[:VOID].nonzero()[0]
    if values[-1] != num_classes:
        return ""
    return f", which end at {num_classes - 1}: if 0 is void here and the classes begin at 1, `segmodels import --void 0` says so"


def one_class_problem(counts: NDArray[np.int64], classes: ClassList) -> str:
    """Return what is wrong where fewer than two classes have a pixel, of which no network can be told right from wrong.

    Args:
        counts: (256,) pixels of each value.
        classes: what the values mean.
    """
    used = counts[:VOID].nonzero()[0].tolist()
    if len(used) > 1 or not counts.any():
        return ""
    if not used:
        return "every pixel is void, so there is nothing to learn or to score."
    name = classes.names[used[0]] if used[0] < len(classes.names) else f"the value {used[0]}"
    if not counts[VOID]:
        return f"every pixel is {name}, so there is nothing to tell apart, and any network would score 1."
    return (
        f"the label maps hold {used[0]} and {VOID} alone, and {VOID} is void: nothing but {name} would be learned or scored. If "
        f"{VOID} is meant as a class, as in black-and-white masks, `segmodels import --map {VOID}=NAME` makes it one."
    )


def some(names: Sequence[str]) -> str:
    """Return the first of ``names``, and how many more there are."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def check_lists(root: Path, lists: dict[str, list[str]], labels: Files, findings: Findings) -> None:
    """What the lists say together: nothing twice, nothing in two of them; and what none of them names."""
    for split, stems in lists.items():
        twice = sorted({stem for stem in stems if stems.count(stem) > 1}) if len(set(stems)) < len(stems) else []
        if twice:
            findings.problems.append(f"{split}: listed more than once: {', '.join(twice[:SHOWN])}.")
    for split, other in (("train", "val"), ("train", "test"), ("val", "test")):
        both = sorted(set(lists.get(split, [])) & set(lists.get(other, [])))
        if both:
            findings.problems.append(
                f"Photos in both {split} and {other} ({len(both)}), which makes scores too high: {', '.join(both[:SHOWN])}{', ...' * (len(both) > SHOWN)}."
            )
    if "train" in lists and "val" not in lists:
        findings.remarks.append("There is no val.txt: a network trained on this is not scored on the way.")
    listed = {stem + tail for stems in lists.values() for stem in stems for tail in TAILS}
    unlisted = sorted(stem for stem in labels if stem not in listed)
    if unlisted:
        findings.remarks.append(f"Label maps that are in no list: {len(unlisted)}, such as {unlisted[0]}.")


def _check_names(findings: Findings) -> None:
    """Names that differ in their case alone, which are probably one class."""
    by_case: dict[str, list[str]] = {}
    for name in findings.classes.names:
        by_case.setdefault(name.casefold(), []).append(name)
    for names in by_case.values():
        if len(names) > 1:
            one, other = names[:2]
            findings.remarks.append(
                f"{one} and {other} are two classes: if they are one, `segmodels import --map {one}={other}` says so."
            )


def _check_shares(root: Path, findings: Findings) -> None:
    """Classes without a pixel, and thin ones. Of Pascal VOC's, which nobody listed for this folder, some may be missing."""
    counts = findings.pixels.get("train")
    if counts is None or not counts.sum():
        return
    names = findings.classes.names
    scored = max(counts[: len(names)].sum(), 1)
    empty = empty_classes(counts, findings.classes)
    thin = [
        f"{name} {count / scored:.2%}" for name, count in zip(names, counts, strict=False) if 0 < count < THIN * scored
    ]
    if empty and not any("every pixel is" in problem or "is void:" in problem for problem in findings.problems):
        named = f"Classes without a pixel in train, which no network can learn: {', '.join(empty)}"
        if names == VOC_CLASSES:
            findings.remarks.append(f"{named}.")
        else:
            findings.problems.append(f"{named}. Take them off classes.txt, or see which values the label maps hold.")
    if thin:
        findings.remarks.append(f"Classes with hardly a pixel in train: {', '.join(thin)}.")


def empty_classes(counts: NDArray[np.int64], classes: ClassList) -> list[str]:
    """Return the names of the classes that have none of the pixels ``counts``."""
    return [name for name, count in zip(classes.names, counts, strict=False) if not count]


def _check_frame(root: Path, findings: Findings) -> None:
    """How the label maps of turned photos lie, where their sizes cannot tell."""
    edges, said = findings.edges, said_frame(root)
    if not edges.photos:
        return
    named = f"Photos turned by EXIF: {edges.photos}; the sizes of their label maps cannot tell how those lie"
    words = {"stored": "on the photos as they stand in the files", "upright": "on the photos as they are shown"}
    other = "upright" if (said or edges.frame) != "upright" else "stored"
    ask = f"`check --frame {other}` says that they lie {words[other]}"
    if said:
        doubt = edges.frame is not None and edges.frame != said
        findings.remarks.append(
            f"{named}. They are taken to lie {words[said]}, as orientation.txt says"
            + (f", although the photos' edges say otherwise; {ask}." if doubt else ".")
        )
    elif edges.frame:
        findings.remarks.append(
            f"{named}. By the photos' edges they lie {words[edges.frame]}, and are taken so; {ask}."
        )
    else:
        findings.remarks.append(f"{named}, nor can the photos' edges. They are taken to lie {words['stored']}; {ask}.")
