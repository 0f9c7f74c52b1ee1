"""Visitors at once, each with a photo, a network and settings of their own, for some minutes; and what came of it.

    python -m tools.stress.load --visitors 32 --seconds 120

Starts the app, measures its memory before and after, and compares every label map with the library's own answer. The
exit status is 1 if a request failed, somebody got another picture than their own, or memory grew by more than 100 MB.
"""

import argparse
import io
import json
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

import segmodels
from segmodels.checkpoints import paths
from tools.stress.running import RunningApp, megabytes
from tools.stress.visitor import Refused, Visitor

EXAMPLES = sorted(paths.EXAMPLES.glob("*.jpg"))
SETTINGS: tuple[dict[str, Any], ...] = (
    {"model": "fcn_mobilenetv2"},
    {"model": "unet_mobilenetv2"},
    {"model": "deeplabv3_mobilenetv2", "rate": 6, "stride": 16},
    {"model": "deeplabv3_mobilenetv2", "rate": 3, "stride": 32},
    {"model": "deeplabv3plus_mobilenetv2"},
    {"model": "deeplabv3plus_mobilenetv2", "rate": 12, "stride": 8},
)
AGREEMENT = 0.995
"""Share of the pixels: in bfloat16 a few on the edges may differ with the machine's load."""
MOST_GROWTH = 100
"""Megabytes."""


@dataclass
class Visit:
    """One visitor's photo and settings, what is right, and what happened."""

    photo: bytes
    settings: dict[str, Any]
    expected: np.ndarray[Any, np.dtype[np.uint8]]
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def go(self, url: str, until: float) -> None:
        """Upload and segment again and again."""
        with Visitor(url) as visitor:
            while time.monotonic() < until:
                begin = time.monotonic()
                try:
                    labels = np.asarray(visitor.segment(visitor.upload(self.photo, "photo.png"), **self.settings)[0])
                    if labels.shape != self.expected.shape or (labels == self.expected).mean() < AGREEMENT:
                        self.wrong.append("another picture than their own")
                except (Refused, OSError) as error:
                    self.wrong.append(str(error))
                self.seconds.append(time.monotonic() - begin)


def visits(count: int) -> list[Visit]:
    """Each with a photo of a size that no other has."""
    networks = {name: segmodels.load(name) for name in {one["model"] for one in SETTINGS}}
    made = []
    for index in range(count):
        photo = Image.open(EXAMPLES[index % len(EXAMPLES)]).convert("RGB").resize((320 + 11 * index, 440 - 3 * index))
        settings = SETTINGS[index % len(SETTINGS)]
        options: dict[str, Any] = {"atrous_rate": settings.get("rate"), "output_stride": settings.get("stride")}
        expected = networks[settings["model"]](photo, **options).labels
        made.append(Visit(png(photo), settings, expected))
    return made


def png(photo: Image.Image) -> bytes:
    """The photo as a file, without loss."""
    buffer = io.BytesIO()
    photo.save(buffer, "PNG")
    return buffer.getvalue()


def crowd(url: str, visits: list[Visit], seconds: float) -> None:
    """All at once."""
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=visit.go, args=(url, until)) for visit in visits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--visitors", type=int, default=32, help="how many at once (32)")
    parser.add_argument("--seconds", type=float, default=120, help="for how long (120)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    everybody = visits(args.visitors)
    with RunningApp() as app:
        crowd(app.url, everybody, args.seconds / 4)  # until all that is remembered is remembered
        for visit in everybody:
            visit.seconds.clear()
        before = app.memory()
        crowd(app.url, everybody, args.seconds)
        after = app.memory()
    counts = [len(visit.seconds) for visit in everybody]
    waits = sorted(seconds for visit in everybody for seconds in visit.seconds)
    wrong = [sentence for visit in everybody for sentence in visit.wrong]
    figures = {
        "visitors": args.visitors,
        "seconds": args.seconds,
        "requests": sum(counts),
        "wrong": len(wrong),
        "requests of a visitor, least and most": [min(counts), max(counts)],
        "seconds of a request, median, 95 % and most": [
            round(statistics.median(waits), 2),
            round(waits[int(0.95 * len(waits))], 2),
            round(waits[-1], 2),
        ],
        "megabytes before and after": [megabytes(before), megabytes(after)],
    }
    print(
        json.dumps(figures, indent=1) if args.json else "\n".join(f"{key}: {value}" for key, value in figures.items())
    )
    print(*sorted(set(wrong)), sep="\n", file=sys.stderr)
    return 1 if wrong or megabytes(after - before) > MOST_GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
