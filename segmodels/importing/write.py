"""A plan carried out: photos copied, label maps made, lists and classes written, in a folder of their own."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..files import atomic_write, display_path
from ..inference.pictures import label_image
from ..labels import VOID, ClassList
from ..training.frame import FILE
from .plan import Pair, Plan, photo_sizes

EVERY = 5
"""Of photos that the source does not split, each fifth is for validation."""


def write(plan: Plan, target: Path) -> list[str]:
    """Write the data folder ``target``, which must not be there; return sentences about what was done and dropped.

    Raises:
        FileExistsError: if something is there.
        ValueError: if nothing could be imported.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{display_path(target)} is there already: name a new folder; nothing is overwritten")
    for part in ("images", "labels"):
        (target / part).mkdir(parents=True, exist_ok=True)
    split: dict[str, list[str]] = {}
    used = np.zeros(VOID + 1, dtype=np.int64)
    for pair in tqdm(plan.pairs, desc=f"importing from {plan.kind}", unit="photo", disable=None):
        try:
            labels = pair.labels()
            used += np.bincount(labels.ravel(), minlength=VOID + 1)
            _write_pair(pair, labels, plan, target)
        except ValueError as error:
            plan.dropped.add(f"photos that cannot be imported: {error}", pair.name)
            continue
        split.setdefault(pair.split, []).append(pair.name)
    if not split:
        shutil.rmtree(target)  # so that another try can have the name
        raise ValueError(f"nothing was imported. {' '.join(plan.dropped.sentences())}")
    said = _write_lists(target, split)
    kept = _without_unused(plan.classes, used, target)
    (target / "classes.txt").write_text(_lines(kept), encoding="utf-8")
    if plan.upright:
        (target / FILE).write_text("upright\n", encoding="utf-8")
    return [_summary(plan, split, kept), *said, *plan.notes, *plan.dropped.sentences(), *_unused(plan.classes, kept)]


def _write_pair(pair: Pair, labels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], plan: Plan, target: Path) -> None:
    """Write a photo as it is, and its label map."""
    if isinstance(pair.photo, bytes):
        suffix = {b"\xff\xd8": ".jpg", b"\x89P": ".png"}.get(pair.photo[:2], ".bin")
        photo = target / "images" / f"{pair.name}{suffix}"
        photo.write_bytes(pair.photo)
    else:
        photo = target / "images" / f"{pair.name}{pair.photo.suffix}"
        shutil.copyfile(pair.photo, photo)
    try:
        sizes = photo_sizes(photo)
        if labels.shape[::-1] not in sizes:
            raise ValueError("the photo and its label map differ in size")
    except ValueError:
        photo.unlink(missing_ok=True)
        raise
    with atomic_write(target / "labels" / f"{pair.name}.png") as partial:
        label_image(labels, plan.classes).save(partial, "PNG")


def _write_lists(target: Path, split: dict[str, list[str]]) -> list[str]:
    """``train.txt`` and the others. Photos of which the source says nothing are for training, each fifth for validation.

    Returns:
        A sentence about those, if there are any.
    """
    free, held = sorted(split.pop("", [])), []
    if free:
        held = free[EVERY - 1 :: EVERY] if "val" not in split else []
        split.setdefault("train", []).extend(name for name in free if name not in set(held))
        if held:
            split["val"] = held
    for name, stems in split.items():
        (target / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
    if held:
        return ["Every fifth photo is for validation, since the source does not say which are; val.txt lists them."]
    return [f"Photos of which the source does not say the split are for training ({len(free)})."] if free else []


def _without_unused(
    classes: ClassList, used: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]", target: Path
) -> ClassList:
    """The classes that have a pixel; the label maps are numbered anew if some have none."""
    kept = [index for index in range(len(classes.names)) if used[index]]
    if len(kept) == len(classes.names) or len(kept) < 2:
        return classes
    names = tuple(classes.names[index] for index in kept)
    background = kept.index(classes.background) if classes.background in kept else None
    fewer = ClassList(names, tuple(classes.colours[index] for index in kept), background)
    table = np.full(VOID + 1, VOID, dtype=np.uint8)
    table[kept] = np.arange(len(kept))
    for path in (target / "labels").iterdir():
        with Image.open(path) as image:
            labels = table[np.array(image)]
        with atomic_write(path) as partial:
            label_image(labels, fewer).save(partial, "PNG")
    return fewer


def _unused(before: ClassList, after: ClassList) -> list[str]:
    gone = [name for name in before.names if name not in after.names]
    return [f"dropped: classes without a pixel: {', '.join(gone)}."] if gone else []


def _lines(classes: ClassList) -> str:
    """``classes.txt``."""
    lines = (
        f"{name} {' '.join(map(str, colour))}\n" for name, colour in zip(classes.names, classes.colours, strict=True)
    )
    return "".join(lines)


def _summary(plan: Plan, split: dict[str, list[str]], classes: ClassList) -> str:
    counts = Counter({name or "train": len(stems) for name, stems in split.items()})
    photos = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"Imported from {plan.kind}: {len(classes.names)} classes; photos: {photos}."


def inside(target: Path, source: Path) -> bool:
    """Return whether writing ``target`` would change a folder that is imported."""
    return source.is_dir() and target.resolve().is_relative_to(source.resolve())
