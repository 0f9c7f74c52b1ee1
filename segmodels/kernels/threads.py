"""How many threads a pass takes: one for each processor that nothing else keeps busy.

The threads of a pass meet at some two hundred barriers. Where another program has the processor of one of them, all wait
for it each time. So they are as many as there are processors left, which is looked at anew for each pass.
"""

import ctypes
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from .cpus import available_cpus, runnable_threads
from .openmp import COUNT_GIVEN

WEIGHT = 0.5
"""How much what runs now counts, beside what ran at the passes before."""

FORGOTTEN = 1.0
"""Seconds after which what ran before says nothing any more."""


class Neighbours:
    """How many processors are kept busy by other programs, and by other threads of this one, at the passes of late."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._mean = 0.0
        self._seen = 0.0

    def observe(self, now: float) -> float:
        """Return the mean of what runs beside the calling thread.

        Args:
            now: seconds by any clock.
        """
        running = runnable_threads(self._root)
        if running is None:
            return 0.0
        with self._lock:
            weight = 1.0 if now - self._seen > FORGOTTEN or not self._seen else WEIGHT
            self._mean += weight * (max(running - 1, 0) - self._mean)
            self._seen = now
            return self._mean


def threads_beside(neighbours: float, cpus: int, most: int) -> int:
    """Return how many threads a pass takes.

    Args:
        neighbours: how many processors others keep busy, on average.
        cpus: the processors of the machine.
        most: the threads that it takes where it is alone.
    """
    return max(1, min(most, cpus - round(neighbours)))


_NEIGHBOURS = Neighbours()


@contextmanager
def threads_for_pass() -> Iterator[int]:
    """Inside, in this thread, run parallel loops on as many threads as there are processors left; yields how many.

    A number of threads in the environment holds. ``torch.set_num_threads`` will not do: what it sets is seen by all
    threads that begin later.
    """
    most = torch.get_num_threads()  # torch sets up this thread when it is asked, and would undo what is set before
    if COUNT_GIVEN:
        yield most
        return
    count = threads_beside(_NEIGHBOURS.observe(time.monotonic()), os.cpu_count() or 1, min(most, available_cpus()))
    with _threads(count, most) as taken:
        yield taken


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, loops of this thread run on it alone: where each is so short that several would mostly wait for one another."""
    with _threads(1, torch.get_num_threads()):
        yield


@contextmanager
def _threads(count: int, most: int) -> Iterator[int]:
    """Inside, loops of this thread run on ``count`` threads, and on ``most`` again afterwards; yields how many it is."""
    if count == most or not _set_threads(count):
        yield most
        return
    try:
        yield count
    finally:
        _set_threads(most)


def _set_threads(count: int) -> bool:
    """Tell OpenMP for the calling thread alone; whether there is one that can be told."""
    try:
        ctypes.CDLL(None).omp_set_num_threads(count)
    except (AttributeError, TypeError, OSError):
        return False
    return True
