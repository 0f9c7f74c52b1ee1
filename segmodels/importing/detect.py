"""Which tool a source is from, by what lies in it."""

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
    if kind == "yolo":
        return yolo.plan(_yaml(source) or source, options)
    if kind in ("masks", *PRESETS):
        return masks.plan(source, options, kind if kind in PRESETS else None)
    files = _jsons(source, kind)
    if not files:
        raise FileNotFoundError(f"{source} holds no JSON of {kind}")
    if kind == "coco":
        return coco.plan(source, files, options)
    if kind == "labelme":
        return labelme.plan(source if source.is_dir() else source.parent, files, options)
    if kind == "label-studio":
        return label_studio.plan(source, files, options)
    return cityscapes.plan(source if source.is_dir() else source.parent, files, options)


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


def _jsons(source: Path, kind: str) -> list[Path]:
    """The files of one kind below a source; each is looked into."""
    found = []
    for file in _candidates(source):
        try:
            if _TELLS[kind](read_json(file)):
                found.append(file)
        except ValueError:
            if source.is_file() or kind in ("labelme", "coco"):
                raise
    return found
