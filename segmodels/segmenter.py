"""Photo in, segmentation out."""

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .inference.label_map import best_cells, label_map, mean_confidence
from .inference.photo import as_photo
from .insight.parts import without
from .networks.backbones import OUTPUT_STRIDES
from .networks.network import SegmentationNetwork
from .networks.pooling import ASPP
from .speed.precision import best_precision, optimise
from .zoo import Card

LARGEST_ATROUS_RATE = 64
"""Beyond this every outer tap of every branch is off the map at any working size: the network no longer changes."""

WORKING_SIZES = (64, 2048)
"""The least and the largest working size, in pixels of the longer side."""

REDUCING_GAP = 2.0
"""A photo is first reduced, by averaging whole pixels, to no less than this many times the size it is wanted at."""


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


class Segmenter:
    """A network with trained weights, ready for photos.

    ``encode`` is the expensive half and ``decode`` the cheap one: to try another atrous rate on the same photo, keep the
    features and decode again. One Segmenter may be used from several threads; they take turns.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        card: Card,
        device: str | torch.device | None = None,
        precision: str | None = None,
    ) -> None:
        self.card = card
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.precision = precision or best_precision(self.device)
        self.network = optimise(network, self.device, self.precision)
        self._dtype = getattr(torch, self.precision)
        self._turn = threading.Lock()

    def __call__(
        self,
        photo: Image.Image | NDArray[np.uint8],
        atrous_rate: int | None = None,
        output_stride: int | None = None,
        working_size: int | None = None,
    ) -> Segmentation:
        """Segment a PIL image or an (H, W, 3) uint8 array.

        Args:
            atrous_rate: ``r`` for the ASPP rates (r, 2r, 3r); the trained field of view if None. DeepLab only.
            output_stride: 8, 16 or 32; the trained one if None. DeepLab only.
            working_size: the longer side, in pixels, at which the network sees the photo; as on the card if None.

        Raises:
            ValueError: for a setting that the network does not have or that is out of range, and for an array of
                another shape or type.
        """
        check_settings(self.card, atrous_rate, output_stride, working_size)
        return self.decode(self.encode(photo, output_stride, working_size), atrous_rate)

    def encode(
        self,
        photo: Image.Image | NDArray[np.uint8],
        output_stride: int | None = None,
        working_size: int | None = None,
    ) -> Features:
        """Run the backbone. Arguments and errors as in a call."""
        check_settings(self.card, None, output_stride, working_size)
        image = as_photo(photo)
        pixels = self.pixels(image, working_size)
        stride = output_stride or self.card.output_stride
        with self._turn, torch.inference_mode():
            started = time.perf_counter()
            self._set_stride(stride)
            maps = self.network.encode(pixels)
            self._wait()
            milliseconds = 1000 * (time.perf_counter() - started)
        return Features(maps, image.size, (pixels.shape[-1], pixels.shape[-2]), stride, milliseconds)

    def pixels(self, photo: Image.Image | NDArray[np.uint8], working_size: int | None = None) -> Tensor:
        """A photo as the network takes it: (1, 3, H, W), resized and normalised. Arguments and errors as in a call."""
        check_settings(self.card, working_size=working_size)
        image = as_photo(photo)
        return self._normalised(resized(image, self.input_size(image.size, working_size)))

    def input_size(self, size: tuple[int, int], working_size: int | None = None) -> tuple[int, int]:
        """The (width, height) at which the network sees a photo of ``size`` (width, height)."""
        if working_size is None and self.card.short_side:
            return fit_short_side(size, self.card.short_side)
        return fit_working_size(size, working_size or self.card.working_size)

    def decode(
        self, features: Features, atrous_rate: int | None = None, size: tuple[int, int] | None = None
    ) -> Segmentation:
        """Run the decoder on features from ``encode`` of the same network. Arguments and errors as in a call.

        ``size`` is the (width, height) of the label map, the photo's own if None.
        """
        check_settings(self.card, atrous_rate)
        rate = atrous_rate or self.fitting_rate(features.output_stride)
        with self._turn, torch.inference_mode():
            started = time.perf_counter()
            logits = self._logits(features, rate)
            self._wait()
            decoded = time.perf_counter()
            width, height = size or features.photo_size
            winners = best_cells(logits)
            labels = label_map(logits, (height, width), winners)
            confidence = mean_confidence(logits, self.card.classes, winners)
            finished = time.perf_counter()
        milliseconds = {
            "encode": features.milliseconds,
            "decode": 1000 * (decoded - started),
            "resize": 1000 * (finished - decoded),
        }
        milliseconds["total"] = sum(milliseconds.values())
        return Segmentation(
            labels=labels,
            classes=self.card.classes,
            model=self.card.name,
            atrous_rate=rate,
            output_stride=None if rate is None else features.output_stride,
            working_size=features.working_size,
            precision=self.precision,
            milliseconds=milliseconds,
            confidence=confidence,
            notes=self._notes(rate, features.output_stride),
        )

    def logits(self, features: Features, atrous_rate: int | None = None, off: Collection[str] = ()) -> Tensor:
        """The decoder's scores, float32 (num_classes, h, w) at its own stride, where ``decode`` has the label map.

        ``off`` names the ``parts`` of the network to switch off. Arguments and errors else as in a call.

        Raises:
            ValueError: also for a name that is no part of the network.
        """
        check_settings(self.card, atrous_rate)
        with self._turn, torch.inference_mode(), without(self.network, off):
            return self._logits(features, atrous_rate or self.fitting_rate(features.output_stride))

    @contextmanager
    def turn(self, atrous_rate: int | None = None, output_stride: int | None = None) -> Iterator[SegmentationNetwork]:
        """The network for oneself, at these settings, to look into it; all others wait meanwhile.

        Arguments and errors as in a call.
        """
        check_settings(self.card, atrous_rate, output_stride)
        stride = output_stride or self.card.output_stride
        with self._turn:
            self._set_stride(stride)
            self._set_rate(atrous_rate or self.fitting_rate(stride))
            yield self.network

    def _logits(self, features: Features, rate: int | None) -> Tensor:
        self._set_rate(rate)
        return self.network.decode(list(features.maps))[0].contiguous().float()

    def _set_stride(self, stride: int) -> None:
        if self.network.backbone.output_stride != stride:
            self.network.backbone.set_output_stride(stride)

    def _set_rate(self, rate: int | None) -> None:
        if rate is not None:
            set_atrous_rate(self.network, rate)

    def fitting_rate(self, output_stride: int) -> int | None:
        """The atrous rate that covers, at ``output_stride``, the same field of the photo as the trained one did at its own."""
        return fitting_rate(self.card, output_stride)

    def _normalised(self, pixels: Tensor) -> Tensor:
        """(H, W, 3) pixels as the (1, 3, H, W) input of the network."""
        height, width, _ = pixels.shape
        # Row by row: torch is slow at arithmetic with something as short as three numbers.
        rows = pixels.to(self.device).reshape(height, width * 3).float()
        rows.sub_(torch.tensor(self.card.mean * width, device=self.device))
        rows.div_(torch.tensor(self.card.std * width, device=self.device))
        return rows.to(self._dtype).view(1, height, width, 3).permute(0, 3, 1, 2)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _notes(self, rate: int | None, stride: int) -> tuple[str, ...]:
        trained_rate, trained_stride = self.card.atrous_rate, self.card.output_stride
        if trained_rate is None or rate is None or (rate, stride) == (trained_rate, trained_stride):
            return ()
        sentence = (
            f"The weights were trained at atrous rate {trained_rate} and output stride {trained_stride}; "
            f"this ran at {rate} and {stride}"
        )
        if rate * stride == trained_rate * trained_stride:
            return (f"{sentence}, which covers the same field of view.",)
        return (f"{sentence}, so expect a poorer mask.",)


def fitting_rate(card: Card, output_stride: int) -> int | None:
    """The atrous rate that covers, at ``output_stride``, the same field of the photo as the trained one did at its own."""
    if card.atrous_rate is None:
        return None
    return max(card.atrous_rate * card.output_stride // output_stride, 1)


def set_atrous_rate(network: SegmentationNetwork, rate: int) -> None:
    """Set a DeepLab's ASPP to the rates (rate, 2 * rate, 3 * rate)."""
    aspp = network.decoder.aspp
    assert isinstance(aspp, ASPP)
    aspp.set_atrous_rates((rate, 2 * rate, 3 * rate))


