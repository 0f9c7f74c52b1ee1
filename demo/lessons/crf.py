"""Lesson 9: the fully connected CRF, update by update, and which pixels pull at one of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from segmodels.checkpoints.paths import EXAMPLES
from segmodels.crf.mean_field import SampledPhoto
from segmodels.crf.parameters import CRF, REFERENCE_SIDE
from segmodels.inference.crf_label_map import CRFAnswer
from segmodels.inference.settings import check_integer
from segmodels.labels import ClassList

from ..components import photo_overlay
from ..components.figures import PANEL, Cell, Grid, figure, panel, photograph, svg
from ..components.heat_map import map_image
from ..components.markup import readable
from ..server import cache
from .lesson import Box, Lesson, See, cell_at, chosen, close_up, pointed, radio, slider, small_photo

NETWORKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "v3": ("deeplabv3_mobilenetv2", ()),
    "v3+": ("deeplabv3plus_mobilenetv2", ()),
    "FCN-32s": ("fcn_mobilenetv2", ("score 16", "score 8")),
}
"""Each with the parts that are off."""
PHOTOS: dict[str, str | None] = {"the page's": None, "where it hurts": "boats.jpg"}
UPDATES, THETA_ALPHA, THETA_BETA, THETA_GAMMA = (0, 10), (10, 150), (2, 30), (1, 10)
LEAST_VOTES = 0.01
"""A class with a smaller part of the votes is not named."""

Weights = Tensor
"""(h, w): how strongly each sampled pixel of a photo pulls at one of them."""

_sampled: cache.LRUCache[SampledPhoto] = cache.LRUCache(48 * 2**20, lambda photo: photo.nbytes)
"""Lattices, by photo and the lengths of the bilateral kernel."""


@dataclass(frozen=True)
class Asked:
    """What a network and the CRF make of a photo, and of one of the pixels that the CRF samples."""

    alone: CRFAnswer
    """Before any update."""
    answer: CRFAnswer
    classes: ClassList
    cell: Cell
    """The row and column, among the sampled pixels, of the one that is looked at."""

    def votes(self) -> tuple[Weights, str]:
        """How strongly each pixel pulls at the one that is looked at, and for which classes, in words."""
        marginals = self.answer.marginals
        weights = pull(marginals.photo, marginals.crf, self.cell)
        return weights, self._named((marginals.probabilities * weights).sum((1, 2)) / weights.sum())

    def at_cell(self, answer: CRFAnswer) -> str:
        """The probabilities of the classes at the pixel, in words."""
        row, column = self.cell
        return self._named(answer.marginals.probabilities[:, row, column])

    def _named(self, shares: Tensor) -> str:
        names = [readable(self.classes.names[index]) for index in self.answer.present.tolist()]
        order = [index for index in shares.argsort(descending=True).tolist() if shares[index] >= LEAST_VOTES]
        return ", ".join(f"{names[index]} {float(shares[index]):.0%}" for index in order)


def pull(photo: SampledPhoto, crf: CRF, cell: Cell) -> Weights:
    """How strongly each sampled pixel of a photo pulls at that in ``cell``: both kernels, weighted and normalised.

    In an update of mean field a pixel's new score is the network's plus the sum of all pixels' probabilities times these. The
    kernels are symmetric, so they are what the filters make of a single pixel.
    """
    rows, columns = photo.shape
    alone = torch.zeros(1, rows, columns)
    alone[0, *cell] = 1
    bilateral = photo.lattice.filter(alone.view(-1, 1)).view(photo.shape)
    scale = REFERENCE_SIDE / max(photo.size)
    down, along = (scale * (every - every[at]) for every, at in zip((photo.rows, photo.columns), cell, strict=True))
    smoothness = (-(down[:, None] ** 2 + along**2) / (2 * crf.theta_gamma**2)).exp()
    return crf.w1 * bilateral + crf.w2 * smoothness / smoothness.sum()


def ask(photo: str, network: str, crf: CRF, across: Any, down: Any) -> Asked:
    """Run a network and the CRF on the photo at this path, and look at the pixel at these percentages."""
    model, off = NETWORKS[network]
    segmenter, features = cache.segmenter(model), cache.features(photo, model, None)
    colours = features.pixels
    assert colours is not None
    key = photo, features.working_size, crf.theta_alpha, crf.theta_beta
    sampled = _sampled.get(key, lambda: SampledPhoto.of(colours, crf))
    logits = segmenter.logits(features, disabled=off)
    alone, answer = (
        CRFAnswer.of(logits, sampled, one, features.aligned_size) for one in (replace(crf, iterations=0), crf)
    )
    return Asked(alone, answer, segmenter.card.class_list, cell_at(across, down, *sampled.shape))


def draw(
    photo: str,
    shown: Any,
    network: Any,
    updates: Any,
    alpha: Any,
    beta: Any,
    gamma: Any,
    zoom: Any,
    across: Any,
    down: Any,
) -> str:
    """The network's edge and the CRF's around a pixel, and which pixels pull at it."""
    hurt = PHOTOS[chosen("the photo", shown, tuple(PHOTOS))]
    network = chosen("the network", network, tuple(NETWORKS))
    crf = CRF(
        theta_alpha=check_integer("θα", alpha, *THETA_ALPHA),
        theta_beta=check_integer("θβ", beta, *THETA_BETA),
        theta_gamma=check_integer("θγ", gamma, *THETA_GAMMA),
        iterations=check_integer("the updates", updates, *UPDATES),
    )
    zoom = check_integer("the zoom", zoom, 1, 6)
    photo = photo if hurt is None else str(EXAMPLES / hurt)
    asked = ask(photo, network, crf, across, down)
    small = small_photo(photo)
    before, after = (one.label_map((small.height, small.width), small) for one in (asked.alone, asked.answer))
    weights, votes = asked.votes()
    done = f"{crf.iterations} update{'s' * (crf.iterations != 1)}"
    box = around(asked.cell, weights.shape, zoom, small.size)
    panels = [
        panel("The network alone", _close_up("The network's label map", before, box, asked)),
        panel(
            f"After {done}",
            _close_up(f"The label map after {done}", after, box, asked),
            f"{(before != after).mean():.1%} of the photo's pixels change",
        ),
        panel("Who pulls at the pixel", _heat(small, weights, asked.cell), f"Bright pulls more. They vote {votes}."),
    ]
    words = (
        f"The network gives the pixel <b>{asked.at_cell(asked.alone)}</b>, "
        f"{done} of the CRF <b>{asked.at_cell(asked.answer)}</b>"
    )
    over = photo_overlay.photo_attributes(photo, cache.display(photo), asked.classes)
    return figure(f"lesson-every-pixel-votes-{crf.iterations}", panels, words, over)


def around(cell: Cell, shape: Sequence[int], zoom: int, size: tuple[int, int]) -> Box:
    """A part of a picture of ``size`` (width, height) around a cell of a map of ``shape``, ``zoom`` times as small."""
    (width, height), (row, column) = size, cell
    left = min(max((column + 0.5) / shape[1] - 0.5 / zoom, 0), 1 - 1 / zoom) * width
    top = min(max((row + 0.5) / shape[0] - 0.5 / zoom, 0), 1 - 1 / zoom) * height
    return left, top, left + width / zoom, top + height / zoom


def _close_up(alt: str, labels: NDArray[np.uint8], box: Box, asked: Asked) -> str:
    height, width = labels.shape
    rows, columns = asked.answer.marginals.photo.shape
    x, y = (asked.cell[1] + 0.5) / columns * width, (asked.cell[0] + 0.5) / rows * height
    left, top, right, bottom = box
    place = f"left: {(x - left) / (right - left):.2%}; top: {(y - top) / (bottom - top):.2%}"
    drawn = close_up(alt, labels, box, f'<span class="cross" style="{place}"></span>')
    return pointed((left / width, top / height, right / width, bottom / height), drawn)


def _heat(photo: Image.Image, weights: Weights, cell: Cell) -> str:
    """The photo, dimmed, under the square root of the weights, as bright as can be for two in a thousand pixels."""
    rows, columns = weights.shape
    tall = PANEL * rows / columns
    most = weights.flatten().quantile(0.998).clamp(min=torch.finfo(weights.dtype).tiny)
    strength = (weights / most).clamp(max=1).sqrt().numpy()
    heat = map_image(strength.astype(np.float32), 1, "inferno", np.minimum(np.linspace(0, 2, 256), 0.95))
    grid = Grid(rows, columns, PANEL / columns)
    x, y = grid.centre(*cell)
    cross = f'<path class="here" d="M{x - 9:.4g} {y:.4g}h6m6 0h6M{x:.4g} {y - 9:.4g}v6m0 6v6"/>'
    drawn = svg(
        tall,
        f"How strongly each pixel pulls at the one in row {cell[0]}, column {cell[1]}",
        photograph(photo, 0, 0, PANEL, tall, "dimmed"),
        photograph(heat, 0, 0, PANEL, tall, "map"),
        cross,
    )
    return pointed((0, 0, 1, 1), drawn)


LESSON = Lesson(
    name="Every pixel votes",
    title="Edges by vote",
    minutes=6,
    aim="You can say how the CRF moves edges, and where it errs.",
    text="""
