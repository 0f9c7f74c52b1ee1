"""Lesson 15: overlapping tiles with mirrored borders, and the seams that are there without them."""

from collections import Counter
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from segmodels import Segmentation
from segmodels.checkpoints.paths import EXAMPLES
from segmodels.inference.instances import Instances
from segmodels.inference.settings import check_integer
from segmodels.inference.tiles import OVERLAP, TILE, seen_by_tile, tile_corners
from segmodels.models.unet import unet

from ..components.figures import PANEL, figure, panel, rect
from ..components.templates import render
from ..server import cache as server_cache
from .lesson import Lesson, See, chosen, radio, slider
from .touching_cells import HOT, OUTLINE, shown, stretched

MODEL = "unet_nuclei"
PART = (slice(128, 320), slice(320, 576))
"""What is shown of a picture of crowded nuclei: rows and columns."""
TILES = {"64 pixels": 64, "128 pixels": 128}
PAPERS_TILE = 572
"""Pixels of a side, in figure 1."""
SEEN = "Bright: what is kept. Dashed: the picture's edge; beyond it is its mirror image."
MOST_TILES = 12
"""Of 64 pixels a side."""


@cache
def cells() -> NDArray[np.float32]:
    """Return the picture, (H, W) from 0 to 255."""
    with Image.open(EXAMPLES / "nuclei_crowded.png") as picture:
        return np.array(picture.convert("L"), np.float32)[PART]


@lru_cache(maxsize=32)
def segmented(tile: int, overlap: int) -> Segmentation:
    """Return the network's answer in tiles of ``tile`` pixels that see ``overlap`` pixels around them."""
    return server_cache.segmenter(MODEL).in_tiles(cells(), tile, overlap=overlap)


def in_one_piece() -> Segmentation:
    """Return the answer when the network sees all of the picture at once."""
    return segmented(TILE, OVERLAP)


def corners(tile: int) -> list[tuple[int, int]]:
    """Return where the tiles of the picture begin."""
    height, width = cells().shape
    return list(tile_corners(height, width, tile))


@cache
def shrinkage() -> dict[int, tuple[int, int]]:
    """Return, of the paper's U-Net, the number of convolutions and the pixels that they cost, by the stride of their maps.

    An unpadded convolution of width k gives k - 1 cells less than it reads, and a cell is ``stride`` pixels wide.
    """
    with torch.device("meta"):
        network = unet(padding="valid")
    backbone: Any = network.backbone
    decoder: Any = network.decoder
    steps: list[Any] = list(enumerate(backbone.steps))
    steps += zip(decoder.levels, (block.convs for block in decoder.blocks), strict=True)
    count, cost = Counter[int](), Counter[int]()
    for level, step in steps:
        kernels = [layer.kernel_size[0] for layer in step.modules() if isinstance(layer, nn.Conv2d)]
        count[2**level] += len(kernels)
        cost[2**level] += sum(kernel - 1 for kernel in kernels) * 2**level
    return {stride: (count[stride], cost[stride]) for stride in sorted(count)}


def draw(side: Any, overlap: Any, number: Any) -> str:
    """What one tile sees, what all of them give together, and where the paper's 92 pixels go."""
    tile = TILES[chosen("the tile", side, tuple(TILES))]
    overlap = check_integer("the overlap", overlap, 0, OVERLAP) // 16 * 16
    number = check_integer("the number of the tile", number, 1, MOST_TILES)
    places = corners(tile)
    number = min(number, len(places))
    result = segmented(tile, overlap)
    differs = result.labels != in_one_piece().labels
    read = sum(seen_by_tile(cells(), *place, tile, overlap)[..., 0].size for place in places) / cells().size
    panels = [
        panel(
            f"What the network sees for tile {number} of {len(places)}", _seen(places[number - 1], tile, overlap), SEEN
        ),
        panel(
            "All tiles put together",
            _together(result.instances, tile, differs),
            "Green: outlines. Red: another class than in one piece.",
        ),
        panel("What the paper's tiles lose", render("lessons/shrinkage.html", rows=shrinkage(), tile=PAPERS_TILE)),
    ]
    words = (
        f"With an overlap of {overlap} pixels, <b>{differs.mean():.2%}</b> of the pixels get another class than in one piece; "
        f"{result.instances.sentence}. The tiles read {read:.1f} times the picture"
    )
    return figure(f"lesson-tiles-{tile}-{overlap}", panels, words)


