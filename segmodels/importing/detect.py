"""Which tool a source is from, by what lies in it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from zipfile import is_zipfile

from ..files import is_hidden
from . import cityscapes, coco, label_studio, labelme, masks, yolo
from .plan import Options, Plan
from .presets import PRESETS
from .reading import read_json


def plan(source: Path, options: Options, kind: str | None = None) -> Plan:
    """Find what is to be imported from ``source``, a folder or a file.

    Args:
        source: what a tool exported.
        options: what the user says of it.
        kind: one of ``presets.FORMATS``; by default it is told by the files.

    Raises:
        FileNotFoundError: if there is nothing.
        ValueError: with a question, if it cannot be told what is meant.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source} is missing")
    if is_zipfile(source):
        raise ValueError(f"{source} is an archive: unpack it, and import the folder")
    kind = kind or detect(source)
    found = _plan(source, options, kind)
    ignored = tuple(
        f"--{name} does not apply to {kind}, and was ignored."
        for name, kinds in _APPLIES.items()
        if getattr(options, name) is not None and kind not in kinds
    )
    return replace(found, notes=(*found.notes, *ignored))


_APPLIES = {
    "rest": ("coco", "labelme", "label-studio", "yolo"),
    "width": ("labelme",),
    "colours": ("masks", *PRESETS),
    "annotator": ("label-studio",),
}
"""The formats that an option says something of."""


def _plan(source: Path, options: Options, kind: str) -> Plan:
    if kind == "yolo":
        return yolo.plan(_yaml(source) or source, options)
    if kind in ("masks", *PRESETS):
        return masks.plan(source, options, kind if kind in PRESETS else None)
    files, others = _jsons(source, kind)
    if not files:
        raise FileNotFoundError(f"{source} holds no JSON of {kind}")
    if kind == "coco":
        found = coco.plan(source, files, options)
    elif kind == "labelme":
        found = labelme.plan(source if source.is_dir() else source.parent, files, options)
    elif kind == "label-studio":
        found = label_studio.plan(source, files, options)
    else:
        found = cityscapes.plan(source if source.is_dir() else source.parent, files, options)
    left = tuple(
        f"JSON of {other} was left alone (files: {count}); --format {other} imports it, into another folder."
        for other, count in others.items()
    )
    return replace(found, notes=(*found.notes, *left))


_TELLS = {
    "coco": coco.is_coco,
    "labelme": labelme.is_labelme,
    "label-studio": label_studio.is_label_studio,
    "cityscapes-polygons": cityscapes.is_polygons,
}


def detect(source: Path) -> str:
    """Return which of ``presets.FORMATS`` a source is."""
    if _yaml(source):
        return "yolo"
    pngs = source.is_dir() and any(source.rglob("*_gtFine_labelTrainIds.png"))
    if pngs:
        return "cityscapes-train-ids"
    if source.is_dir() and any(source.rglob("*_gtFine_labelIds.png")):
        return "cityscapes"
    for file in _candidates(source):
        try:
            content = read_json(file)
        except (ValueError, OSError):
            continue
        for kind, tells in _TELLS.items():
            if tells(content):
                return kind
    return "masks"


def _yaml(source: Path) -> Path | None:
    if source.is_file():
        return source if source.suffix.lower() in (".yaml", ".yml") else None
    return next((path for path in sorted(source.glob("*.y*ml")) if b"names" in path.read_bytes()), None)


def _candidates(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    found = sorted(source.rglob("*.json"))
    return [path for path in found if not is_hidden(path.relative_to(source))]


def _jsons(source: Path, kind: str) -> tuple[list[Path], Counter[str]]:
    """The files of one kind below a source, and how many there are of each other; all are looked into."""
    found: list[Path] = []
    others: Counter[str] = Counter()
    for file in _candidates(source):
        try:
            content = read_json(file)
        except ValueError:
            if source.is_file() or kind in ("labelme", "coco"):
                raise
            continue
        if _TELLS[kind](content):
            found.append(file)
        else:
            others.update([other for other, tells in _TELLS.items() if tells(content)][:1])
    return found, others
