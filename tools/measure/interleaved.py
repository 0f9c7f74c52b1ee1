"""Several ways to do one thing, measured in turns, so that what else the machine does falls on all alike."""

import statistics
import time
from collections.abc import Callable, Mapping

TURNS = 15


def medians(ways: Mapping[str, Callable[[], object]], turns: int = TURNS) -> dict[str, float]:
    """How long each of ``ways`` takes: the median over ``turns``, in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: round(statistics.median(values), 1) for name, values in times.items()}
