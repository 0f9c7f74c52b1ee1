"""A network of one's own from a few strokes: a trained backbone, and score layers that are solved for."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..inference.segmentation import Features
from ..labels import VOC_COLOURS, ClassList
from ..loading import load
from ..networks.network import SegmentationNetwork
from ..networks.score_layers import ScoreLayers
from ..segmenter import Segmenter
from ..zoo import Card
from .regression import solve
from .strokes import cells_under, check_classes, check_strokes

STRIDES = (32, 16, 8)
"""FCN's own."""

MOST_CELLS = 4096
"""Cells that a fit looks at; of more, evenly many are left out. Half a million numbers say all there is to say."""

Photo = Image.Image | NDArray[np.uint8] | Features
"""A photo, or what ``encode`` of the same backbone made of it, so that it is not looked at twice."""


@dataclass(frozen=True)
class Fit:
    """What is known about how a layer came about."""

    cells: dict[str, int]
    """Cells under the strokes of each class, at the finest stride, in all photos; those left out counted too."""
    iterations: int
    accuracy: float
    """Share of those cells that the layer gives the class that was painted."""
    milliseconds: float
    """From features to weights."""


class Taught(Segmenter):
    """A Segmenter whose last layer was fitted to strokes.

    It shares the backbone of the one that it was made from, and its turn: both may be used from several threads.
    """

    def __init__(self, base: Segmenter, decoder: ScoreLayers, card: Card, fit: Fit) -> None:
        self._share(base, decoder, card)
        self.fit = fit


def fit_head(
    backbone: str | Segmenter,
    painted: Sequence[tuple[Photo, NDArray[np.uint8]]],
    classes: Sequence[str],
    strides: Sequence[int] = STRIDES,
) -> Taught:
    """Teach a backbone new classes from strokes on one photo or several.

    A 1x1 convolution on each feature map at ``strides`` scores the classes; coarse scores are interpolated to the finest
    map and summed, as in FCN. The layers are solved for, not trained by steps: multinomial logistic regression with L2
    (``regression.solve``) on the cells under the strokes. The backbone stays as it is.

    Args:
        backbone: a network of the zoo, by name or loaded, whose backbone is used.
        painted: photos, each with its strokes: an (H, W) uint8 array of the photo's size, the index of a class where it was
            painted and 255 where nothing was.
        classes: two to 255 names; the first is what the pictures leave without colour.
        strides: one or more of 32, 16, 8, 4, 2 (16 to 1 in a classic U-Net).

    Raises:
        ValueError: with a sentence, for anything else, and where nothing was painted.
    """
    base = load(backbone) if isinstance(backbone, str) else backbone
    names = check_classes(classes)
    with base.turn() as network:
        channels = network.backbone.out_channels
    decoder = ScoreLayers(channels, coarsest(base.card), strides, len(names)).eval()
    features = [_features(base, photo) for photo, _ in painted]
    started = time.perf_counter()
    cells, targets = _training_cells(base, decoder, features, [strokes for _, strokes in painted], len(names))
    kept = torch.linspace(0, len(cells) - 1, min(len(cells), MOST_CELLS)).long()
    solution = solve(cells[kept], targets[kept], len(names))
    decoder.put(solution.weight, solution.bias)
    decoder.requires_grad_(False).to(base.device, base.dtype)
    given = (cells.double() @ solution.weight.T + solution.bias).argmax(1)
    fit = Fit(
        cells=dict(zip(names, torch.bincount(targets, minlength=len(names)).tolist(), strict=True)),
        iterations=solution.iterations,
        accuracy=float((given == targets).double().mean()),
        milliseconds=1000 * (time.perf_counter() - started),
    )
    return Taught(base, decoder, taught_card(base.card, names, decoder.strides), fit)


def coarsest(card: Card) -> int:
    """The stride of the last feature map: the trained one, but a DeepLab's without its dilations."""
    return card.output_stride if card.atrous_rate is None else 32


def taught_card(base: Card, classes: tuple[str, ...], strides: Sequence[int]) -> Card:
    """The card of score layers at ``strides`` on the backbone of ``base``."""
    return replace(
        base,
        name=f"{base.name}_taught",
        title=f"FCN, taught {', '.join(classes[1:])}"[:80],
        summary=f"1x1 convolutions at stride {', '.join(map(str, strides))} on the backbone of {base.name}, fitted to strokes.",
        builder=partial(build_taught, base, tuple(strides)),
        atrous_rate=None,
        output_stride=coarsest(base),
        chooses_stride=False,
        class_list=ClassList(classes, VOC_COLOURS[: len(classes)]),
        published=False,
        classifier=None,
    )


def build_taught(base: Card, strides: tuple[int, ...], num_classes: int) -> SegmentationNetwork:
    """The bare network: the backbone of ``base`` and score layers at ``strides``, with random weights."""
    backbone = base.builder(num_classes).backbone
    backbone.set_output_stride(coarsest(base))
    return SegmentationNetwork(backbone, ScoreLayers(backbone.out_channels, coarsest(base), strides, num_classes))


def _features(base: Segmenter, photo: Photo) -> Features:
    if isinstance(photo, Features):
        return photo
    return base.encode(photo, None if base.card.atrous_rate is None else coarsest(base.card))


def _training_cells(
    base: Segmenter,
    decoder: ScoreLayers,
    features: Sequence[Features],
    strokes: Sequence[NDArray[np.uint8]],
    num_classes: int,
) -> tuple[Tensor, Tensor]:
    """The (cells, channels) features under all strokes, and the (cells,) classes painted there."""
    found, targets = [], []
    for seen, painted in zip(features, strokes, strict=True):
        check_strokes(painted, seen.photo_size, num_classes)
        with torch.inference_mode():
            joined = decoder.joined(base.maps(seen))[0].cpu()
            cells, classes = cells_under(painted, (joined.shape[1], joined.shape[2]), num_classes)
            found.append(joined.flatten(1)[:, torch.from_numpy(cells)].T.contiguous())
        targets.append(torch.from_numpy(classes))
    if not any(len(classes) for classes in targets):
        raise ValueError("nothing was painted yet: paint some of each class")
    return torch.cat(found), torch.cat(targets)
