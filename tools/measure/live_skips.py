"""What the Lab's "Skips that learn" reaches on photos it has not seen: ``python -m tools.measure.live_skips DATA --every 8``.

Trains FCN's two skips on the example photos as the page does, and compares the answers on photos of DATA, a data folder, with the
teacher's and with the true labels, everywhere and within 8 pixels of an edge of the one compared with. Prints a table in Markdown.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from demo.lab.skips_learn import FCN, TEACHER, lessons
from demo.lessons.skips import near_edges
from demo.server import cache
from segmodels.benchmark.tables import table
from segmodels.inference.label_map import label_map
from segmodels.labels import VOID
from segmodels.training.data import SegmentationFolder
from segmodels.training.live_skips import STEPS, SkipInputs, SkipTraining

Labels = NDArray[np.uint8]
LOOKED_AT = (STEPS // 4, STEPS // 2, STEPS)


def answers(
    folder: SegmentationFolder, every: int, runs: dict[int, SkipTraining]
) -> Iterator[tuple[Labels, Labels, dict[str, Labels]]]:
    """For each photo the true labels, the teacher's, and those of the skips after so many steps."""
    fcn, teacher = cache.segmenter(FCN), cache.segmenter(TEACHER)
    for index in range(0, len(folder), every):
        photo, truth = folder[index]
        size = (truth.shape[0], truth.shape[1])
        features, seen = fcn.encode(photo), teacher.encode(photo, 8)
        inputs = SkipInputs.of(fcn, features)
        logits = {"FCN-32s": inputs.scores[0]}
        logits |= {f"after {steps} steps": run.logits(inputs) for steps, run in runs.items()}
        logits["FCN-8s, as bundled"] = fcn.logits(features)
        found = {name: label_map(each, size, None, features.aligned_size) for name, each in logits.items()}
        yield truth, label_map(teacher.logits(seen), size, None, seen.aligned_size), found


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=1, help="of the photos")
    arguments = parser.parse_args()
    learned = lessons("")
    runs, seconds = {}, 0.0
    for steps in LOOKED_AT:
        runs[steps] = SkipTraining(learned, seed=0)
        began = time.perf_counter()
        for _ in range(steps):
            runs[steps].step()
        seconds = time.perf_counter() - began
    right: dict[str, list[list[float]]] = {}
    for truth, target, found in answers(SegmentationFolder(arguments.data, arguments.split), arguments.every, runs):
        for name, labels in found.items():
            row = right.setdefault(name, [[], [], [], []])
            for place, wanted in enumerate((target, truth)):
                known, near = wanted != VOID, near_edges(wanted)
                row[2 * place].append(float((labels == wanted)[known].mean()))
                if (known & near).any():
                    row[2 * place + 1].append(float((labels == wanted)[known & near].mean()))
    columns = ("answer", "as the teacher", "near its edges", "as labelled", "near true edges")
    print(
        table(
            f"{STEPS} steps in {seconds:.1f} s on {torch.get_num_threads()} threads, means over {len(right['FCN-32s'][0])} photos",
            columns,
            [(name, *(f"{np.mean(shares):.3f}" for shares in row)) for name, row in right.items()],
        )
    )


if __name__ == "__main__":
    main()
