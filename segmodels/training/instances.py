"""Folders of pictures whose objects are numbered, and what U-Net's paper makes of them for training.

Ronneberger, Fischer, Brox 2015 (arXiv 1505.04597): the weight of borders (section 3, equation 2), elastic deformation
(section 3.1), mirrored borders (section 2).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from ..inference.contrast import contrast_range, stretch_contrast
from ..inference.photo import read_photo
from ..labels import NUCLEI, ClassList
from .pairs import PHOTO_SUFFIXES, Files, files_in, listed_stems, photo_of

BORDER_WEIGHT = 10.0
BORDER_SIGMA = 5.0
"""w0 and sigma of equation 2, in pixels, as the paper has them."""

ELASTIC_DEVIATION = 10.0
"""Pixels: the deviation of the displacements, as the paper has it (section 3.1)."""

TOUCHING_GAP = 2
"""Background this near to two objects is the line between them: gaps of up to three pixels."""


NUMBER_SUFFIXES = (".png", ".tif", ".tiff")
NUMBER_TAILS = ("", "_instances", "_cp_masks")
"""What may follow a picture's name in that of its numbers."""


def is_instance_folder(root: Path) -> bool:
    """Return whether a data folder numbers its objects, in ``instances/``, rather than labelling classes."""
    return (root / "instances").is_dir() and not (root / "labels").is_dir()


def numbers_of(numbers: Files, stem: str, root: Path) -> Path:
    """Return where the numbers of the objects in the picture called ``stem`` are, or should be."""
    found = (numbers[stem + tail] for tail in NUMBER_TAILS if stem + tail in numbers)
    return next(found, root / "instances" / f"{stem}.png")


class InstanceFolder:
    """A folder with ``images/``, ``instances/`` and ``<split>.txt``, which lists the stems of the split.

    The pictures are 8-bit or 16-bit grey or RGB; a PNG or TIFF of ``instances/`` has a number for each object, 0 where there is
    none. Its name is the picture's, or ends as Cellpose and ``segment`` name theirs.

    Raises:
        FileNotFoundError: if a part of the folder, or a listed file, is missing.
        ValueError: if the list is empty or damaged.
    """

    class_list: ClassList = NUCLEI

    def __init__(self, root: str | Path, split: str, first: int | None = None) -> None:
        self.root, self.split = Path(root), split
        for part in ("", "images", "instances", f"{split}.txt"):
            if not (self.root / part).exists():
                raise FileNotFoundError(
                    f"{self.root / part} is missing: a folder of objects holds images/, instances/ and {split}.txt"
                )
        self._photos = files_in(self.root / "images", PHOTO_SUFFIXES)
        self.numbers = files_in(self.root / "instances", NUMBER_SUFFIXES)
        self.stems = listed_stems(
            self.root / f"{split}.txt",
            lambda stem: (self.photo_path(stem), self.instances_path(stem)),
            first,
            "picture",
        )

    @property
    def name(self) -> str:
        """The folder's own, also if it was given as ``.``."""
        return self.root.resolve().name

    def photo_path(self, stem: str) -> Path:
        """Return where the picture is, or should be."""
        return photo_of(self._photos, stem, self.root)

    def instances_path(self, stem: str) -> Path:
        """Return where the numbers of its objects are, or should be."""
        return numbers_of(self.numbers, stem, self.root)

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, index: int) -> tuple[Image.Image, NDArray[np.int32]]:
        """Return an upright RGB picture and (H, W) numbers of its objects.

        Raises:
            ValueError: if one cannot be read, or they differ in size.
        """
        path = self.photo_path(self.stems[index])
        try:
            photo = read_photo(path, display_range="percentiles").image
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        instances = read_instances(self.instances_path(self.stems[index]))
        if instances.shape[::-1] != photo.size:
            raise ValueError(
                f"{path} has {photo.width} x {photo.height} pixels and its objects "
                f"{instances.shape[1]} x {instances.shape[0]}"
            )
        return photo, instances


def read_instances(path: Path) -> NDArray[np.int32]:
    """Return the numbers of the objects, (H, W), in a grey PNG of 8 or 16 bits or a TIFF of whole numbers.

    Raises:
        ValueError: with a sentence, if it is anything else.
    """
    if path.suffix.lower() != ".png":
        return _numbers_in_tiff(path)
    try:
        with Image.open(path) as image:
            mode = image.mode
            values = np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as numbers of objects ({error})") from error
    if mode not in ("L", "P", "I;16", "I"):
        raise ValueError(
            f"{path} holds colours (its mode is {mode}): a number an object is needed, 8-bit or 16-bit grey"
        )
    return values.astype(np.int32)


