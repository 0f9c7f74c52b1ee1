"""Which photo and which label map belong together: by their names, in any folders, with any endings."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..files import is_hidden
from ..training.pairs import PHOTO_SUFFIXES, read_stems
from .plan import Dropped, Pair, split_of

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

LABELS_ALONE = "label maps without a photo of their name"
PHOTOS_ALONE = "photos without a label map"

OTHER_FOLDERS = frozenset(("segmentationobject", "instances", "depth"))
"""Folders of pictures that are neither photos nor label maps of classes."""

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""What the names of label maps end in: no file that blurs."""


@dataclass(frozen=True)
class Match:
    """A photo and its label map, the stem that both get, and the list that names them."""

    photo: Path
    label: Path
    stem: str
    split: str


def matched_pairs(source: Path, tails: tuple[str, ...], dropped: Dropped) -> Iterator[Match]:
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
            dropped.add(LABELS_ALONE, label.name)
            continue
        used.add(near[0])
        photo = photos[near[0]]
        stem = _without_tail(photo.stem, PHOTO_TAILS)
        split = next((said for part in photo.relative_to(source).parts[:-1] if (said := split_of(part))), "")
        yield Match(photo, label, stem, split)
    for key, photo in photos.items():
        if key not in used:
            dropped.add(PHOTOS_ALONE, photo.name)


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


def with_listed_splits(
    source: Path, pairs: list[Pair], matched: list[Match], dropped: Dropped
) -> tuple[list[Pair], list[str]]:
    """The pairs with the splits that lists of the source name, where there are such lists; and sentences about the lists."""
    named, notes = _listed_splits(source, {stem for match in matched for stem in (match.photo.stem, match.stem)})
    kept = []
    for pair, match in zip(pairs, matched, strict=True):
        split = named.get(match.photo.stem, named.get(match.stem, "" if named else pair.split))
        if split or not named:
            kept.append(Pair(pair.name, pair.photo, pair.labels, split))
        else:
            dropped.add("photos in no list called train, val or test", match.photo.name)
    return kept, notes


def _listed_splits(source: Path, photos: set[str]) -> tuple[dict[str, str], list[str]]:
    """The split of each photo that a list names, and sentences about lists that say nothing.

    CVAT's lists are called like its subsets: Train, Validation and Test, or as the user likes.
    """
    named: dict[str, str] = {}
    unclear: dict[str, set[str]] = {}
    notes = []
    for pattern in ("*.txt", "ImageSets/Segmentation/*.txt", "*/ImageSets/Segmentation/*.txt"):
        for path in sorted(source.glob(pattern)):
            split = split_of(path.stem)
            try:
                listed = {Path(stem).name for stem in read_stems(path)}
            except ValueError:
                if split:
                    raise
                continue
            if not split:
                unclear[path.name] = listed & photos
            elif listed & photos:
                named |= dict.fromkeys(listed, split)
            elif listed:
                notes.append(f"{path.name} names no photo that was found.")
    notes += [
        f"{name} is called neither train, val nor test, so it is taken for no split."
        for name, listed in unclear.items()
        if listed - named.keys()
    ]
    return named, notes
