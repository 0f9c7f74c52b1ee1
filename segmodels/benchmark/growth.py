"""How time and memory grow with the photo."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..checkpoints.paths import EXAMPLES
from .tables import Row


def growth(name: str, megapixels: Sequence[float]) -> list[Row]:
    """Time after decoding, and peak memory over that of the idle process, by the photo's size; one process each."""
    rows = []
    for size in megapixels:
        width = round((size * 1e6 * 4 / 3) ** 0.5)
        command = [sys.executable, "-c", _GROWTH, name, str(EXAMPLES / "cat.jpg"), str(width), str(width * 3 // 4)]
        root = str(Path(__file__).resolve().parents[2])
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
        milliseconds, memory = map(float, done.stdout.split())
        rows.append(
            {"model": name, "megapixels": size, "milliseconds": round(milliseconds, 1), "gigabytes": round(memory, 3)}
        )
    return rows


_GROWTH = """
import statistics, sys, time
from PIL import Image
import segmodels
from segmodels.benchmark.growth import peak_gigabytes

name, file, width, height = sys.argv[1:]
segmenter = segmodels.load(name)
photo = Image.open(file).convert("RGB")
segmenter(photo)
idle = peak_gigabytes()
photo = photo.resize((int(width), int(height)))
times = []
for _ in range(5):
    started = time.perf_counter()
    segmenter(photo)
    times.append(1000 * (time.perf_counter() - started))
print(statistics.median(times), peak_gigabytes() - idle)
"""


def peak_gigabytes() -> float:
    """The most memory that this process has held so far.

    Not what ``getrusage`` says: on Linux a process starts with the peak of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20
