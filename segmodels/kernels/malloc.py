"""What becomes of memory that is freed: how glibc is told. Elsewhere than under glibc nothing is done.

A command works on one photo after the other and ends: ``keep_freed_memory`` makes it fast. An app goes on for weeks: ``limit_arenas``
and ``release_freed_memory`` keep it small.
"""

import contextlib
import ctypes
import os

ARENA_MAX, MMAP_THRESHOLD, TRIM_THRESHOLD = -8, -3, -1
"""glibc's names for what can be set, from malloc.h."""

KERNELS = 256
"""Compiled convolutions that oneDNN keeps in an app, each for one layer and one size of input: some three networks at one
size. By itself it keeps 1024, some 35 MB more, for sizes that seldom come again."""


def keep_freed_memory() -> None:
    """Keep what is freed for what comes next, instead of fetching it from the system page by page.

    By itself glibc gives large blocks back at once. A network asks for the same blocks for every photo: fetching them
    anew takes a tenth of a ResNet's time, and up to a third of a training step's.
    """
    _glibc("mallopt", MMAP_THRESHOLD, 2**30)
    _glibc("mallopt", TRIM_THRESHOLD, 2**31 - 1)


def limit_arenas() -> None:
    """Let all threads share one heap, without its large blocks; before there are threads.

    glibc gives each thread a heap of its own, which keeps what it once held, and by and by takes blocks of up to 32 MB
    into them: those leave holes that what is small and kept soon stops from closing. Apart from the heap they go back as
    they are freed. Below 4 MB that costs time: a network makes and drops many of 1 to 3 MB. For the same reason the end of
    the heap does not go and come back with every layer. What oneDNN compiles is bounded too.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KERNELS))  # read when the first network runs
    _glibc("mallopt", ARENA_MAX, 1)
    _glibc("mallopt", MMAP_THRESHOLD, 4 * 2**20)
    _glibc("mallopt", TRIM_THRESHOLD, 128 * 2**20)


def release_freed_memory() -> None:
    """Give what is freed back to the system, also what lies before something that is still in use.

    By itself glibc gives back the end of a heap alone, and something that is kept soon lies behind every gap: what two
    large photos once needed would stay for good.
    """
    _glibc("malloc_trim", 0)


def _glibc(function: str, *numbers: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        getattr(ctypes.CDLL("libc.so.6"), function)(*numbers)
