"""Tell glibc what to do with freed memory. Without glibc these functions do nothing.

A command processes photos and ends: ``keep_freed_memory`` makes it fast. An app runs for weeks: ``limit_arenas`` and
``release_freed_memory`` keep it small.
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
    """Keep freed memory for the next allocation, instead of returning it to the system.

    By default glibc returns large blocks at once. A network needs the same blocks for every photo, and getting them
    again takes a tenth of a ResNet's time, and up to a third of a training step's.
    """
    _glibc("mallopt", MMAP_THRESHOLD, 2**30)
    _glibc("mallopt", TRIM_THRESHOLD, 2**31 - 1)


def limit_arenas() -> None:
    """Let all threads share one heap, and keep large blocks out of it. Call this before threads start.

    By default glibc gives each thread a heap of its own, and over time lets blocks of up to 32 MB into it. Such blocks
    leave holes, and small, long-lived objects soon keep these from being closed. Blocks outside the heap are returned
    when they are freed. A limit below 4 MB costs time, because a network allocates many blocks of 1 to 3 MB. For the
    same reason the end of the heap is not returned after every layer. The number of kernels that oneDNN keeps compiled
    is limited too.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KERNELS))  # read when the first network runs
    _glibc("mallopt", ARENA_MAX, 1)
    _glibc("mallopt", MMAP_THRESHOLD, 4 * 2**20)
    _glibc("mallopt", TRIM_THRESHOLD, 128 * 2**20)


def release_freed_memory() -> None:
    """Return freed memory to the system, including holes before memory that is still in use.

    By default glibc returns only the end of a heap. A small object behind every hole would keep the memory that two
    large photos once needed.
    """
    _glibc("malloc_trim", 0)


def _glibc(function: str, *numbers: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        getattr(ctypes.CDLL("libc.so.6"), function)(*numbers)
