"""Lesson 12: a score layer fitted to six strokes, at a choice of strides."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segmodels import fit_head, read_photo
from segmodels.checkpoints.paths import EXAMPLES
from segmodels.labels import ClassList
from segmodels.models import registry
from segmodels.teaching.strokes import UNPAINTED

from ..components import photo_overlay
from ..components.figures import figure, panel
from ..server import cache
from .lesson import Lesson, See, chosen, close_up, radio

PHOTO = EXAMPLES / "rocket.jpg"
SIZE = (640, 427)
"""(width, height) of the photo."""
STRIDES = {"32": (32,), "16": (16,), "8": (8,), "4": (4,), "32 + 16 + 8": (32, 16, 8), "32 + 4": (32, 4)}
TRAINED, RANDOM = "trained", "random weights"
BRUSHES = ClassList(("elsewhere", "rocket"), ((59, 130, 246), (245, 158, 11)))
CLASSES = ClassList(("background", "rocket"), BRUSHES.colours)

LINES = (
    (1, 12, ((321, 190), (321, 385))),
    (0, 16, ((90, 60), (240, 90), (270, 330))),
    (0, 16, ((390, 60), (400, 330))),
    (0, 16, ((45, 60), (35, 380))),
    (0, 16, ((120, 400), (260, 395))),
    (0, 16, ((380, 400), (540, 400))),
)
"""Class, width and points of each stroke, in pixels: one on the rocket below its tip, one on a tower, four elsewhere."""

TIP = (slice(128, 182), slice(314, 332))
"""Rows and columns of a box that the tip fills; no stroke touches it."""
TOWERS = ((slice(120, 380), slice(176, 204)), (slice(120, 380), slice(443, 474)), (slice(20, 380), slice(572, 630)))
"""Of boxes around the three towers without a stroke."""
CLOSE = (250, 100, 400, 200)
"""(left, top, right, bottom) of the part that is shown enlarged."""


@dataclass(frozen=True)
class Outcome:
    """What a layer makes of the photo."""

    labels: NDArray[np.uint8]
    cells: int
    tip: float
    """Share of the tip that it finds."""
    towers: float
    """Share of the boxes around the towers that it takes for the rocket."""


def strokes() -> NDArray[np.uint8]:
    """Return the six strokes as ``fit_head`` takes them: (H, W), a class or ``UNPAINTED``."""
    image = Image.new("L", SIZE, UNPAINTED)
    pen = ImageDraw.Draw(image)
    for class_, width, points in LINES:
        pen.line(points, fill=class_, width=width, joint="curve")
        for x, y in (points[0], points[-1]):  # round ends
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=class_)
    return np.asarray(image)


_outcomes: cache.LRUCache[Outcome] = cache.LRUCache(2 * len(STRIDES))
"""All there are: fitted and looked at once for all visitors."""


def outcome(strides: str, backbone: str) -> Outcome:
    """What the layer at these strides on this backbone makes of the photo."""
    return _outcomes.get((strides, backbone), lambda: _fitted(strides, backbone))


def _fitted(strides: str, backbone: str) -> Outcome:
    base = cache.untrained() if backbone == RANDOM else cache.segmenter(registry.DEFAULT_MODEL)
    photo = read_photo(PHOTO).image
    layer = fit_head(base, [(photo, strokes())], CLASSES.names, STRIDES[strides])
    labels = layer(photo).labels
    towers = np.concatenate([labels[box].ravel() for box in TOWERS])
    return Outcome(labels, sum(layer.fit.cells.values()), float(labels[TIP].mean()), float(towers.mean()))


def draw(strides: Any, backbone: Any) -> str:
    """The strokes, the label map that they lead to, and the rocket's tip enlarged."""
    found = outcome(chosen("the strides", strides, tuple(STRIDES)), chosen("the backbone", backbone, (TRAINED, RANDOM)))
    brushed = photo_overlay.layer(strokes(), BRUSHES)
    panels = (
        panel(
            "Six strokes",
            photo_overlay.picture("The photo with six strokes", brushed),
            "orange: the rocket, blue: all else",
        ),
        panel(
            f"The layer at stride {strides}",
            photo_overlay.picture("The label map over the photo", photo_overlay.layer(found.labels)),
            f"{found.cells} cells",
        ),
        panel(
            "Its tip",
            close_up("The rocket's tip enlarged", found.labels, CLOSE),
            f"{found.tip:.0%} of it found",
        ),
    )
    summary = f"Towers: {found.towers:.1%} of the boxes around them taken for the rocket."
    over = photo_overlay.photo_attributes(str(PHOTO), cache.display(str(PHOTO)), CLASSES)
    return figure("lesson-train-one", panels, summary, over)


LESSON = Lesson(
    name="Train one yourself",
    title="Six strokes for a rocket",
    minutes=5,
    aim="You can teach a network a class with a few strokes, and say what its features knew.",
    text="""
A score layer is small: a 1 × 1 convolution, two numbers a channel. Six brush strokes fit it in less than a tenth of a
second. The backbone never learnt rockets and stays as it is: what the layer finds, the features knew.

The strokes spare the rocket's **tip** and three of four **towers**. The scores of several strides are summed, as in FCN.
""",
    question="Which stride finds the tip, and which knows the rocket from the towers?",
    choices=("Stride 32 does both", "Stride 4 does both", "Stride 4 the tip, stride 32 the towers"),
    answer="""
Stride 32 finds three quarters of the tip and hardly any tower, but its outline is soft. Stride 4 keeps to the edges, but
sees "bright and upright": it finds a quarter of the tip and takes six times as much of the towers. Their sum finds nearly
all of the tip and hardly more tower than stride 32: deep features say *what*, fine ones *where*. **Random weights** find less
of the tip, and at stride 32 take several times as much tower.
""",
    controls=lambda: [radio("Strides", list(STRIDES)), radio("Backbone", [TRAINED, RANDOM])],
    figure=draw,
    python="""
import numpy as np
import segmodels
from segmodels.checkpoints.paths import EXAMPLES

photo = segmodels.read_photo(EXAMPLES / "rocket.jpg").image
strokes = np.full((photo.height, photo.width), 255, np.uint8)  # 255: not painted
strokes[190:385, 315:327] = 1  # on the rocket, below its tip
strokes[60:380, 30:50] = strokes[60:330, 385:405] = strokes[390:405, 120:540] = 0  # elsewhere
base = segmodels.load("deeplabv3plus_mobilenetv2")
layer = segmodels.fit_head(base, [(photo, strokes)], ("background", "rocket"), (32, 16, 8))
print(f"{layer(photo).labels[128:182, 314:332].mean():.0%} of the tip is found")
""",
    references=(
        ("fcn", "section 4.2"),
        ("scribble", ""),
    ),
    see=See("lab", "Teach it a class of your own"),
)
