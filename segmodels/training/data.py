"""Folders of photos and label maps, and how they are varied for training."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Sampler
from torchvision import tv_tensors
from torchvision.transforms import v2

from ..labels import VOID


class SegmentationFolder(Dataset[tuple[Image.Image, NDArray[np.uint8]]]):
    """A folder with ``images/*.jpg``, ``labels/*.png`` and ``<split>.txt``, which lists the stems of the split.

    An item is an RGB photo and its (H, W) uint8 label map of the same size, 255 for void.

    Raises:
        FileNotFoundError: if the folder, ``images/``, ``labels/``, the list, or a listed file is missing.
        ValueError: if the list is empty.
    """

    def __init__(self, root: str | Path, split: str) -> None:
        self.root = Path(root)
        for part in ("", "images", "labels", f"{split}.txt"):
            if not (self.root / part).exists():
                raise FileNotFoundError(
                    f"{self.root / part} is missing: a data folder holds images/*.jpg, labels/*.png and {split}.txt"
                )
        self.stems = (self.root / f"{split}.txt").read_text().split()
        if not self.stems:
            raise ValueError(f"{self.root / f'{split}.txt'} lists no photo")
        for stem in self.stems:
            for path in (self.photo_path(stem), self.label_path(stem)):
                if not path.is_file():
                    raise FileNotFoundError(f"{path} is listed in {split}.txt and missing")

    def photo_path(self, stem: str) -> Path:
        return self.root / "images" / f"{stem}.jpg"

    def label_path(self, stem: str) -> Path:
        return self.root / "labels" / f"{stem}.png"

    def labels(self, index: int) -> NDArray[np.uint8]:
        """The label map alone, (H, W) uint8."""
        with Image.open(self.label_path(self.stems[index])) as image:
            return np.array(image, dtype=np.uint8)

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, index: int) -> tuple[Image.Image, NDArray[np.uint8]]:
        with Image.open(self.photo_path(self.stems[index])) as image:
            photo = image.convert("RGB")
        return photo, self.labels(index)


def training_transform(crop: int, smallest_window: float) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Random windows of ``smallest_window`` of the photo's area to all of it, resized to (crop, crop), mirrored half the
    time, colours jittered.
    """
    return v2.Compose(
        [
            v2.RandomResizedCrop(crop, scale=(smallest_window, 1.0), ratio=(0.7, 1.43), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4),
            v2.RandomGrayscale(0.05),
        ]
    )


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


def sampling_weights(presence: NDArray[np.bool_], most: float = 5.0) -> Tensor:
    """How often to draw each photo: more for its rarest class, by the square root of how thin that class is, at most ``most``.

    A class in a seventh of the photos counts as common (weight 1).
    """
    photos = presence.sum(axis=0)
    factor = np.sqrt(len(presence) / 7 / np.maximum(photos, 1)).clip(1.0, most)
    factor[0] = 1.0  # background
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
