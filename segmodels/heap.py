"""What glibc does with memory that is freed. Elsewhere than under glibc nothing is done."""

import contextlib
import ctypes


def keep_freed() -> None:
    """Keep what is freed for what comes next, instead of fetching it from the system page by page.

    By itself glibc gives large blocks back at once. A network asks for the same blocks for every photo: fetching them
    anew takes a tenth of a ResNet's time, and a third of a training step's.
    """
    m_trim_threshold, m_mmap_threshold = -1, -3  # malloc.h
    _glibc("mallopt", m_mmap_threshold, 2**30)
    _glibc("mallopt", m_trim_threshold, 2**31 - 1)


def bound_arenas() -> None:
    """Let all threads share two heaps, before there are threads.

    glibc gives each thread one of its own, and each keeps what it once held: memory would grow by a hundred megabytes in
    a thousand requests.
    """
    m_arena_max = -8  # malloc.h
    _glibc("mallopt", m_arena_max, 2)


def trim() -> None:
    """Give what is freed back to the system, also what lies before something that is still in use.

    By itself glibc gives back the end of a heap alone, and something that is kept soon lies behind every gap: what two
    large photos once needed would stay for good.
    """
    _glibc("malloc_trim", 0)


def _glibc(function: str, *numbers: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        getattr(ctypes.CDLL("libc.so.6"), function)(*numbers)
