"""Photo in, segmentation out."""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ..checkpoints.metadata import backbone_hash
from ..crf.parameters import CRF, chosen_crf
from ..kernels.device import best_device, synchronise
from ..kernels.fused import caching_products
from ..kernels.precision import best_precision, optimise
from ..kernels.threads import threads_for_pass
from ..models.ablation import disabled_parts
from ..models.base import SegmentationNetwork, configure
from ..models.card import Card
from . import certainty
from .contrast import contrast_range, stretch_contrast
from .crf_label_map import CRFAnswer
from .exclusive_lock import ExclusiveLock
from .label_map import argmax_classes, label_map, mean_confidence
from .photo import Photo as FilePhoto
from .photo import Shown, as_photo, read_photo
from .result import Features, Segmentation
from .settings import check_settings
from .sizes import LARGEST_WHOLE, network_input_size, resize_photo
from .tiles import OVERLAP, TILE, Pixels, Progress, segment_tiles

Photo = Image.Image | NDArray[np.uint8]
"""A PIL image or an (H, W, 3) array."""


class Segmenter:
    """A network with trained weights, ready for photos.

    ``encode`` is the expensive half and ``decode`` the cheap one: to try another atrous rate on the same photo, keep the
    features and decode again. One Segmenter may be used from several threads; they take turns. It has a network of its
    own, a copy of the one it is given, which others reach through ``exclusive`` alone.
    """

    def __init__(
        self,
        network: nn.Module,
        card: Card,
        device: str | torch.device | None = None,
        precision: str | None = None,
        *,
        base: "Segmenter | None" = None,
    ) -> None:
        """Take a copy of a network; or a decoder, and the backbone of ``base``.

        Args:
            network: with trained weights; with ``base`` a decoder alone, on its device and in its precision.
            card: the facts about it.
            device: as torch calls it; the machine's best if None.
            precision: float32, bfloat16 or float16; what suits the device if None.
            base: a Segmenter that shares its backbone, device, precision and lock with this one.
        """
        self.card = card
        if base is None:
            self.device = torch.device(device) if device else best_device()
            self.precision = precision or best_precision(self.device)
            self._backbone = backbone_hash(network.state_dict())
            self._network = optimise(cast("SegmentationNetwork", network), self.device, self.precision)
            self._lock = ExclusiveLock()
        else:
            self.device, self.precision = base.device, base.precision
            self._backbone, self._lock = base._backbone, base._lock
            self._network = SegmentationNetwork(base._network.backbone, network)

    @property
    def dtype(self) -> torch.dtype:
        """The precision, as torch calls it."""
        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype

    @property
    def display_range(self) -> Shown:
        """How this network is to be shown pictures of more than eight bits: see ``read_photo``."""
        return "percentiles" if self.card.microscopy else None

    def read_photo(self, path: str | Path, **place: int) -> FilePhoto:
        """Read a file as ``segmodels.read_photo`` does, but as this network is to see it.

        A network for microscopy sees the picture's own values. The brightness and contrast that a program saved in the file
        would clip some of them, and areas would change with it.

        >>> segmenter(segmenter.read_photo("cells.tif", channel=2, z=8).image)

        Raises:
            PhotoError: as ``segmodels.read_photo``.
        """
        return read_photo(path, display_range=self.display_range, **place)

    @overload
    def __call__(
        self,
        photo: Photo,
        atrous_rate: int | None = None,
        output_stride: int | None = None,
        working_size: int | None = None,
        probabilities: bool = False,
        crf: CRF | bool | None = None,
    ) -> Segmentation: ...

    @overload
    def __call__(
        self,
        photo: Sequence[Photo],
        atrous_rate: int | None = None,
        output_stride: int | None = None,
        working_size: int | None = None,
        probabilities: bool = False,
        crf: CRF | bool | None = None,
    ) -> list[Segmentation]: ...

    def __call__(
        self,
        photo: Photo | Sequence[Photo],
        atrous_rate: int | None = None,
        output_stride: int | None = None,
        working_size: int | None = None,
        probabilities: bool = False,
        crf: CRF | bool | None = None,
    ) -> Segmentation | list[Segmentation]:
        """Segment a PIL image or an (H, W, 3) uint8 array; of a list or a tuple of photos, each, in their order.

        Args:
            atrous_rate: ``r`` for the ASPP rates (r, 2r, 3r); the trained field of view if None. For a network that
                has an ASPP.
            output_stride: 8, 16 or 32; the trained one if None. For a network whose backbone can be dilated.
            working_size: the longer side, in pixels, at which the network sees the photo; as on the card if None.
            probabilities: whether the result has the probabilities of all classes too.
            crf: the fully connected CRF, which moves edges to where the photo's colours change: True for its usual
                parameters, or a ``CRF`` of others. Without it the labels are the network's own.

        Raises:
            ValueError: for a setting that the network does not have or that is out of range, and for an array of
                another shape or type; of several photos, before any is segmented.
        """
        check_settings(self.card, atrous_rate, output_stride, working_size)
        crf = chosen_crf(crf)
        if isinstance(photo, list | tuple):
            images = [as_photo(each) for each in photo]
            return [self(each, atrous_rate, output_stride, working_size, probabilities, crf) for each in images]
        image = as_photo(cast("Photo", photo))
        large = self.card.microscopy and working_size is None and max(image.size) > LARGEST_WHOLE
        if large and not probabilities and crf is None:
            return self.in_tiles(np.asarray(image))
        features = self.encode(image, output_stride, working_size)
        return self.decode(features, atrous_rate, None, probabilities, crf, image)

    def in_tiles(
        self, picture: Pixels, tile: int = TILE, progress: Progress | None = None, overlap: int = OVERLAP
    ) -> Segmentation:
        """Segment a picture from a microscope at its own size, however large, in overlapping tiles.

        A call does so by itself where the picture is larger than 1024 pixels. Away from its borders the answer is the same
        as that of the whole picture at once; beyond the borders, tiles see the picture mirrored.

        Args:
            picture: (H, W) grey or (H, W, 3) RGB of any type of numbers; it may be a memory map.
            tile: the side of the tiles in pixels, a multiple of 16.
            progress: called after each tile with the number that are done and the number of all.
            overlap: pixels around a tile that the network sees too, a multiple of 16; with fewer there are seams.

        Raises:
            ValueError: for a network that is not for pictures from microscopes, or a picture, tile or overlap of another kind.
        """
        if not self.card.microscopy:
            raise ValueError(f"{self.card.name} sees a photo as a whole: only networks for microscopy work in tiles")
        started = time.perf_counter()
        tiled = segment_tiles(self._logits_of_pixels, picture, tile, progress, overlap)
        milliseconds = 1000 * (time.perf_counter() - started)
        sure = {
            name: value for name, value in zip(self.card.classes, tiled.confidence, strict=True) if value is not None
        }
        return Segmentation(
            labels=tiled.labels,
            class_list=self.card.class_list,
            model=self.card.name,
            atrous_rate=None,
            output_stride=None,
            working_size=tiled.labels.shape[::-1],
            precision=self.precision,
            milliseconds={"encode": milliseconds, "decode": 0.0, "resize": 0.0, "total": milliseconds},
            confidence=dict(sorted(sure.items(), key=lambda item: -item[1])),
        )

    def _logits_of_pixels(self, pixels: Tensor) -> Tensor:
        """(C, H, W) logits of (H, W, 3) pixels, as they are."""
        x = self._to_device(self._normalised(pixels))
        with self.exclusive() as network, torch.inference_mode():
            logits: Tensor = network(x)[0].float().cpu()
        return logits

    def encode(
        self,
        photo: Photo,
        output_stride: int | None = None,
        working_size: int | None = None,
    ) -> Features:
        """Run the backbone. Arguments and errors as in a call."""
        stride = check_settings(self.card, None, output_stride, working_size).output_stride
        image = as_photo(photo)
        small = resize_photo(image, self.input_size(image.size, working_size))
        pixels = self._as_seen(small, image)
        with self.exclusive(output_stride=output_stride) as network, torch.inference_mode():
            started = time.perf_counter()
            maps = network.encode(pixels)
            synchronise(self.device)
            milliseconds = 1000 * (time.perf_counter() - started)
        size = (pixels.shape[-1], pixels.shape[-2])
        align_corners = self._network.align_corners
        return Features(maps, image.size, size, stride, milliseconds, self._backbone, align_corners, small)

    def pixels(self, photo: Photo, working_size: int | None = None) -> Tensor:
        """A photo as the network takes it: (1, 3, H, W), resized and normalised. Arguments and errors as in a call."""
        check_settings(self.card, working_size=working_size)
        image = as_photo(photo)
        return self._as_seen(resize_photo(image, self.input_size(image.size, working_size)), image)

    def _as_seen(self, small: Tensor, photo: Image.Image) -> Tensor:
        """(H, W, 3) pixels of a photo at the size at which it is seen, as the network takes them."""
        if self.card.microscopy:
            small = stretch_contrast(small, contrast_range(np.asarray(photo)))
        return self._to_device(self._normalised(small))

    def input_size(self, size: tuple[int, int], working_size: int | None = None) -> tuple[int, int]:
        """The (width, height) at which the network sees a photo of ``size`` (width, height)."""
        return network_input_size(self.card, self._network.align_corners, size, working_size)

    def decode(
        self,
        features: Features,
        atrous_rate: int | None = None,
        size: tuple[int, int] | None = None,
        probabilities: bool = False,
        crf: CRF | bool | None = None,
        photo: Photo | None = None,
        disabled: Collection[str] = (),
    ) -> Segmentation:
        """Run the decoder on features from ``encode``. Arguments and errors as in a call.

        ``size`` is the (width, height) of the label map, the photo's own if None. ``photo`` is the photo again, for edges of
        its own pixels by the CRF; without it they are those of the photo at the working size. ``disabled`` names the
        ``parts`` of the network to switch off: FCN without "score 8" is FCN-16s, without "score 16" too it is FCN-32s.

        Raises:
            ValueError: also for features of another backbone, or at an output stride that the decoder cannot have.
        """
        rate, crf = self._rate(features, atrous_rate), chosen_crf(crf)
        logits, milliseconds = self._scores(features, rate, disabled)
        started = time.perf_counter()
        size = size or features.photo_size
        answer = None
        if crf is None:
            winners = argmax_classes(logits)
            labels = label_map(logits, size[::-1], winners, features.aligned_size)
            confidence = mean_confidence(logits, self.card.classes, winners)
        else:
            answer = CRFAnswer.of(logits, features.sampled(crf), crf, features.aligned_size)
            labels = answer.label_map(size[::-1], _photo_at(size, features, photo))
            confidence = answer.confidence(self.card.classes)
        last = {"resize" if crf is None else "crf": 1000 * (time.perf_counter() - started)}
        times = {"encode": features.milliseconds, "decode": milliseconds, **last}
        return Segmentation(
            labels=labels,
            class_list=self.card.class_list,
            model=self.card.name,
            atrous_rate=rate,
            output_stride=features.output_stride if self.card.chooses_stride else None,
            working_size=features.working_size,
            precision=self.precision,
            milliseconds=times | {"total": sum(times.values())},
            confidence=confidence,
            notes=(*self._notes(rate, features.output_stride), *(f"Without {part}." for part in disabled)),
            probabilities=self._probabilities(logits, features, answer) if probabilities else None,
            crf=crf,
        )

    def logits(self, features: Features, atrous_rate: int | None = None, disabled: Collection[str] = ()) -> Tensor:
        """The decoder's scores, float32 (num_classes, h, w) at its own stride, where ``decode`` has the label map.

        ``disabled`` names the ``parts`` of the network to switch off. Arguments and errors else as in ``decode``.

        Raises:
            ValueError: also for a name that is no part of the network.
        """
        return self._scores(features, self._rate(features, atrous_rate), disabled)[0]

    @contextmanager
    def exclusive(
        self, atrous_rate: int | None = None, output_stride: int | None = None, disabled: Collection[str] = ()
    ) -> Iterator[SegmentationNetwork]:
        """The network for this thread alone, at these settings and without the parts ``disabled``; all others wait meanwhile.

        This is the only way to the network, for the methods here too. What is handed out must not be used, nor anything
        of it, after the ``with`` block. Features go in as ``feature_maps`` gives them. Arguments and errors as in ``logits``.

        Raises:
            RuntimeError: if this thread holds the network already: it would wait for itself.
        """
        settings = check_settings(self.card, atrous_rate, output_stride)
        with self._lock.held():
            configure(self._network, settings.atrous_rate, settings.output_stride)
            with disabled_parts(self._network, disabled), threads_for_pass():
                yield self._network

    def feature_maps(self, features: Features) -> list[Tensor]:
        """The maps of ``features`` as the network takes them: on its device and in its precision.

        Raises:
            ValueError: for features of another backbone, or at an output stride that the decoder cannot have.
        """
        if features.backbone != self._backbone:
            raise ValueError(
                f"these features are another network's: {self.card.name} decodes those of its own backbone alone"
            )
        if not self.card.chooses_stride and features.output_stride != self.card.output_stride:
            raise ValueError(
                f"these features end at stride {features.output_stride}, and {self.card.name} decodes those at "
                f"{self.card.output_stride}: encode the photo at {self.card.output_stride}"
            )
        return [self._to_device(map_) for map_ in features.maps]

    @property
    def nbytes(self) -> int:
        """What the weights take."""
        return sum(weight.nbytes for weight in self._network.parameters())

    def _rate(self, features: Features, atrous_rate: int | None) -> int | None:
        stride = features.output_stride if self.card.chooses_stride else None
        return check_settings(self.card, atrous_rate, stride).atrous_rate

    def _scores(self, features: Features, rate: int | None, disabled: Collection[str] = ()) -> tuple[Tensor, float]:
        """The logits in float32 and in the processor's memory, and how many milliseconds they took."""
        maps = self.feature_maps(features)
        stride = features.output_stride if self.card.chooses_stride else None
        with (
            caching_products(features.products),
            self.exclusive(rate, stride, disabled) as network,
            torch.inference_mode(),
        ):
            started = time.perf_counter()
            logits = network.decode(maps)[0].contiguous().float().cpu()
            return logits, 1000 * (time.perf_counter() - started)

    def _probabilities(self, logits: Tensor, features: Features, answer: CRFAnswer | None) -> NDArray[np.float32]:
        if answer is not None and features.pixels is not None:
            return answer.probabilities(len(self.card.classes), features.pixels).numpy()
        width, height = features.working_size
        return certainty.probabilities(logits, (height, width), features.aligned_size).numpy()

    def _to_device(self, tensor: Tensor) -> Tensor:
        """On the network's device and in its precision: the one way in. The way out is in ``_scores``."""
        return tensor.to(self.device, self.dtype)

    def _normalised(self, pixels: Tensor) -> Tensor:
        """(H, W, 3) pixels as the (1, 3, H, W) input of the network."""
        height, width, _ = pixels.shape
        # Row by row: torch is slow at arithmetic with something as short as three numbers.
        rows = pixels.reshape(height, width * 3).to(torch.float32, copy=True)
        rows.sub_(torch.tensor(self.card.mean * width))
        rows.div_(torch.tensor(self.card.std * width))
        return rows.view(1, height, width, 3).permute(0, 3, 1, 2)

    def _notes(self, rate: int | None, stride: int) -> tuple[str, ...]:
        trained_rate, trained_stride = self.card.atrous_rate, self.card.output_stride
        if (rate, stride) == (trained_rate, trained_stride):
            return ()
        if rate is None or trained_rate is None:
            return (
                f"The weights were trained at output stride {trained_stride}; this ran at {stride}, "
                "so the mask may be poorer.",
            )
        sentence = (
            f"The weights were trained at atrous rate {trained_rate} and output stride {trained_stride}; "
            f"this ran at {rate} and {stride}"
        )
        if rate * stride == trained_rate * trained_stride:
            return (f"{sentence}, which covers the same field of view.",)
        return (f"{sentence}, so the mask may be poorer.",)


def _photo_at(size: tuple[int, int], features: Features, photo: Photo | None) -> Image.Image:
    """The photo at ``size`` (width, height): from itself, or from what the network saw of it."""
    assert features.pixels is not None
    image = Image.fromarray(features.pixels.numpy()) if photo is None else as_photo(photo)
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)
