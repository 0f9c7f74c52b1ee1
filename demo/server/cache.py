"""What the page remembers between two moves of a slider: loaded networks, photos at display size, features.

Everything is keyed by the upload's path, which contains a hash of its bytes, and by settings. It is shared by all visitors, so
a value depends on these alone, never on who asked. It is bounded, and the least recently used goes first.
"""

import asyncio
import contextlib
import functools
import mmap
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

import torch
from PIL import ExifTags, Image
from torch import Tensor

from segmodels import Features, Segmenter, load, read_photo
from segmodels.files import display_path
from segmodels.inference.photo import Photo, Shown
from segmodels.inference.reading.formats import DECODERS, HEAD_BYTES, kind_of
from segmodels.inference.settings import check_settings
from segmodels.inference.upright import TURNS
from segmodels.insight.cost import Cost, count
from segmodels.kernels import malloc
from segmodels.models import registry
from segmodels.models.base import configure
from segmodels.teaching.backbones import random_backbone
from segmodels.training import rates

from . import timeouts, weight_downloads

DISPLAY_SIDE = 960
"""The longer side, in pixels, at which pictures are drawn and sent: sharp on a phone, small enough to be quick."""

DISPLAY_BYTES = 64 * 2**20
"""What photos at display size may take together: some twenty-four that fill it, hundreds of small ones."""

FEATURE_BYTES = 256 * 2**20
"""What remembered features may take together: some eighty photos in the compact zoo, ten in the largest network,
and two where the products of its taps are kept as well."""

TRIM_SECONDS = 1
"""How often freed memory goes back to the system."""

V = TypeVar("V")


@contextlib.asynccontextmanager
async def trimmed() -> AsyncIterator[None]:
    """While the app runs, trim now and then."""
    task = asyncio.create_task(_keep_trimming())
    try:
        yield
    finally:
        task.cancel()


async def _keep_trimming() -> None:
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        await asyncio.to_thread(malloc.release_freed_memory)