def check_settings(
    card: Card, atrous_rate: int | None = None, output_stride: int | None = None, working_size: int | None = None
) -> None:
    """Raise ValueError, with a sentence that says why, for a setting that the network of ``card`` cannot have."""
    for name, value in (("atrous rate", atrous_rate), ("output stride", output_stride)):
        if value is not None and card.atrous_rate is None:
            raise ValueError(f"{card.name} has no {name}: only the DeepLabs have atrous convolutions, so leave it out")
    check_integer("the atrous rate", atrous_rate, 1, LARGEST_ATROUS_RATE)
    check_integer("the working size", working_size, *WORKING_SIZES)
    if output_stride is not None and (isinstance(output_stride, bool) or output_stride not in OUTPUT_STRIDES):
        raise ValueError(f"the output stride must be 8, 16 or 32, not {output_stride!r}")


def check_integer(name: str, value: int | None, least: int, most: int) -> None:
    """Raise ValueError unless ``value`` is None or a whole number from ``least`` to ``most``."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {value!r}")


def fit_working_size(size: tuple[int, int], working_size: int) -> tuple[int, int]:
    """(width, height) scaled so that the longer side is ``working_size``; neither side falls below 32 pixels."""
    scale = working_size / max(size)
    return max(round(size[0] * scale), 32), max(round(size[1] * scale), 32)


def fit_short_side(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """(width, height) scaled so that the shorter side is ``short_side``, rounded as by torchvision's ``Resize``.

    A photo so long that its longer side would exceed the largest working size gets that instead.
    """
    shorter, longer = min(size), max(size)
    fitted = short_side * longer // shorter
    if fitted > WORKING_SIZES[1]:
        return fit_working_size(size, WORKING_SIZES[1])
    return (fitted, short_side) if size[0] > size[1] else (short_side, fitted)


def resized(photo: Image.Image, size: tuple[int, int]) -> Tensor:
    """An RGB photo at ``size`` (width, height) as (H, W, 3) pixels, interpolated bilinearly with antialiasing.

    torch is three times as fast as Pillow and rounds one value in two thousand otherwise; but Pillow has the faster way
    with a photo that is many times larger, and needs no copy of it.
    """
    if min(photo.width / size[0], photo.height / size[1]) >= 2 * REDUCING_GAP:
        photo = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    pixels = torch.from_numpy(np.array(photo))
    if photo.size == size:
        return pixels
    channels_first = pixels.permute(2, 0, 1)[None]
    smaller = torch.nn.functional.interpolate(channels_first, size[::-1], mode="bilinear", antialias=True)
    return smaller[0].permute(1, 2, 0)