def _numbers_in_tiff(path: Path) -> NDArray[np.int32]:
    """Return those of a label TIFF, as Fiji, Cellpose and StarDist write it too."""
    try:
        values = np.squeeze(tifffile.imread(path))
    except Exception as error:  # tifffile raises many kinds
        raise ValueError(f"{path} cannot be read as numbers of objects ({error})") from error
    if values.ndim != 2:
        raise ValueError(f"{path} holds {values.shape}: numbers of objects are one grey picture")
    if not np.isfinite(values).all() or (values < 0).any() or (values != np.rint(values)).any():
        raise ValueError(f"{path} holds values that are no numbers of objects: they must be whole, from 0 on")
    there, numbers = np.unique(values, return_inverse=True)  # some programs number far beyond the count
    return (numbers.reshape(values.shape) + bool(there[0])).astype(np.int32)


def border_weights(
    instances: NDArray[np.int32], w0: float = BORDER_WEIGHT, sigma: float = BORDER_SIGMA
) -> NDArray[np.float32]:
    """Return ``w0 exp(-(d1 + d2)^2 / (2 sigma^2))`` at each pixel (equation 2, without its weight of classes).

    ``d1`` and ``d2`` are the distances in pixels to the nearest and the second nearest object, 0 inside one; at
    four ``sigma`` from an object its part is under 0.0004 and left out.

    Args:
        instances: (H, W), a number for each object, 0 is background.
    """
    far = 1e6
    nearest = np.full(instances.shape, far, np.float32)
    second = nearest.copy()
    reach = math.ceil(4 * sigma)
    for number, box in enumerate(ndimage.find_objects(instances), 1):
        if box is None:
            continue
        near = tuple(slice(max(side.start - reach, 0), side.stop + reach) for side in box)
        distance = ndimage.distance_transform_edt(instances[near] != number).astype(np.float32)
        second[near] = np.minimum(second[near], np.maximum(nearest[near], distance))
        nearest[near] = np.minimum(nearest[near], distance)
    weights: NDArray[np.float32] = w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    return weights


def class_map(instances: Tensor) -> Tensor:
    """Return (H, W) classes of ``NUCLEI``: background, inside an object, on the line between two that touch.

    The line takes one pixel of each of two objects side by side, and the background between objects that are nearly so.
    """
    numbers = instances[None, None].float()
    line = torch.where(numbers > 0, _two_objects(numbers, 1), _two_objects(numbers, TOUCHING_GAP))
    return torch.where(line, 2, (numbers > 0).long())[0, 0]


def _two_objects(numbers: Tensor, radius: int) -> Tensor:
    """Whether there are two objects in the square around each pixel of (1, 1, H, W) numbers."""
    side = 2 * radius + 1
    largest = nn.functional.max_pool2d(numbers, side, 1, radius)
    smallest = -nn.functional.max_pool2d(torch.where(numbers > 0, -numbers, -math.inf), side, 1, radius)
    return (largest > 0) & (smallest < largest)


def elastic_field(
    size: int, rng: np.random.Generator, deviation: float = ELASTIC_DEVIATION, cells: int = 3
) -> NDArray[np.float32]:
    """Return smooth random displacements (2, size, size) in pixels, of rows and of columns (section 3.1).

    Those of a coarse grid of 3 x 3 ``cells`` are drawn from a Gaussian; bicubic interpolation gives those of the pixels.
    """
    coarse = torch.from_numpy(rng.normal(0, deviation, (1, 2, cells, cells)).astype(np.float32))
    field = nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)
    displacements: NDArray[np.float32] = field[0].numpy()
    return displacements


@dataclass(frozen=True)
class Sample:
    """A picture in memory with what is learned from it."""

    pixels: Tensor
    """(3, H, W) uint8, contrast stretched."""
    grey: bool
    instances: Tensor
    """(H, W) int32."""
    weights: Tensor
    """(H, W) float16: ``border_weights``."""

    @classmethod
    def of(cls, photo: Image.Image, instances: NDArray[np.int32]) -> "Sample":
        """Return the sample of a picture and the numbers of its objects."""
        values = np.array(photo)
        stretched = stretch_contrast(torch.from_numpy(values), contrast_range(values))
        grey = bool((values == values[..., :1]).all())
        pixels = stretched.round().to(torch.uint8).permute(2, 0, 1).contiguous()
        return cls(pixels, grey, torch.from_numpy(instances), torch.from_numpy(border_weights(instances)).half())


@dataclass(frozen=True)
class Varied:
    """How pictures are varied for training."""

    crop: int = 256
    """Pixels."""
    elastic: bool = True
    """Whether crops are deformed (section 3.1)."""
    weighted: bool = True
    """Whether borders weigh more (equation 2)."""


