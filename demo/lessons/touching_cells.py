"""Lesson 13: the weight of borders in U-Net's loss, over a picture of nuclei that touch."""

from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segmodels.checkpoints.paths import EXAMPLES
from segmodels.inference.contrast import contrast_range, stretch_contrast
from segmodels.inference.settings import check_integer

from ..components.figures import PANEL, figure, panel, photograph, svg
from .lesson import Lesson, See, slider

NUCLEI = EXAMPLES / "nuclei.png"
OUTLINE, LINE, HOT = (0, 158, 115), (230, 159, 0), (255, 80, 0)
"""Okabe and Ito's green and orange, and the colour of the largest weight."""


@cache
def nuclei() -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the picture, (H, W) from 0 to 255, and the number of the nucleus at each pixel."""
    with Image.open(NUCLEI) as picture, Image.open(NUCLEI.with_name("nuclei_instances.png")) as numbers:
        return np.array(picture, np.float32), np.array(numbers, np.int32)


@lru_cache(maxsize=32)
def shape(sigma: int) -> NDArray[np.float32]:
    """Return ``exp(-(d1 + d2)^2 / (2 sigma^2))`` at each pixel."""
    from segmodels.training.instances import border_weights  # here: the page starts without training

    return border_weights(nuclei()[1], 1.0, float(sigma))


@cache
def classes() -> NDArray[np.int64]:
    """Return what the network learns: 0 background, 1 inside, 2 the line between nuclei."""
    import torch

    from segmodels.training.instances import class_map

    learned: NDArray[np.int64] = class_map(torch.from_numpy(nuclei()[1])).numpy()
    return learned


def draw(w0: Any, sigma: Any) -> str:
    """The classes that are learned, and the weight of each pixel, both over the picture."""
    w0, sigma = check_integer("w0", w0, 0, 30), check_integer("sigma", sigma, 1, 15)
    weights = 1 + w0 * shape(sigma)
    heavy = weights >= 2
    line = classes() == 2
    panels = [
        panel("What is learned: nuclei, and the line between them", shown(_learned(), "Nuclei and their lines")),
        panel("How much a pixel weighs", shown(_heat(weights), f"Weights from 1 to {weights.max():.1f}")),
    ]
    words = (
        f"The line is {line.mean():.1%} of the pixels and has {weights[line].sum() / weights.sum():.1%} of the weight; "
        f"{heavy.mean():.1%} of the pixels weigh twice as much as others, or more; the largest weight is "
        f"<b>{weights.max():.1f}</b>"
    )
    return figure(f"lesson-touching-cells-{w0}-{sigma}", panels, words)


def stretched(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an (H, W) picture with its contrast stretched as the network sees it, (H, W, 3) from 0 to 255."""
    import torch

    grey = stretch_contrast(torch.from_numpy(picture), contrast_range(picture)).numpy()
    return np.repeat(grey[..., None], 3, axis=2)


def _learned() -> NDArray[np.uint8]:
    pixels = stretched(nuclei()[0])
    for value, colour in ((1, OUTLINE), (2, LINE)):
        strength = 0.45 if value == 1 else 1.0
        there = classes() == value
        pixels[there] = (1 - strength) * pixels[there] + strength * np.array(colour)
    return pixels.astype(np.uint8)


def _heat(weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The picture, pale, with heavy pixels in ``HOT``: the full colour is a weight of 11 or more."""
    strength = np.clip((weights - 1) / 10, 0, 1)[..., None]
    return ((1 - strength) * stretched(nuclei()[0]) * 0.7 + strength * np.array(HOT)).astype(np.uint8)


def shown(pixels: NDArray[np.uint8], words: str, *marks: str) -> str:
    """Draw a picture over the width of a panel, under ``marks``; ``words`` are its text alternative."""
    picture = Image.fromarray(pixels)
    tall = PANEL * picture.height / picture.width
    return svg(tall, words, photograph(picture, 0, 0, PANEL, tall), *marks)


LESSON = Lesson(
    name="Touching cells",
    title="Touching cells come apart",
    minutes=4,
    aim="You can say how U-Net's loss keeps cells apart that touch.",
    text="""
U-Net was made to count cells. Two nuclei that touch are one blob in a mask, so the network learns a third class: the **line
between them**.

That line is thin. If all pixels count alike, a network that never draws it loses almost nothing. So the paper weighs
pixels: *w = 1 + w₀ · exp(−(d₁ + d₂)² / 2σ²)*, where *d₁* and *d₂* are the distances to the two nearest cells. It uses
*w₀* = 10 and *σ* = 5 pixels.
""",
    question="How much of the weight has the line with w₀ = 0, and how much with 10?",
    choices=("0.2 % and 1.7 %", "2 % with both", "Nothing and a half"),
    answer="""
The caption counts it. With *w₀* = 0 the line weighs only what its pixels are; with 10 it is worth several times as much. A
larger *σ* spreads the weight over gaps between cells that do not touch, which keeps those apart too.
""",
    controls=lambda: [slider("w₀", 10, 0, 30), slider("σ (pixels)", 5, 1, 15)],
    figure=draw,
    python="""
import numpy as np
import torch
from PIL import Image
from segmodels.checkpoints.paths import EXAMPLES
from segmodels.training.instances import border_weights, class_map

numbers = np.array(Image.open(EXAMPLES / "nuclei_instances.png"), np.int32)
line = class_map(torch.from_numpy(numbers)).numpy() == 2
for w0 in (0, 10):
    weights = 1 + border_weights(numbers, w0)
    print("w0 =", w0, f"{weights[line].sum() / weights.sum():.1%} of the weight is on the line")
""",
    references=(("unet", "section 3, equation 2 and figure 3"),),
    see=See("anatomy", "The network that learns it", "unet_nuclei"),
)
