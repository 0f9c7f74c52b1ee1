"""Feature maps of a frozen backbone, computed once for every photo: a decoder then trains in minutes."""

import json
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..inference.segmenter import Segmenter
from ..inference.sizes import resize_photo
from .data import SegmentationFolder
from .start import normaliser

STRIDES = (2, 4, 8, 16)
"""Those of MobileNet v2's maps before the deepest."""

SIDE_STEP = 32
"""Both sides of a photo become a multiple of this plus 1, so that few sizes are left and a batch has one size."""

LEAST_SHARE = 0.005
"""The part of a photo that a class must cover to count as shown."""


@dataclass(frozen=True)
class Entry:
    """What is known of one photo in the cache."""

    stem: str
    size: tuple[int, int]
    """(width, height) at which the backbone saw it."""
    mirrored: bool
    classes: tuple[int, ...]
    """Those that the public network sees on more than ``LEAST_SHARE`` of it."""


class CachedFeatures:
    """The maps of one folder's photos, the public network's scores, and the label maps.

    Three files: ``<path>.json`` lists the photos, ``<path>.features`` has float16 maps from fine to coarse and then the
    scores, ``<path>.labels`` has uint8 label maps at the size that the backbone saw; it is missing where labels do not
    count.
    """

    def __init__(self, path: Path) -> None:
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        self.name: str = facts["name"]
        self.channels: tuple[int, ...] = tuple(facts["channels"])
        self.output_stride: int = facts["output_stride"]
        self.entries = [
            Entry(row["stem"], cast("tuple[int, int]", tuple(row["size"])), row["mirrored"], tuple(row["classes"]))
            for row in facts["photos"]
        ]
        self._features = np.memmap(path.with_suffix(".features"), np.float16, "r")
        labels = path.with_suffix(".labels")
        self._labels = np.memmap(labels, np.uint8, "r") if labels.is_file() else None
        lengths = [sum(int(np.prod(shape)) for shape in self.shapes(entry.size)) for entry in self.entries]
        pixels = [width * height for width, height in (entry.size for entry in self.entries)]
        self._starts = np.cumsum([0, *lengths])
        self._label_starts = np.cumsum([0, *pixels])
        self.by_size: dict[tuple[int, int], list[int]] = {}
        for index, entry in enumerate(self.entries):
            self.by_size.setdefault(entry.size, []).append(index)

    @property
    def labelled(self) -> bool:
        """Whether there are label maps."""
        return self._labels is not None

    def shapes(self, size: tuple[int, int]) -> list[tuple[int, int, int]]:
        """Return (channels, height, width) of all maps and of the scores, for a photo of ``size`` (width, height)."""
        width, height = size
        strides = (*STRIDES, self.output_stride, self.output_stride)
        return [(n, -(-height // s), -(-width // s)) for n, s in zip(self.channels, strides, strict=True)]

    def maps(self, index: int, levels: Collection[int]) -> list[Tensor]:
        """Return the float16 (C, h, w) maps called ``levels``, 0 to 4 from fine to coarse, 5 the scores; others are empty."""
        start, found = int(self._starts[index]), []
        for level, shape in enumerate(self.shapes(self.entries[index].size)):
            length = int(np.prod(shape))
            wanted = (
                self._features[start : start + length].reshape(shape) if level in levels else np.empty(0, np.float16)
            )
            found.append(torch.from_numpy(np.array(wanted)))
            start += length
        return found

    def batch(self, indices: Sequence[int], levels: Collection[int]) -> list[Tensor]:
        """Return float32 (N, C, h, w) maps of photos of one size; those not among ``levels`` are empty."""
        photos = [self.maps(index, levels) for index in indices]
        return [torch.stack(maps).float() for maps in zip(*photos, strict=True)]

    def labels(self, indices: Sequence[int]) -> Tensor:
        """Return the (N, H, W) uint8 label maps of photos of one size."""
        assert self._labels is not None
        width, height = self.entries[indices[0]].size
        starts = [int(self._label_starts[index]) for index in indices]
        maps = [self._labels[start : start + width * height].reshape(height, width) for start in starts]
        return torch.from_numpy(np.stack(maps))


def cache_features(
    segmenter: Segmenter,
    folder: SegmentationFolder,
    path: Path,
    longer_side: int,
    output_stride: int,
    labelled: bool,
    seed: int,
) -> None:
    """Write the three files of ``CachedFeatures``. Half of the photos are mirrored before the backbone sees them.

    Args:
        segmenter: the public network, in float32.
        folder: photos, and label maps of the same classes.
        path: the files' name, without a suffix.
        longer_side: of a photo as the backbone sees it, in pixels, about.
        output_stride: of the deepest map, 16 or 8.
        labelled: whether to write the label maps.
        seed: decides which photos are mirrored.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    channels: list[int] = []
    with path.with_suffix(".features").open("wb") as file:
        for stem, photo, labels, mirrored in tqdm(_photos(folder, seed), total=len(folder), desc=folder.name):
            size = snapped_size(photo.size, longer_side)
            maps = _maps(segmenter, resize_photo(photo, size), output_stride)
            for map_ in maps:
                file.write(map_.half().contiguous().numpy().tobytes())
            if labelled:
                with path.with_suffix(".labels").open("ab" if rows else "wb") as label_file:
                    label_file.write(resize_labels(labels, size).tobytes())
            rows.append(asdict(Entry(stem, size, mirrored, shown_classes(maps[-1]))))
            channels = [len(map_) for map_ in maps]
    facts = {"name": folder.name, "channels": channels, "output_stride": output_stride, "photos": rows}
    path.with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")


def snapped_size(size: tuple[int, int], longer_side: int) -> tuple[int, int]:
    """Return the (width, height) nearest to ``size`` at ``longer_side`` whose sides are multiples of ``SIDE_STEP`` plus 1."""
    scale = longer_side / max(size)
    width, height = (max(round((side * scale - 1) / SIDE_STEP), 1) * SIDE_STEP + 1 for side in size)
    return width, height


def resize_labels(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return (H, W) labels at ``size`` (width, height): at each pixel the label where the middle of that pixel lies."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size[::-1], labels.shape, strict=True)
    )
    return labels[np.ix_(rows, columns)]


def shown_classes(scores: Tensor) -> tuple[int, ...]:
    """Return the classes that win on more than ``LEAST_SHARE`` of (C, h, w) scores."""
    cells = torch.bincount(scores.argmax(0).ravel(), minlength=len(scores))
    return tuple((cells > LEAST_SHARE * cells.sum()).nonzero().ravel().tolist())


def _photos(folder: SegmentationFolder, seed: int) -> Iterator[tuple[str, Image.Image, NDArray[np.uint8], bool]]:
    generator = random.Random(seed)
    for index, stem in enumerate(folder.stems):
        photo, labels = folder[index]
        mirrored = generator.random() < 0.5
        if mirrored:
            photo, labels = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT), labels[:, ::-1]
        yield stem, photo, labels, mirrored


def _maps(segmenter: Segmenter, pixels: Tensor, output_stride: int) -> list[Tensor]:
    """The (C, h, w) maps of an (H, W, 3) photo, and the public network's scores."""
    x = normaliser(segmenter.card)(pixels.permute(2, 0, 1)[None])
    with segmenter.exclusive(output_stride=output_stride) as network, torch.inference_mode():
        features = network.encode(x)
        return [map_[0] for map_ in (*features, network.decode(features))]
