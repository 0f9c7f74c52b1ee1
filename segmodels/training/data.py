"""Folders of photos and label maps, and how they are varied for training."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Dataset, Sampler
from torchvision import tv_tensors
from torchvision.transforms import v2

from ..inference.photo import open_stack, read_photo
from ..label_files import read_class_list, read_label_map
from ..labels import VOC, VOID, ClassList
from .frame import Edges, compare, said_frame
from .pairs import LABEL_SUFFIXES, PHOTO_SUFFIXES, files_in, label_of, listed_stems, missing, photo_of


class SegmentationFolder(Dataset[tuple[Image.Image, NDArray[np.uint8]]]):
    """A folder with ``images/*.jpg``, ``labels/*.png`` and ``<split>.txt``, which lists the stems of the split.

    ``classes.txt``, a class a line, says what the values of the label maps mean; without it they are Pascal VOC's.
    Photos may be of any common format. An item is an upright RGB photo and its (H, W) uint8 label map of the same size, 255
    for void. A label map lies on the photo's pixels as they stand in the file, and is turned with them if EXIF says so; one
    that has the size of the upright photo alone is upright already. Where sizes cannot tell, ``labels_frame`` does.

    Raises:
        FileNotFoundError: if the folder, ``images/``, ``labels/``, the list, or a listed file is missing.
        ValueError: if a list is empty or damaged.
    """

    def __init__(self, root: str | Path, split: str) -> None:
        self.root, self.split = Path(root), split
        for part in ("", "images", "labels", f"{split}.txt"):
            if not (self.root / part).exists():
                raise FileNotFoundError(missing(self.root, part))
        self._photos = files_in(self.root / "images", PHOTO_SUFFIXES)
        self._labels = files_in(self.root / "labels", LABEL_SUFFIXES)
        self.class_list = folder_classes(self.root)
        self.stems = listed_stems(
            self.root / f"{split}.txt", lambda stem: (self.photo_path(stem), self.label_path(stem))
        )

    @property
    def name(self) -> str:
        """The folder's own, also if it was given as ``.``."""
        return self.root.resolve().name

    def photo_path(self, stem: str) -> Path:
        """Return where the photo is, or should be."""
        return photo_of(self._photos, stem, self.root)

    def label_path(self, stem: str) -> Path:
        """Return where the label map is, or should be."""
        return label_of(self._labels, stem, self.root)

    def labels(self, index: int) -> NDArray[np.uint8]:
        """The label map alone, (H, W) uint8, as it stands in the file.

        Raises:
            ValueError: if it cannot be read, is no map of indices, or has a value that is no class.
        """
        path = self.label_path(self.stems[index])
        return read_label_map(path, len(self.class_list.names), str(path))

    @cached_property
    def labels_frame(self) -> str:
        """How the label maps of turned photos lie where sizes cannot tell: ``stored`` or ``upright``.

        It is what the user said, or what the edges of some of the photos say, or else ``stored``.
        """
        said = said_frame(self.root)
        if said is not None:
            return said
        edges = Edges()
        for index in range(len(self)):
            if edges.photos == COMPARED:
                break
            photo, labels, turn = self._pair(index)
            if turn is not None:
                edges += compare(photo, labels, turn)
        return edges.frame or "stored"

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, index: int) -> tuple[Image.Image, NDArray[np.uint8]]:
        photo, labels, turn = self._pair(index)
        if turn is not None and self.labels_frame == "stored":
            labels = np.array(Image.fromarray(labels).transpose(turn))
        return photo, labels

    def _pair(self, index: int) -> tuple[Image.Image, NDArray[np.uint8], Image.Transpose | None]:
        """The upright photo and its label map; and how that is to be turned if it lies on the photo as stored.

        Raises:
            ValueError: if one cannot be read, or they differ in size.
        """
        path = self.photo_path(self.stems[index])
        try:
            read = read_photo(path)  # as everyone else sees it, whatever its depth and colours
        except ValueError as error:
            raise ValueError(f"{path} cannot be read as a photo: {error}") from error
        photo, stored, turn = read.image, read.stored_size, read.turn
        labels = self.labels(index)
        if turn is not None and photo.size != stored:
            if labels.shape[::-1] == stored:
                labels = np.array(Image.fromarray(labels).transpose(turn))
            turn = None
        if labels.shape[::-1] != photo.size:
            raise ValueError(
                f"{path} has {stored[0]} x {stored[1]} pixels and its label map {labels.shape[1]} x {labels.shape[0]}"
            )
        return photo, labels, turn


COMPARED = 16
"""Photos whose edges decide how the label maps of all turned ones lie."""


def stored_size(path: Path) -> tuple[tuple[int, int], Image.Transpose | None]:
    """Return the (width, height) of a photo as it stands in its file, and what turns it upright.

    Raises:
        ValueError: if it is no photo that can be read.
    """
    try:
        with open_stack(path) as stack:
            return stack.stored()
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a photo: {error}") from error


def folder_classes(root: Path) -> ClassList:
    """The classes that a data folder names in ``classes.txt``, or Pascal VOC's.

    Raises:
        ValueError: if the file is no list of classes.
    """
    file = root / "classes.txt"
    return read_class_list(file) if file.is_file() else VOC


def photos_by_folder(folders: Sequence[SegmentationFolder]) -> dict[str, int]:
    """How many photos each folder lists, by its name; of two that are called alike, both together."""
    counted: dict[str, int] = {}
    for folder in folders:
        counted[folder.name] = counted.get(folder.name, 0) + len(folder)
    return counted


def usual_side(folders: Sequence[SegmentationFolder], sample: int = 200) -> int:
    """The longer side, in pixels, of the photo in the middle, if they were sorted by it; of so many, evenly spread."""
    paths = [folder.photo_path(stem) for folder in folders for stem in folder.stems]
    sides = []
    for path in paths[:: max(len(paths) // sample, 1)]:
        sides.append(max(stored_size(path)[0]))
    return sorted(sides)[len(sides) // 2]


def common_classes(folders: Sequence[SegmentationFolder]) -> ClassList:
    """The classes of all ``folders``.

    Raises:
        ValueError: if they differ.
    """
    first = folders[0]
    for folder in folders:
        if folder.class_list.names != first.class_list.names:
            raise ValueError(f"{first.root} and {folder.root} do not have the same classes")
    return first.class_list


def fingerprint(folders: Sequence[SegmentationFolder]) -> str:
    """The SHA-256 of what a run learns from: the classes, the lists, the label maps, and the sizes of the photos' files."""
    digest = hashlib.sha256()
    for folder in folders:
        digest.update(repr(folder.class_list).encode())
        for stem in folder.stems:
            digest.update(f"{stem} {folder.photo_path(stem).stat().st_size}\n".encode())
            digest.update(folder.label_path(stem).read_bytes())
    return digest.hexdigest()


def training_transform(crop: int, smallest_window: float) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Random windows of ``smallest_window`` of the photo's area to all of it, resized to (crop, crop), mirrored half the
    time, colours jittered.
    """
    return v2.Compose(
        [
            RandomResizedCrop(crop, scale=(smallest_window, 1.0), ratio=(0.7, 1.43), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4),
            v2.RandomGrayscale(0.05),
        ]
    )


class RandomResizedCrop(v2.RandomResizedCrop):  # type: ignore[misc]
    """torchvision's, with label maps that lie exactly on their photos.

    A photo's pixel is resized about its middle. torchvision takes a label at the corner of the pixel instead
    ("nearest"), which moves the label map by half a pixel of the crop.
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Return ``inpt`` cropped and resized, as torchvision's method does."""
        if not isinstance(inpt, tv_tensors.Mask):
            return super().transform(inpt, params)
        top, left, height, width = (params[name] for name in ("top", "left", "height", "width"))
        window = inpt.as_subclass(Tensor)[None, None, top : top + height, left : left + width]
        resized = nn.functional.interpolate(window, self.size, mode="nearest-exact")
        return tv_tensors.wrap(resized[0, 0], like=inpt)


class TrainingCrops(Dataset[tuple[Tensor, Tensor]]):
    """Crops for training: a uint8 (3, crop, crop) photo and its uint8 (crop, crop) label map.

    An item is addressed by ``(photo, seed)``, so that a run can be resumed in the middle and goes on exactly as if it
    had not been stopped.
    """

    def __init__(self, folders: Sequence[SegmentationFolder], crop: int, smallest_window: float) -> None:
        self.photos: ConcatDataset[tuple[Image.Image, NDArray[np.uint8]]] = ConcatDataset(folders)
        self.transform = training_transform(crop, smallest_window)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, address: tuple[int, int]) -> tuple[Tensor, Tensor]:
        index, seed = address
        photo, labels = self.photos[index]
        image = tv_tensors.Image(torch.from_numpy(np.array(photo)).permute(2, 0, 1))
        mask = tv_tensors.Mask(torch.from_numpy(labels))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            image, mask = self.transform(image, mask)
        return image.as_subclass(Tensor), mask.as_subclass(Tensor)


def class_presence(folders: Sequence[SegmentationFolder], num_classes: int, least: float = 0.005) -> NDArray[np.bool_]:
    """Which classes cover more than ``least`` of each photo: (photos, num_classes) bool. Reads every label map once."""
    rows = []
    for folder in folders:
        for index in range(len(folder)):
            labels = folder.labels(index)
            counts = np.bincount(labels[labels != VOID], minlength=num_classes)[:num_classes]
            rows.append(counts > least * labels.size)
    return np.array(rows)


def sampling_weights(presence: NDArray[np.bool_], most: float = 5.0, background: int | None = 0) -> Tensor:
    """How often to draw each photo: more for its rarest class, by the square root of how thin that class is, at most ``most``.

    A class in a seventh of the photos counts as common (weight 1), and so does the ``background``.
    """
    photos = presence.sum(axis=0)
    factor = np.sqrt(len(presence) / 7 / np.maximum(photos, 1)).clip(1.0, most)
    if background is not None:
        factor[background] = 1.0
    return torch.from_numpy(np.where(presence, factor, 1.0).max(axis=1))


class Batches(Sampler[list[tuple[int, int]]]):
    """The batches of every epoch, each item a ``(photo, seed)``; the same for the same ``seed``, wherever they start.

    An epoch draws as many crops as there are photos, by weight and with replacement. ``share`` says which of a batch's
    crops are this process's, where several train together.
    """

    def __init__(
        self, weights: Tensor, batch: int, epochs: int, seed: int, start: int = 0, share: slice = slice(None)
    ) -> None:
        self.weights, self.batch, self.epochs, self.seed, self.start = weights, batch, epochs, seed, start
        self.share = share
        self.per_epoch = max(len(weights) // batch, 1)

    def __len__(self) -> int:
        return self.epochs * self.per_epoch - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for epoch in range(self.start // self.per_epoch, self.epochs):
            generator = torch.Generator().manual_seed(self.seed * 10_007 + epoch)
            count = self.per_epoch * self.batch
            photos = torch.multinomial(self.weights, count, replacement=True, generator=generator).tolist()
            seeds = torch.randint(2**62, (count,), generator=generator).tolist()
            skipped = max(self.start - epoch * self.per_epoch, 0)
            for step in range(skipped, self.per_epoch):
                part = slice(step * self.batch, (step + 1) * self.batch)
                yield list(zip(photos[part], seeds[part], strict=True))[self.share]
