"""How many processors this process may use: what a container is given is often less than what the machine has."""

import math
import os
from collections.abc import Iterator
from pathlib import Path


def available_cpus(root: Path = Path("/")) -> int:
    """Return how many processors this process can keep busy, at least 1.

    That is the least of the processors it may run on and the quotas of the control groups it is in, rounded up.

    Args:
        root: where ``proc`` and ``sys`` are mounted.
    """
    quotas = (quota for quota in _quotas(root) if math.isfinite(quota))
    return max(min([usable_cpus(), *map(math.ceil, quotas)]), 1)


def usable_cpus() -> int:
    """Return how many processors this process may run on, whatever its quota."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def runnable_threads(root: Path = Path("/")) -> int | None:
    """Return how many threads run or wait for a processor on the whole machine, this one too; None where nobody tells.

    Args:
        root: where ``proc`` is mounted.
    """
    try:
        return int((root / "proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return None


def _quotas(root: Path) -> Iterator[float]:
    """The processors that each control group on the way to this process grants, by version 2 and by version 1."""
    base = root / "sys/fs/cgroup"
    for hierarchy, path in _groups(root):
        if not hierarchy:
            yield from (_share(folder / "cpu.max") for folder in _upwards(base, path))
        elif "cpu" in hierarchy:
            for mount in {",".join(hierarchy), "cpu", "cpu,cpuacct"}:
                for folder in _upwards(base / mount, path):
                    yield _share(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")


def _groups(root: Path) -> Iterator[tuple[list[str], str]]:
    """The controllers and the path of each control group that this process is in; version 2 names no controllers."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        yield controllers.split(",") if controllers else [], path


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The folders from a group's own up to the mount. In a container the mount is often the group itself."""
    folder = mount / path.strip("/")
    while folder.is_relative_to(mount):
        yield folder
        if folder == mount or ".." in folder.parts:
            break
        folder = folder.parent
    if ".." in path:
        yield mount


def _share(quota: Path, period: Path | None = None) -> float:
    """Time a group may use in a period, in processors: infinite where nothing is said."""
    try:
        words = quota.read_text(encoding="utf-8").split() + (
            period.read_text(encoding="utf-8").split() if period else []
        )
        granted, length = float(words[0]), float(words[1])
    except (OSError, ValueError, IndexError):  # "max", or no such file
        return math.inf
    return granted / length if granted > 0 and length > 0 else math.inf
