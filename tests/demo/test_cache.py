import asyncio
import gc
import mmap
import shutil
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from demo.server import cache
from demo.server.cache import LRUCache
from segmodels import Features, Segmenter
from segmodels.inference.photo import Photo, read_photo
from segmodels.kernels import malloc
from segmodels.models import registry

from ..conftest import EXAMPLES

CAT = str(EXAMPLES / "cat.jpg")


def test_a_value_is_made_once() -> None:
    remembered: LRUCache[list[int]] = LRUCache(2)
    first = remembered.get("a", lambda: [1])
    assert remembered.get("a", lambda: [2]) is first


def test_the_least_recently_used_goes_first() -> None:
    remembered: LRUCache[int] = LRUCache(2)
    for key in ("a", "b", "a", "c"):
        remembered.get(key, lambda: 0)
    assert [key in remembered for key in "abc"] == [True, False, True]


def test_heavy_values_leave_room_for_fewer() -> None:
    remembered: LRUCache[bytes] = LRUCache(10, len)
    for key in "abc":
        remembered.get(key, lambda: bytes(4))
    assert [key in remembered for key in "abc"] == [False, True, True]
    assert remembered.get("huge", lambda: bytes(99)) == bytes(99)
    assert [key in remembered for key in ("b", "c", "huge")] == [False, False, True]


def test_threads_that_ask_at_once_get_equal_values() -> None:
    remembered: LRUCache[int] = LRUCache(8)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda key=key: answers.append(remembered.get(key % 3, lambda: key % 3)))
        for key in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(key % 3 for key in range(30))


def test_a_value_that_is_being_made_holds_up_those_who_ask_for_it_and_nobody_else() -> None:
    remembered: LRUCache[int] = LRUCache(8)
    remembered.get("cached", lambda: 1)
    started, finish, made = threading.Event(), threading.Event(), []

    def slow() -> int:
        made.append(1)
        started.set()
        assert finish.wait(30)
        return 2

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(remembered.get, "slow", slow)
        assert started.wait(30)
        assert remembered.get("cached", lambda: 9) == 1
        assert pool.submit(remembered.get, "other", lambda: 3).result(30) == 3
        second = pool.submit(remembered.get, "slow", slow)
        finish.set()
        assert (first.result(30), second.result(30), len(made)) == (2, 2, 1)


