"""What the networks and their settings make of the page's example photos: ``python -m tools.measure.examples [PHOTO...]``.

Prints two tables in Markdown: what each network finds in a photo, and how much of its answer a network, a rate, a stride or
a part changes. The first photo of the page is chosen by the second: of those on which the four compact networks find the same
classes, it is the one with the largest ``least``, the smallest number of its row, so every one of the comparisons can be seen.
Photos may be named; without any it is the examples that the page offers.
"""

import argparse
from collections.abc import Collection, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.components.examples import OFFERED, PHOTOS
from demo.components.figures import contents
from segmodels import load
from segmodels.benchmark.tables import table
from segmodels.inference.result import Features
from segmodels.inference.segmenter import Segmenter
from segmodels.models import registry

Labels = NDArray[np.uint8]

SIDE = 960
"""The longer side of a photo on the page, in pixels."""

FOUND = 0.01
"""A class with a smaller part of the photo is not found."""

PARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "FCN-32s": ("fcn_mobilenetv2", ("score 16", "score 8")),
    "U-Net, no skips": ("unet_mobilenetv2", ("skip 16", "skip 8", "skip 4", "skip 2")),
    "v3, no atrous branches": ("deeplabv3_mobilenetv2", ("rate r", "rate 2r", "rate 3r")),
    "v3+, no low-level path": ("deeplabv3plus_mobilenetv2", ("low-level path",)),
}
"""Parts that are switched off, by what a column is called."""


class Looked:
    """The answers of all bundled networks to one photo, with the CRF, as the page shows them at first, or without it."""

    def __init__(self, photo: Image.Image, segmenters: dict[str, Segmenter], crf: bool = True) -> None:
        self.photo, self._segmenters, self._crf = photo, segmenters, crf
        self._encoded: dict[tuple[str, int | None], Features] = {}

    def labels(
        self, model: str, rate: int | None = None, stride: int | None = None, off: Collection[str] = ()
    ) -> Labels:
        """The label map of one network at one setting."""
        if (model, stride) not in self._encoded:
            self._encoded[model, stride] = self._segmenters[model].encode(self.photo, stride)
        features = self._encoded[model, stride]
        return self._segmenters[model].decode(features, rate, crf=self._crf, photo=self.photo, disabled=off).labels

    def changes(self) -> dict[str, float]:
        """The part of the photo that gets another class, by what is changed."""
        whole = {name: self.labels(name) for name in registry.COMPACT}
        found = {
            f"{_short(a)} and {_short(b)}": _differ(whole[a], whole[b]) for a, b in combinations(registry.COMPACT, 2)
        }
        for name in ("deeplabv3_mobilenetv2", "deeplabv3plus_mobilenetv2"):
            found |= {f"{_short(name)}, rate {rate}": _differ(whole[name], self.labels(name, rate)) for rate in (1, 24)}
            found |= {
                f"{_short(name)}, stride {stride}": _differ(whole[name], self.labels(name, stride=stride))
                for stride in (8, 32)
            }
        return found | {words: _differ(whole[name], self.labels(name, off=off)) for words, (name, off) in PARTS.items()}

    def same_classes(self) -> bool:
        """Whether the compact networks find the same classes, each on ``FOUND`` of the photo or more."""
        counts = [np.bincount(self.labels(name).ravel()) for name in registry.COMPACT]
        return len({tuple(np.flatnonzero(count >= FOUND * count.sum())) for count in counts}) == 1


def _short(name: str) -> str:
    return registry.card(name).title.removeprefix("DeepLab ")


def _differ(one: Labels, other: Labels) -> float:
    return float((one != other).mean())


def look(files: dict[str, Path], names: Collection[str], crf: bool) -> Iterator[tuple[str, Looked]]:
    """Each photo by its name, at the size of the page, with the networks that look at it."""
    segmenters = {name: load(name, device="cpu") for name in names}
    for name, file in files.items():
        yield name, Looked(shown(file), segmenters, crf)


def shown(file: Path) -> Image.Image:
    """A photo at the size at which the page shows it."""
    with Image.open(file) as opened:
        photo = opened.convert("RGB")
    photo.thumbnail((SIDE, SIDE))
    return photo


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--network-alone", action="store_true", help="without the CRF")
    arguments = parser.parse_args()
    files = {file.stem: file for file in arguments.photos} or {name: PHOTOS[name] for name in OFFERED}
    networks = registry.bundled_models()
    finds, changed = [], []
    for photo, looked in look(files, networks, not arguments.network_alone):
        finds += [(photo, f"`{name}`", contents(looked.labels(name), registry.card(name).classes)) for name in networks]
        changed.append((photo, looked.same_classes(), looked.changes()))
    columns = list(changed[0][2])
    rows = [
        (photo, "yes" if same else "no", f"{min(found.values()):.1%}", *(f"{found[name]:.1%}" for name in columns))
        for photo, same, found in changed
    ]
    print(table("What the networks find", ("photo", "network", "finds"), finds))
    print()
    print(table("Pixels that get another class", ("photo", "same classes", "least", *columns), rows))


if __name__ == "__main__":
    main()