class _Pending:
    """A value that is being made; it is forgotten when the last that waits for it has let go."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class LRUCache(Generic[V]):
    """The values made last, by key, up to a total weight of ``limit``; the newest is always kept.

    Of threads that ask for the same new key one makes it and the others wait; those with other keys do not.
    """

    def __init__(self, limit: int, weigh: Callable[[V], int] = lambda value: 1) -> None:
        self._limit, self._weigh = limit, weigh
        self._values: OrderedDict[Hashable, V] = OrderedDict()
        self._lock = threading.Lock()
        self._making: WeakValueDictionary[Hashable, _Pending] = WeakValueDictionary()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value for ``key``, made now if it is not remembered."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            making = self._making.setdefault(key, _Pending())
        with making.lock:
            with self._lock:
                if key in self._values:  # another has made it meanwhile
                    return self._values[key]
            value = make()
            with self._lock:
                self._values[key] = value
                while len(self._values) > 1 and sum(map(self._weigh, self._values.values())) > self._limit:
                    self._values.popitem(last=False)
        return value

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._values


@dataclass(frozen=True)
class Display:
    """A photo as the page shows it."""

    photo: Image.Image
    """RGB, upright, no side over ``DISPLAY_SIDE``."""
    size: tuple[int, int]
    """(width, height) of the upload in pixels."""
    notes: tuple[str, ...]
    browsers_agree: bool
    """Whether browsers decode the upload to the same picture."""


_segmenters: LRUCache[Segmenter] = LRUCache(12)
_untrained: LRUCache[Segmenter] = LRUCache(1)
_displays: LRUCache[Display] = LRUCache(DISPLAY_BYTES, lambda display: pixel_bytes(display.photo))
_features: LRUCache[Features] = LRUCache(FEATURE_BYTES, lambda features: features.nbytes)
_decoded: ContextVar[dict[tuple[str, Shown], Photo] | None] = ContextVar("decoded", default=None)


def pixel_bytes(image: Image.Image) -> int:
    """What an RGB picture takes: Pillow keeps four bytes a pixel."""
    return 4 * image.width * image.height


@contextlib.contextmanager
def decoding_once() -> Iterator[None]:
    """Inside, a photo is decoded once for all who ask for it, and forgotten at the end: it may be large."""
    photos: dict[tuple[str, Shown], Photo] = {}
    token = _decoded.set(photos)
    try:
        yield
    finally:
        _decoded.reset(token)
        photos.clear()


def photo(path: str, display_range: Shown = None) -> Photo:
    """The photo at ``path`` at its own size; ``display_range`` is None as people see it, or that of a Segmenter.

    Raises:
        PhotoError: if it is no photo that can be shown.
    """
    photos = _decoded.get()
    if photos is None:
        return read_photo(path, display_range=display_range)
    if (path, display_range) not in photos:
        photos[path, display_range] = read_photo(path, display_range=display_range)
    return photos[path, display_range]


def segmenter(model: str) -> Segmenter:
    """The network called ``model``, loaded when it is first asked for.

    Raises:
        ValueError: if its weights are damaged, or published ones that are not here.
        OSError: if they cannot be read.
    """
    if model not in _segmenters:
        card = registry.card(model)
        weight_downloads.check_at_hand(card)
        card.weights_file(lambda done, total: timeouts.check())  # for its effect: a damaged file is fetched again
    timeouts.check()
    return _segmenters.get(model, lambda: loaded(model))


def loaded(model: str, precision: str | None = None) -> Segmenter:
    """The network called ``model``, loaded anew.

    Raises:
        ValueError: as ``segmodels.load``, and if its file is missing; files are named, and not where they are.
        OSError: if it cannot be read.
    """
    try:
        return load(model, precision=precision)
    except (ValueError, FileNotFoundError) as error:
        file = registry.card(model).weights_file()
        raise ValueError(str(error).replace(display_path(file), file.name)) from error


def fitted(rate: int, stride: int) -> Segmenter:
    """DeepLab v3 with the decoder trained at ``rate`` and ``stride``, loaded when it is first asked for.

    Raises:
        ValueError: if there is none, or its file is damaged.
        OSError: if it cannot be read.
    """
    return _segmenters.get((rate, stride), lambda: rates.load_fitted(rate, stride))


def untrained() -> Segmenter:
    """The default network with random weights in its backbone, made when it is first asked for, once for all visitors."""
    return _untrained.get(registry.DEFAULT_MODEL, lambda: random_backbone(registry.DEFAULT_MODEL))


def display(path: str) -> Display:
    """The photo at ``path`` at display size.

    Raises:
        PhotoError: if it is no photo that can be shown.
    """

    def make() -> Display:
        timeouts.check()
        read = photo(path)
        return Display(_at_most(read.image, DISPLAY_SIDE), read.image.size, read.notes, _browsers_agree(path, read))

    return _displays.get(path, make)


def _browsers_agree(path: str, read: Photo) -> bool:
    """Whether browsers see in the file at ``path`` what was ``read``: it needed nothing, or a JPEG a turn by its EXIF.

    Not all of them turn other formats, or look for the orientation in XMP, and what an animation begins with differs.
    """
    with Path(path).open("rb") as file:
        kind = kind_of(file.read(HEAD_BYTES))
        file.seek(0)
        if read.notes or kind not in ("JPEG", "PNG", "WebP", "BMP"):
            return False
        if read.turn is None:
            return True
        exif = Image.Exif()
        exif.load(DECODERS[kind](file).info.get("exif", b""))
        return kind == "JPEG" and TURNS.get(exif.get(ExifTags.Base.Orientation, 1)) == read.turn


def _at_most(image: Image.Image, side: int) -> Image.Image:
    """``image``, made smaller if one of its sides is longer than ``side`` pixels."""
    scale = side / max(image.size)
    if scale >= 1:
        return image
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def has_features(path: str, model: str, output_stride: int | None) -> bool:
    """Whether ``features`` would answer at once."""
    return _features_key(path, model, output_stride) in _features


def _features_key(path: str, model: str, output_stride: int | None, working_size: int | None = None) -> tuple[Any, ...]:
    """The same, whether a setting is left to the network or asked for by its number."""
    settings = check_settings(registry.card(model), None, output_stride, working_size)
    return path, model, settings.output_stride, settings.working_size


@functools.lru_cache(maxsize=256)
def cost(model: str, height: int, width: int, output_stride: int | None) -> Cost:
    """What the network called ``model`` costs on an input of that size, in pixels, at that output stride."""
    network = registry.build_meta(model)
    configure(network, output_stride=output_stride)
    return count(network, height, width)


def features(path: str, model: str, output_stride: int | None, working_size: int | None = None) -> Features:
    """What the backbone of ``model`` sees of the photo at ``path``; computed once for all atrous rates.

    Raises:
        PhotoError: if it is no photo that can be shown.
        ValueError: for a setting that the network does not have.
    """
    chosen = segmenter(model)

    def make() -> Features:
        timeouts.check()
        image = photo(path, chosen.display_range).image
        timeouts.check()
        return apart(chosen.encode(image, output_stride, working_size))

    return _features.get(_features_key(path, model, output_stride, working_size), make)


def apart(features: Features) -> Features:
    """The same in memory of its own, which goes back to the system the moment nobody needs it.

    Among what the next photos need for a moment, what is kept for long would tear the heap into gaps.
    """
    pixels = None if features.pixels is None else _apart(features.pixels)
    return replace(features, maps=[_apart(map_) for map_ in features.maps], pixels=pixels)


def _apart(values: Tensor) -> Tensor:
    with torch.inference_mode():
        flat = torch.frombuffer(mmap.mmap(-1, values.nbytes, access=mmap.ACCESS_COPY), dtype=values.dtype)
        strides = torch.empty_like(values, device="meta").stride()
        return flat.as_strided(values.shape, strides).copy_(values)
