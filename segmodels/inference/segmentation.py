"""What a network makes of a photo: the features half-way, the segmentation at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..networks.layers import Grid
from ..speed.fused import Products
from .label_map import Corners


@dataclass(frozen=True)
class Features:
    """What the backbone saw of one photo: everything a decoder needs, whatever its settings."""

    maps: Sequence[Tensor]
    """Feature maps from fine to coarse, (1, C, h, w)."""
    photo_size: tuple[int, int]
    """(width, height) of the photo in pixels."""
    working_size: tuple[int, int]
    """(width, height) at which the network saw it."""
    output_stride: int
    milliseconds: float
    backbone: str
    """The hash of the backbone's weights: only a decoder that goes with it can read the maps."""
    grid: Grid = "centre"
    """Where the cells of the maps, and of the logits made of them, lie."""
    products: Products = field(default_factory=Products, init=False, repr=False, compare=False)
    """What a decoder has made of the maps and will need again at another rate."""

    @property
    def nbytes(self) -> int:
        """What the maps take, with all that is remembered of them."""
        return sum(map_.nbytes for map_ in self.maps) + self.products.nbytes

    @property
    def corners(self) -> Corners | None:
        """For ``label_map``: (height, width) of the network's input, if cells lie on its corners."""
        return self.working_size[::-1] if self.grid == "corner" else None


@dataclass(frozen=True)
class Segmentation:
    """The label map of a photo and what is known about how it came about."""

    labels: NDArray[np.uint8]
    """(H, W), an index into ``classes``, at the photo's own size."""
    classes: tuple[str, ...]
    model: str
    atrous_rate: int | None
    """None for a network without an ASPP."""
    output_stride: int | None
    """None for a network whose stride cannot be chosen."""
    working_size: tuple[int, int]
    """(width, height) in pixels at which the network saw the photo."""
    precision: str
    milliseconds: dict[str, float]
    """``encode``, ``decode`` and ``total``, which also has the resizing at both ends."""
    confidence: dict[str, float]
    """Mean probability of each class found, over the cells of the logits that were given it."""
    notes: tuple[str, ...] = ()
    """Sentences about settings that differ from those the weights were trained with."""
    shares: dict[str, float] = field(init=False)
    """Part of the photo that each class found covers, largest first; they sum to 1."""

    def __post_init__(self) -> None:
        shares, left = {}, self.labels.size
        for name in dict.fromkeys((*self.confidence, *self.classes)):  # those that won somewhere first
            if not left:
                break
            if count := int(np.count_nonzero(self.labels == self.classes.index(name))):
                shares[name] = count / self.labels.size
                left -= count
        object.__setattr__(self, "shares", dict(sorted(shares.items(), key=lambda item: -item[1])))

    def report(self, file: str | None = None, outputs: dict[str, str] | None = None) -> dict[str, Any]:
        """The result as JSON: what ``segment --json`` prints and what the page's ``/segment`` answers."""
        height, width = self.labels.shape
        return {
            "file": file,
            "model": self.model,
            "atrous_rate": self.atrous_rate,
            "output_stride": self.output_stride,
            "size": [width, height],
            "working_size": list(self.working_size),
            "precision": self.precision,
            "classes": {name: round(share, 6) for name, share in self.shares.items()},
            "confidence": {name: round(value, 4) for name, value in self.confidence.items()},
            "milliseconds": {name: round(value, 1) for name, value in self.milliseconds.items()},
            "notes": list(self.notes),
            "outputs": outputs or {},
        }