def draw(sample: Sample, rng: np.random.Generator, varied: Varied) -> tuple[Tensor, Tensor, Tensor]:
    """Return a random crop: (3, crop, crop) pixels from 0 to 1, its (crop, crop) classes and the weights of its pixels.

    It is scaled by 0.64 to 1.57, turned, mirrored and deformed; beyond the picture's edge it goes on as in a mirror.
    """
    grid = _grid(sample, rng, varied)
    planes = torch.cat([sample.pixels / 255, sample.weights.float()[None]])
    warped = warp(planes, grid, "bilinear")
    numbers = warp(sample.instances.float()[None], grid, "nearest")[0]
    weights = 1 + warped[3] if varied.weighted else torch.ones_like(warped[3])
    return _recoloured(warped[:3], sample.grey, rng), class_map(numbers), weights


def warp(planes: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Return (C, h, w): ``planes``, (C, H, W), where ``grid`` says; beyond the edge they go on as in a mirror."""
    return nn.functional.grid_sample(planes[None], grid, mode, padding_mode="reflection", align_corners=False)[0]


def _grid(sample: Sample, rng: np.random.Generator, varied: Varied) -> Tensor:
    """Where in the picture each pixel of the crop is taken from: (1, crop, crop, 2), x and y, -1 to 1 edge to edge."""
    height, width = sample.instances.shape
    scale = math.exp(rng.uniform(-0.45, 0.45))
    angle = rng.uniform(0, 2 * math.pi) if rng.random() < 0.5 else math.pi / 2 * rng.integers(4)
    stretches = [scale * math.exp(rng.uniform(-0.1, 0.1)) * rng.choice([-1, 1]) for _ in "yx"]
    offsets = torch.arange(varied.crop) + 0.5 - varied.crop / 2
    y, x = torch.meshgrid(offsets, offsets, indexing="ij")
    if varied.elastic:
        down, right = elastic_field(varied.crop, rng)
        y, x = y + torch.from_numpy(down), x + torch.from_numpy(right)
    y, x = y / stretches[0], x / stretches[1]
    cosine, sine = math.cos(angle), math.sin(angle)
    middle = [_middle(side, varied.crop / 2 / scale, rng) for side in (height, width)]
    rows, columns = cosine * y - sine * x + middle[0], sine * y + cosine * x + middle[1]
    return sampling_grid(rows, columns, height, width)


def sampling_grid(rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    """Return the grid for ``warp``, (1, h, w, 2), of places in a picture of (height, width) pixels.

    ``rows`` and ``columns`` are (h, w), in pixels from the picture's edge: the middle of the first pixel lies at 0.5.
    """
    return torch.stack([columns * 2 / width - 1, rows * 2 / height - 1], -1)[None].float()


def _middle(side: int, half: float, rng: np.random.Generator) -> float:
    """Where the middle of a crop lies along one side of a picture, so that all of it is drawn about as often."""
    return float(rng.uniform(min(half, side / 2) - 8, max(side - half, side / 2) + 8))


def _recoloured(pixels: Tensor, grey: bool, rng: np.random.Generator) -> Tensor:
    """Other exposure, contrast, colours, sharpness and noise. Stained tissue is dark on bright: some crops are inverted."""
    if grey and rng.random() < 0.12:  # a dye's colour, as many programs save it
        colour = rng.uniform(0, 1, 3).astype(np.float32)
        pixels = pixels * torch.from_numpy(colour / colour.max())[:, None, None]
    elif not grey and rng.random() < 0.2:
        pixels = pixels.mean(0, keepdim=True).expand(3, -1, -1)
    elif not grey and rng.random() < 0.4:
        pixels = pixels[torch.from_numpy(rng.permutation(3))]
    low, high = rng.normal(0, 0.04), 1 + rng.normal(0, 0.12)
    pixels = ((pixels - low) / max(high - low, 0.5)).clamp(0, 1) ** math.exp(rng.normal(0, 0.3))
    if rng.random() < 0.1:
        pixels = 1 - pixels
    if rng.random() < 0.15:
        pixels = torch.from_numpy(ndimage.gaussian_filter(pixels.numpy(), (0, *[rng.uniform(0.5, 1.3)] * 2)))
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(0, 0.06), (1 if grey else 3, *pixels.shape[1:])).astype(np.float32)
        pixels = (pixels + torch.from_numpy(noise)).clamp(0, 1)
    return pixels


def how_often(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Return the probability with which each picture is drawn: larger ones more, by the square root of their pixels."""
    sides = np.sqrt([sample.instances.numel() for sample in samples])
    chances: NDArray[np.float64] = sides / sides.sum()
    return chances
