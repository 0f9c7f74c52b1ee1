"""A card holds the facts about one network: what it is, where its weights are, how they score."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ..checkpoints.download import FetchError, Progress, cached_file
from ..checkpoints.metadata import Metadata
from ..checkpoints.paths import WEIGHTS
from ..files import display_path
from ..labels import VOC, ClassList
from . import torchvision as published
from .base import SegmentationNetwork

Builder = Callable[[int], SegmentationNetwork]


@dataclass(frozen=True)
class Card:
    """The facts about one network. Sizes are in pixels."""

    name: str
    title: str
    summary: str
    """One sentence: what it is."""
    builder: Builder
    """Makes the bare network from a number of classes."""
    atrous_rate: int | None = None
    """The rate the weights were trained with (6 means 6, 12, 18); None where there is no ASPP."""
    output_stride: int = 32
    """The backbone's, as trained."""
    chooses_stride: bool = False
    """Whether it runs at other output strides too: the backbone can be dilated and the decoder does not mind."""
    class_list: ClassList = VOC
    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)
    """Subtracted from the pixels, 0 to 255, before the network sees them."""
    std: tuple[float, float, float] = (128.0, 128.0, 128.0)
    """Divides the pixels after that."""
    working_size: int = 512
    """The longer side at which the network sees a photo by default, a 4:3 one if ``short_side`` is set."""
    short_side: int | None = None
    """Where set, the shorter side of a photo is this by default, whatever its shape."""
    microscopy: bool = False
    """Whether it is for pictures from microscopes: seen at their own size, large ones in tiles, their contrast stretched."""
    published: bool = False
    """Whether torchvision publishes weights for it."""
    classifier: str | None = None
    """torchvision's classifier whose ImageNet weights training starts from."""
    variants: tuple[tuple[str, tuple[str, ...]], ...] = (("whole", ()),)
    """How the decoder can run, by name, with the parts (``models.ablation``) that are off; the first is the whole one."""
    network: str | None = None
    """For weights that know other classes, or are one's own: the network of the zoo that they are for."""
    file: Path | None = None
    sha256: str | None = None
    """For weights of one's own: where they are, and the hash of that file when this card was read from it."""
    origin: str | None = None
    """For weights of one's own: what they were trained on, and from."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, by index."""
        return self.class_list.names

    def metadata(
        self,
        start: str,
        data: Mapping[str, int],
        backbone: str | None = None,
        score_strides: tuple[int, ...] | None = None,
    ) -> Metadata:
        """Return what a file of weights trained with these facts says of itself.

        Args:
            start: what the training started from.
            data: the folders it was trained on, and how many photos of each.
            backbone: for a decoder alone, the ``backbone_hash`` of the backbone it was trained on.
            score_strides: for layers that were fitted to strokes, the strides of the feature maps that they score.
        """
        return Metadata(
            network=self.network or self.name,
            class_list=self.class_list,
            atrous_rate=self.atrous_rate,
            output_stride=self.output_stride,
            mean=self.mean,
            std=self.std,
            working_size=self.working_size,
            short_side=self.short_side,
            start=start,
            data=data,
            backbone=backbone,
            score_strides=score_strides,
            microscopy=self.microscopy,
        )

    def disabled_by(self, variant: str | None) -> tuple[str, ...]:
        """Return the parts that are off in the ``variant`` of that name: none in the whole network, or for another name."""
        return dict(self.variants).get(variant or "", ())

    def weights_file(self, progress: Progress | None = None) -> Path:
        """Return the path of the weights, which are downloaded into torch's hub cache if they are published and not
        there yet.

        Args:
            progress: called with the bytes received so far and the total; without it, a terminal shows a progress bar.

        Raises:
            ValueError: if this network has no trained weights.
            FetchError: if published weights cannot be downloaded. It is a ValueError, and its message says what to do.
        """
        if self.file is not None:
            return self.file
        if self.source is None:
            raise ValueError(
                f"{self.name} has no trained weights, so it can be built and trained but not used on photos; "
                f"choose one of {', '.join(bundled_names())}, or pass a weights file"
            )
        if self.source == "bundled":
            return WEIGHTS / f"{self.name}.safetensors"
        try:
            return published.weights_file(self.name, progress)
        except FetchError as error:
            raise FetchError(self._what_to_do(error)) from error

    def _what_to_do(self, error: FetchError) -> str:
        url = published.url(self.name)
        return (
            f"the weights of {self.name} ({self.measured['megabytes']:.0f} MB) are fetched on first use, but {error}; "
            f"choose a bundled network ({', '.join(bundled_names())}), or fetch {url} elsewhere and put it into "
            f"{display_path(cached_file(url).parent)}"
        )

    @property
    def source(self) -> Literal["bundled", "published", "own"] | None:
        """Where trained weights come from: this repository, torchvision, a file of your own, or None if there are
        none.
        """
        if self.file is not None:
            return "own"
        if self.published:
            return "published"
        return "bundled" if (WEIGHTS / f"{self.name}.json").is_file() else None  # though its weights may be missing

    @property
    def trained(self) -> bool:
        """Whether there are weights to segment with."""
        return self.source is not None

    @property
    def at_hand(self) -> bool:
        """Whether the weights are on this machine, so that no download is needed."""
        return self.trained and (not self.published or cached_file(published.url(self.name)).is_file())

    @property
    def measured(self) -> dict[str, Any]:
        """What was measured of the weights: ``training``, ``scores``, ``licence``, ``limits`` and more.

        Bundled weights have everything that ``tools/weights/cards.py`` measured, ``sha256`` included. Published weights
        have what torchvision states, such as ``url`` and ``megabytes``, without the ``iou`` of single classes. It is
        empty for a network without trained weights.
        """
        if self.source in (None, "own"):
            return {}
        return published.facts(self.name) if self.published else measured_facts(self.name)


@cache
def measured_facts(name: str) -> dict[str, Any]:
    """Return what was measured of a bundled network's weights, as ``tools.weights.cards`` wrote it."""
    facts: dict[str, Any] = json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))
    return facts


def bundled_names() -> list[str]:
    """Return the names of the networks whose weights, and what was measured of them, are in this repository."""
    return sorted(file.stem for file in WEIGHTS.glob("*.safetensors") if file.with_suffix(".json").is_file())
