"""Programs that keep a processor busy each, to measure beside."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from statistics import median

COUNTS = (0, 1, 2)
"""How many there are beside what is measured."""

SETTLING_SECONDS = 0.3
"""Until they run, and the system has spread them over the processors."""


@contextmanager
def busy_neighbours(count: int) -> Iterator[None]:
    """Inside, ``count`` other processes do nothing but count."""
    with ExitStack() as running:
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            running.callback(process.wait)
            running.callback(process.kill)
        if count:
            time.sleep(SETTLING_SECONDS)
        yield


def medians_beside(
    ways: Mapping[str, Callable[[], object]],
    turns: int,
    runs: int = 5,
    counts: tuple[int, ...] = COUNTS,
    rest: float = 0.0,
) -> dict[str, list[float]]:
    """How long each of ``ways`` takes beside each number of busy programs: medians in milliseconds.

    Args:
        ways: what is measured, in turns.
        turns: how often each number of programs has its turn.
        runs: in a turn, how often each way is run in a row that counts, after two runs that do not.
        counts: the numbers of busy programs.
        rest: seconds before each way. Threads of another engine go on waiting in a loop for a while, and count as busy.
    """
    times: dict[str, list[list[float]]] = {name: [[] for _ in counts] for name in ways}
    for _ in range(turns):
        for index, count in enumerate(counts):
            with busy_neighbours(count):
                for name, run in ways.items():
                    time.sleep(rest)
                    taken = [_milliseconds(run) for _ in range(2 + runs)]
                    times[name][index] += taken[2:]
    return {name: [round(median(taken), 1) for taken in columns] for name, columns in times.items()}


def _milliseconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - started)