def test_a_value_that_could_not_be_made_is_made_by_the_next_who_asks() -> None:
    remembered: LRUCache[int] = LRUCache(8)
    with pytest.raises(ZeroDivisionError):
        remembered.get("a", lambda: 1 // 0)
    assert remembered.get("a", lambda: 2) == 2


def test_a_network_in_use_answers_while_another_is_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    ready, started, finish = cache.segmenter("fcn_mobilenetv2"), threading.Event(), threading.Event()
    fresh: LRUCache[Segmenter] = LRUCache(12)
    fresh.get("fcn_mobilenetv2", lambda: ready)

    def slow(name: str, precision: str | None) -> Segmenter:
        started.set()
        assert finish.wait(30)
        return ready

    monkeypatch.setattr(cache, "_segmenters", fresh)
    monkeypatch.setattr(cache, "load", slow)
    with ThreadPoolExecutor(2) as pool:
        loading = pool.submit(cache.segmenter, "unet_mobilenetv2")
        assert started.wait(30)
        try:
            assert pool.submit(cache.segmenter, "fcn_mobilenetv2").result(10) is ready
        finally:
            finish.set()
        loading.result(30)


def test_a_stride_left_out_and_the_same_by_its_number_are_one_set_of_features(tmp_path: Path) -> None:
    photo = str(shutil.copy(CAT, tmp_path / "nobody-looked-at.jpg"))  # whatever ran before in this process
    name = "deeplabv3_mobilenetv2"
    stride = registry.card(name).output_stride
    assert cache.features(photo, name, None) is cache.features(photo, name, stride)
    assert cache.has_features(photo, name, stride)
    assert not cache.has_features(photo, name, 8)


def features(side: int) -> Features:
    maps = [torch.randn(1, 8, side, side).to(memory_format=torch.channels_last), torch.randn(1, 4, side // 2, side)]
    return Features(maps, (side, side), (side, side), 16, 1.0, "")


def test_what_is_remembered_lies_apart_from_the_heap() -> None:
    usual = features(64)
    kept = cache.apart(usual)
    for before, after in zip(usual.maps, kept.maps, strict=True):
        assert torch.equal(before, after)
        assert (after.stride(), after.dtype) == (before.stride(), before.dtype)
        assert after.data_ptr() % mmap.PAGESIZE == 0
        assert after.untyped_storage().nbytes() == before.nbytes


def test_remembered_features_lie_apart_and_are_computed_once() -> None:
    first = cache.features(CAT, "fcn_mobilenetv2", None)
    assert all(map_.data_ptr() % mmap.PAGESIZE == 0 for map_ in first.maps)
    assert cache.features(CAT, "fcn_mobilenetv2", None) is first


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_of_forgotten_features_goes_back_at_once() -> None:
    def shared() -> int:
        return Path("/proc/self/maps").read_text().count("\n")

    before = shared()
    kept = cache.apart(features(512))
    assert shared() > before
    del kept
    assert shared() == before


def test_the_app_trims_as_long_as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    trims: list[int] = []
    monkeypatch.setattr(cache, "TRIM_SECONDS", 0.01)
    here = ContextVar("here", default=False)  # another test's app may be trimming in this process too
    monkeypatch.setattr(malloc, "release_freed_memory", lambda: trims.append(1) if here.get() else None)

    async def run() -> None:
        here.set(True)
        async with cache.trimmed():
            await asyncio.sleep(0.5)
        ended = len(trims)
        assert ended >= 3
        await asyncio.sleep(0.1)
        assert len(trims) <= ended + 1  # one may have been on its way

    asyncio.run(run())


def test_a_photo_is_decoded_once_a_request_and_then_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = str(tmp_path / "large.png")
    Image.new("RGB", (1200, 900)).save(large)
    decoded: list[weakref.ref[Image.Image]] = []

    def counted(path: str, **settings: Any) -> Photo:
        photo = read_photo(path, **settings)
        decoded.append(weakref.ref(photo.image))
        return photo

    monkeypatch.setattr(cache, "read_photo", counted)
    monkeypatch.setattr(cache, "_displays", LRUCache(1, lambda display: 1))
    monkeypatch.setattr(cache, "_features", LRUCache(1, lambda features: 1))
    with cache.decoding_once():
        assert cache.display(large).size == cache.features(large, "fcn_mobilenetv2", None).photo_size
        assert cache.photo(large).image is decoded[0]()
        assert len(decoded) == 1
    gc.collect()
    assert decoded[0]() is None
    cache.photo(large)
    assert len(decoded) == 2


def test_the_network_for_cells_sees_past_the_display_range_that_is_shown(tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(100, 3000, (64, 64)).astype(np.uint16)
    plain, saved = str(tmp_path / "plain.tif"), str(tmp_path / "saved.tif")
    tifffile.imwrite(plain, values, imagej=True)
    tifffile.imwrite(saved, values, imagej=True, metadata={"min": 180.0, "max": 260.0})
    assert np.asarray(cache.display(saved).photo).mean() > 200 > np.asarray(cache.display(plain).photo).mean()
    maps = [cache.features(path, "unet_nuclei", None).maps for path in (plain, saved)]
    assert all(torch.equal(one, other) for one, other in zip(*maps, strict=True))


def test_photos_at_display_size_are_bounded_by_their_bytes() -> None:
    large = Image.new("RGB", (3000, 1000))
    shown = cache._at_most(large, cache.DISPLAY_SIDE)
    assert shown.size == (960, 320)
    assert cache.pixel_bytes(shown) == 4 * 960 * 320
    assert cache._at_most(shown, cache.DISPLAY_SIDE) is shown
    assert cache._at_most(Image.new("RGB", (40_000, 32)), cache.DISPLAY_SIDE).size == (960, 1)


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="3"/></rdf:RDF></x:xmpmeta>'


@pytest.mark.parametrize(
    ("kind", "saved", "agree"),
    [
        ("JPEG", {}, True),
        ("PNG", {}, True),
        ("WebP", {}, True),
        ("BMP", {}, True),
        ("GIF", {}, False),
        ("TIFF", {}, False),
        ("JPEG", {"exif": 6}, True),
        ("JPEG", {"xmp": XMP}, False),
        ("PNG", {"exif": 6}, False),
        ("WebP", {"exif": 3}, False),
        ("WebP", {"xmp": XMP}, False),
        ("PNG", {"save_all": True, "default_image": True, "append_images": [Image.new("RGB", (64, 64), "red")]}, False),
    ],
)
def test_the_browsers_own_picture_is_drawn_only_where_all_of_them_decode_the_same(
    tmp_path: Path, kind: str, saved: dict[str, Any], agree: bool
) -> None:
    """What browsers do with an orientation is in CSS Images 3, and their practice in bug reports; JPEG's EXIF is common ground."""
    if "exif" in saved:
        exif = Image.Exif()
        exif[0x0112] = saved["exif"]
        saved = {"exif": exif}
    file = tmp_path / "photo.jpg"  # told by what is in it
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(file, kind, **saved)
    assert cache.display(str(file)).browsers_agree == agree
