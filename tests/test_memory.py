import asyncio
import ctypes
import gc
import mmap
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
import torch
from PIL import Image

from demo import ROOT, memory
from demo.memory import Remembered
from segmodels.photo import Photo, read_photo
from segmodels.segmenter import Features

from .conftest import EXAMPLES

CAT = str(EXAMPLES / "cat.jpg")


def test_a_value_is_made_once() -> None:
    remembered: Remembered[list[int]] = Remembered(2)
    first = remembered.get("a", lambda: [1])
    assert remembered.get("a", lambda: [2]) is first


def test_the_least_recently_used_goes_first() -> None:
    remembered: Remembered[int] = Remembered(2)
    for key in ("a", "b", "a", "c"):
        remembered.get(key, lambda: 0)
    assert [key in remembered for key in "abc"] == [True, False, True]


def test_heavy_values_leave_room_for_fewer() -> None:
    remembered: Remembered[bytes] = Remembered(10, len)
    for key in "abc":
        remembered.get(key, lambda: bytes(4))
    assert [key in remembered for key in "abc"] == [False, True, True]
    assert remembered.get("huge", lambda: bytes(99)) == bytes(99)
    assert [key in remembered for key in ("b", "c", "huge")] == [False, False, True]


def test_threads_that_ask_at_once_get_equal_values() -> None:
    remembered: Remembered[int] = Remembered(8)
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


def features(side: int) -> Features:
    maps = [torch.randn(1, 8, side, side).to(memory_format=torch.channels_last), torch.randn(1, 4, side // 2, side)]
    return Features(maps, (side, side), (side, side), 16, 1.0)


def test_what_is_remembered_lies_apart_from_the_heap() -> None:
    usual = features(64)
    kept = memory.apart(usual)
    for before, after in zip(usual.maps, kept.maps, strict=True):
        assert torch.equal(before, after)
        assert (after.stride(), after.dtype) == (before.stride(), before.dtype)
        assert after.data_ptr() % mmap.PAGESIZE == 0
        assert after.untyped_storage().nbytes() == before.nbytes


def test_remembered_features_lie_apart_and_are_computed_once() -> None:
    first = memory.features(CAT, "fcn_lite0", None)
    assert all(map_.data_ptr() % mmap.PAGESIZE == 0 for map_ in first.maps)
    assert memory.features(CAT, "fcn_lite0", None) is first


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_of_forgotten_features_goes_back_at_once() -> None:
    def shared() -> int:
        return Path("/proc/self/maps").read_text().count("\n")

    before = shared()
    kept = memory.apart(features(512))
    assert shared() > before
    del kept
    assert shared() == before


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists() or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="glibc"
)
def test_trimming_gives_back_what_lies_between_what_is_kept() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    blocks = [bytearray(b"x" * 100_000) for _ in range(2000)]
    kept, blocks = blocks[::20], []
    freed = resident()
    memory.trim()
    assert len(kept) == 100
    assert freed - resident() > 100 * 2**20


def test_the_app_trims_as_long_as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    trims: list[int] = []
    monkeypatch.setattr(memory, "TRIM_SECONDS", 0.01)
    monkeypatch.setattr(memory, "trim", lambda: trims.append(1))

    async def run() -> None:
        async with memory.trimmed():
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

    def counted(path: str) -> Photo:
        photo = read_photo(path)
        decoded.append(weakref.ref(photo.image))
        return photo

    monkeypatch.setattr(memory, "read_photo", counted)
    monkeypatch.setattr(memory, "_displays", Remembered(1, lambda display: 1))
    monkeypatch.setattr(memory, "_features", Remembered(1, lambda features: 1))
    with memory.decoding_once():
        assert memory.display(large).size == memory.features(large, "fcn_lite0", None).photo_size
        assert memory.photo(large).image is decoded[0]()
        assert len(decoded) == 1
    gc.collect()
    assert decoded[0]() is None
    memory.photo(large)
    assert len(decoded) == 2


def test_photos_at_display_size_are_bounded_by_their_bytes() -> None:
    large = Image.new("RGB", (3000, 1000))
    shown = memory._at_most(large, memory.DISPLAY_SIDE)
    assert shown.size == (960, 320)
    assert memory.pixel_bytes(shown) == 4 * 960 * 320
    assert memory._at_most(shown, memory.DISPLAY_SIDE) is shown
    assert memory._at_most(Image.new("RGB", (40_000, 32)), memory.DISPLAY_SIDE).size == (960, 1)


LARGE_BLOCKS = """
import ctypes, os
from demo import memory
memory.bound_heap()
print(os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == str(memory.KERNELS))
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
Info = type("Info", (ctypes.Structure,), {"_fields_": [(str(field), ctypes.c_size_t) for field in range(10)]})
libc.mallinfo2.restype = Info
def apart(): return getattr(libc.mallinfo2(), "3")  # blocks that are no part of a heap
for _ in range(2):  # by itself glibc would take the second into the heap
    before = apart()
    block = libc.malloc(8 * 2**20)
    print(apart() - before)
    libc.free(block)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc")
def test_the_app_bounds_its_heap_before_anything_else() -> None:
    """In a process of its own, since it is for good; the app calls it as it starts."""
    said = subprocess.run([sys.executable, "-c", LARGE_BLOCKS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "1", "1"]
    assert "memory.bound_heap()" in (ROOT / "app.py").read_text(encoding="utf-8")