The network knows *what* is there; its edges are soft. In DeepLab's first two versions a **fully connected CRF** sharpened
them. Every pixel votes on the class of every other, with a weight

*w₁ exp(−d²/2θα² − c²/2θβ²) + w₂ exp(−d²/2θγ²)*,

where *d* is how many pixels they are apart and *c* how many grey levels their colours. The votes are added to the network's
scores, and all pixels are updated at once, some three times. **Click a picture**: bright pixels pull at the one that you chose.
""",
    question="It makes edges better. So why did DeepLab v3 do without?",
    choices=(
        "A finer map leaves little for it to mend",
        "It changes most of the classes",
        "It needs a network of its own",
    ),
    answer="""
The finer the map, the less is left for it. On 45 of the validation photos it adds 5.1 points to the accuracy within 8 pixels of
true edges where v3+ runs without its low-level path, and 2.7 with it; the path alone adds 2.6. For FCN-32s it adds 4.3, for
FCN-8s 2.8. A finer map is learned with the rest of the network; the CRF runs after it, and its numbers have to be searched. It
also errs in its own way: choose **where it hurts**. The top of the sail has the colour of the sky behind it, so the sky's pixels
pull at the sail's, and tear holes into it.
""",
    controls=lambda: [
        radio("Photo", list(PHOTOS)),
        radio("Network", list(NETWORKS)),
        slider("Updates", 3, *UPDATES),
        slider("θα", 60, *THETA_ALPHA),
        slider("θβ", 6, *THETA_BETA),
        slider("θγ", 2, *THETA_GAMMA),
        slider("Zoom", 2, 1, 6),
        slider("Across (%)", 53, 0, 100),
        slider("Down (%)", 40, 0, 100),
    ],
    figure=draw,
    python="""
import segmodels
from segmodels.checkpoints.paths import EXAMPLES

photo = segmodels.read_photo(EXAMPLES / "cat.jpg").image
for name in ("fcn_mobilenetv2", "deeplabv3plus_mobilenetv2"):
    segmenter = segmodels.load(name)
    alone, sharpened = segmenter(photo).labels, segmenter(photo, crf=True).labels
    print(name, f"{(alone != sharpened).mean():.1%} of the pixels change")
""",
    references=(
        ("densecrf", "sections 2 and 3"),
        ("deeplabv1", "section 4.2"),
        ("deeplabv2", "section 3.3"),
    ),
    see=See("anatomy", "What v3+ has instead: its low-level path", "deeplabv3plus_mobilenetv2"),
    on_photo=True,
    pointed=True,
)
