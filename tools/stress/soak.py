"""Two thousand mixed requests, good, bad and broken off, and the app's memory over them.

    python -m tools.stress.soak --requests 2000 --out docs/soak

Writes a plot (.png) and the figures (.json). The exit status is 1 if a request was answered with anything but the right
kind of answer, or if the memory's last tenth lies more than 100 MB above that after a quarter of the requests.
"""

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from tools.stress.fuzz_photo import mutated, seed_files
from tools.stress.load import EXAMPLES, SETTINGS, png
from tools.stress.running import RunningApp, megabytes
from tools.stress.visitor import Refused, Visitor

AT_ONCE = 4
A_VISIT = 5
"""Requests that one visitor makes before the next one comes."""
MOST_GROWTH = 100
"""Megabytes."""


class Soak:
    """The kinds of requests, and what is counted."""

    def __init__(self, app: RunningApp) -> None:
        self.app = app
        self.seeds = seed_files()
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.memory: list[int] = [app.memory()]
        self.lock = threading.Lock()
        self.kinds: tuple[Callable[[Visitor, np.random.Generator], str], ...] = (
            self.segment,
            self.segment,
            self.show,
            self.show,
            self.mutated_photo,
            self.mutated_photo,
            self.wrong_settings,
            self.leave,
            self.look,
        )

    def visit(self, number: int) -> None:
        """One visitor's requests."""
        rng = np.random.default_rng(number)
        with Visitor(self.app.url) as visitor:
            for _ in range(A_VISIT):
                kind = self.kinds[rng.integers(len(self.kinds))]
                try:
                    answer = kind(visitor, rng)
                except Exception as error:
                    answer = "wrong"
                    self.wrong.append(f"{kind.__name__}: {error!r}")
                with self.lock:
                    self.answers[f"{kind.__name__}: {answer}"] += 1
                    self.memory.append(self.app.memory())
        print(f"\r{self.answers.total()} requests, {megabytes(self.memory[-1])} MB", end="", file=sys.stderr)

    def photo(self, rng: np.random.Generator) -> bytes:
        """Of a size of its own, one in ten up to 3 megapixels, without loss."""
        photo = Image.open(EXAMPLES[rng.integers(len(EXAMPLES))]).convert("RGB")
        most = 2000 if rng.random() < 0.1 else 600
        return png(photo.resize((int(rng.integers(64, most)), int(rng.integers(64, most)))))

    def settings(self, rng: np.random.Generator) -> dict[str, Any]:
        return SETTINGS[rng.integers(len(SETTINGS))]

    def segment(self, visitor: Visitor, rng: np.random.Generator) -> str:
        data = self.photo(rng)
        labels = visitor.segment(visitor.upload(data), **self.settings(rng))[0]
        width, height = np.frombuffer(data[16:24], dtype=">u4")
        assert labels.size == (width, height)
        return "answered"

    def show(self, visitor: Visitor, rng: np.random.Generator) -> str:
        """What the page asks, with the CRF."""
        upload, settings = visitor.upload(self.photo(rng)), self.settings(rng)
        pictures = visitor.show(
            upload, settings["model"], settings.get("rate", 6), settings.get("stride", 16), crf=True
        )
        assert pictures["labels"].startswith("data:image/png"), pictures
        return "answered"

    def mutated_photo(self, visitor: Visitor, rng: np.random.Generator) -> str:
        """Through ``/segment``: either a label map or a sentence."""
        data = mutated(self.seeds, 1, int(rng.integers(10**6)))
        return outcome(visitor, visitor.upload(data, "mutated.jpg"))

    def wrong_settings(self, visitor: Visitor, rng: np.random.Generator) -> str:
        wrong: Any = (-1, 10**9, "NaN", [1], {"path": "/etc/passwd"}, "../..", 7.5)[rng.integers(7)]
        answer = outcome(
            visitor, visitor.upload(png(Image.new("RGB", (64, 64)))), model="deeplabv3_mobilenetv2", rate=wrong
        )
        assert answer == "refused", f"{wrong} was taken"
        return answer

    def leave(self, visitor: Visitor, rng: np.random.Generator) -> str:
        """Ask, and do not wait for the answer."""
        with Visitor(self.app.url) as leaver:
            leaver.join(leaver.event("segment"), [leaver.upload(self.photo(rng)), "fcn_mobilenetv2", None, None, None])
            address, session = "/gradio_api/queue/data", {"session_hash": leaver.session}
            with leaver.http.stream("GET", address, params=session) as stream:
                next(stream.iter_lines())
        return "left"

    def look(self, visitor: Visitor, rng: np.random.Generator) -> str:
        """The page itself."""
        assert visitor.http.get("/").status_code == 200
        return "answered"


def outcome(visitor: Visitor, photo: dict[str, Any], **settings: Any) -> str:
    """Whether ``/segment`` answered, or refused in a sentence that blames what was sent."""
    try:
        visitor.segment(photo, **settings)
    except Refused as refused:
        sentence = str(refused)
    else:
        return "answered"
    assert sentence.endswith("."), sentence
    assert not sentence.startswith("Something broke"), sentence
    return "refused"


def plot(memory: list[int], out: Path) -> None:
    """Memory over requests."""
    drawing = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots()
    axes.plot([megabytes(size) for size in memory])
    axes.set(
        xlabel="requests", ylabel="memory of the app, MB", ylim=(0, None), title=f"{len(memory) - 1} mixed requests"
    )
    axes.grid(alpha=0.3)
    drawing.savefig(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=2000, help="how many (2000)")
    parser.add_argument(
        "--out", type=Path, default=Path("soak"), help="file name of the plot and the figures, without end"
    )
    args = parser.parse_args()
    begin = time.monotonic()
    with RunningApp() as app:
        soak = Soak(app)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(soak.visit, range(args.requests // A_VISIT)))
        tracebacks = app.output.read_text().count("Traceback")
    memory = soak.memory
    quarter, last = (float(np.median(part)) for part in np.array_split(memory, 20)[5::14])
    figures = {
        "requests": len(memory) - 1,
        "seconds": round(time.monotonic() - begin),
        "wrong": len(soak.wrong),
        "tracebacks in the log": tracebacks,
        "answers": dict(sorted(soak.answers.items())),
        "megabytes at the start, after a quarter, at the end, most": [
            megabytes(memory[0]),
            round(quarter / 2**20),
            round(last / 2**20),
            megabytes(max(memory)),
        ],
    }
    print(json.dumps(figures, indent=1))
    print(*soak.wrong, sep="\n", file=sys.stderr)
    args.out.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    plot(memory, args.out.with_suffix(".png"))
    return 1 if soak.wrong or (last - quarter) / 2**20 > MOST_GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
