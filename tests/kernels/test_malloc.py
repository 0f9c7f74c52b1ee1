"""Each in a process of its own, since what is set here stays set."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists() or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc"
)


def printed(script: str) -> int:
    """The number that ``script`` prints. It finds the module by itself: the package would load torch, which takes seconds."""
    beside = ROOT / "segmodels" / "kernels"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=beside)
    return int(done.stdout)


FAULTS = """
import resource
import malloc
{first}
for turn in range(4):
    if turn == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    large = [bytearray(48 * 2**20) for _ in range(2)]
    del large
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_what_is_freed_is_used_again_without_asking_the_system() -> None:
    usually = printed(FAULTS.format(first=""))
    assert printed(FAULTS.format(first="malloc.keep_freed_memory()")) < usually / 10


def test_large_blocks_stay_apart_from_the_heap_in_the_app() -> None:
    script = """
import ctypes
import malloc
malloc.limit_arenas()
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
Info = type("Info", (ctypes.Structure,), {"_fields_": [(str(field), ctypes.c_size_t) for field in range(10)]})
libc.mallinfo2.restype = Info

def apart():  # blocks that are no part of a heap
    return getattr(libc.mallinfo2(), "3")

added = 0
for _ in range(2):  # by itself glibc would take the second into the heap
    before = apart()
    block = libc.malloc(8 * 2**20)
    added += apart() - before
    libc.free(block)
print(added)
"""
    assert printed(script) == 2
    assert "malloc.limit_arenas()" in (ROOT / "demo/__main__.py").read_text(encoding="utf-8")


def test_trimming_gives_back_what_lies_between_what_is_kept() -> None:
    script = """
import mmap
from pathlib import Path
import malloc

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

blocks = [bytearray(b"x" * 100_000) for _ in range(2000)]
kept, blocks = blocks[::20], []
freed = resident()
malloc.release_freed_memory()
print(freed - resident())
"""
    assert printed(script) > 100 * 2**20