def _seen(place: tuple[int, int], tile: int, overlap: int) -> str:
    """The tile with what lies around it: what is kept is bright, and the picture's own edge is dashed."""
    pixels = seen_by_tile(stretched(cells()), *place, tile, overlap)
    scale = PANEL / pixels.shape[1]
    around, kept = overlap * scale, tile * scale
    tall = pixels.shape[0] * scale
    hole = f"M0 0H{PANEL}V{tall:g}H0ZM{around:g} {around:g}v{kept:g}h{kept:g}v{-kept:g}Z"
    (height, width), (top, left) = cells().shape, place
    edge = rect((overlap - left) * scale, (overlap - top) * scale, width * scale, height * scale, "grid off edge")
    words = f"{pixels.shape[1]} by {pixels.shape[0]} pixels, of which the middle {tile} by {tile} are kept"
    dim = f'<path class="dim" d="{hole}"/>'
    return shown(pixels.astype(np.uint8), words, dim, rect(around, around, kept, kept, "window"), edge)


def _together(found: Instances, tile: int, differs: NDArray[np.bool_]) -> str:
    pixels = stretched(cells()) * 0.75
    pixels[found.outlines] = OUTLINE
    pixels[differs] = HOT
    scale = PANEL / cells().shape[1]
    lines = [rect(left * scale, top * scale, tile * scale, tile * scale, "grid faint") for top, left in corners(tile)]
    words = f"Outlines of {len(found)} nuclei from tiles of {tile} pixels; {int(differs.sum())} pixels differ"
    return shown(pixels.astype(np.uint8), words, *lines)


LESSON = Lesson(
    name="Tiles",
    title="A picture of any size, tile by tile",
    minutes=5,
    aim="You can cut a picture of any size into tiles whose seams do not show.",
    text="""
A picture from a microscope may have 10,000 pixels a side. It is cut into **tiles**. But near the edge of a tile the network
does not see what lies beyond, so neighbours do not agree: there is a **seam**.

The paper's U-Net has no padding: it labels the middle of what it reads, and reads the next tile with an **overlap**. At the
edge of the picture the missing part is **mirrored**. Our U-Net pads, so it may keep all: the overlap is a choice, and the
picture shows what it is worth.
""",
    question="From which overlap on do the tiles say what the whole picture says?",
    choices=("96 pixels", "32 pixels", "64 pixels"),
    answer="""
From 96 pixels on: no pixel differs. The paper's 92 are what the network sees beyond a pixel, and the next multiple of 16,
the stride of the deepest map, is 96. Small tiles with such a border read the picture many times over. So tiles should be
large: of 512 pixels they read it less than twice.
""",
    controls=lambda: [
        radio("Tile", list(TILES)),
        slider("Overlap (pixels)", 0, 0, OVERLAP, step=16),
        slider("Look at tile", 1, 1, MOST_TILES),
    ],
    figure=draw,
    last_most=lambda side, _: len(corners(TILES[chosen("the tile", side, tuple(TILES))])),
    python="""
import numpy as np
import segmodels
from PIL import Image
from segmodels.checkpoints.paths import EXAMPLES

segmenter = segmodels.load("unet_nuclei")
picture = np.array(Image.open(EXAMPLES / "nuclei_crowded.png"))[128:320, 320:576]
whole = segmenter.in_tiles(picture)  # one tile of 512 pixels holds it
for overlap in (0, 32, 96):
    tiled = segmenter.in_tiles(picture, tile=64, overlap=overlap)
    print("overlap", overlap, "pixels that differ:", (tiled.labels != whole.labels).sum())
""",
    references=(("unet", "section 2 and figure 2"),),
    see=See("anatomy", "The network that is cut up here", MODEL),
)
