"""Lesson 1: a classifier's last layer as a convolution that slides."""

from html import escape
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from segmodels.inference.settings import check_integer
from segmodels.labels import VOC_CLASSES
from segmodels.models.base import SegmentationNetwork
from segmodels.models.deeplab import DeepLabV3Decoder

from ..components.figures import PANEL, figure, panel, photograph, rect, svg, text
from ..components.markup import colour_style, readable
from ..server import cache
from ..server.cache import LRUCache
from .lesson import Lesson, See, slider

MODEL = "deeplabv3_mobilenetv2_google"
"""Without its dilations it is the network that classified 224 x 224 pixels: the FCN here stays at stride 16."""
STRIDE, KERNEL = 32, 7
"""The photos that the classifier was made for, 224 pixels a side, leave a map of 7 x 7."""
SIDES = (160, 512)
THINGS = tuple(map(readable, VOC_CLASSES[1:]))
"""What the classifier tells apart: it is asked what is there, so background is no answer."""


_maps: LRUCache[Tensor] = LRUCache(32 * 2**20, lambda values: values.nbytes)
"""What the network has before its scores, by photo and size: a megabyte each."""


def classifier(scores: nn.Conv2d) -> nn.Linear:
    """A fully connected layer over a 7 x 7 map, as VGG16 has: it reads cells x channels numbers and gives one score a
    class. Its weights are those of the network's 1x1 ``scores``, the same for each of the 49 cells: it takes their mean.
    """
    linear = nn.Linear(scores.in_channels * KERNEL**2, scores.out_channels, device="meta")
    weight = scores.weight.detach().float().cpu().flatten(1) / KERNEL**2  # (classes, channels)
    linear.weight = nn.Parameter(weight.repeat_interleave(KERNEL**2, 1), requires_grad=False)
    assert scores.bias is not None
    linear.bias = nn.Parameter(scores.bias.detach().float().cpu(), requires_grad=False)
    return linear


def as_convolution(linear: nn.Linear) -> nn.Conv2d:
    """The same layer, the very same weights, as a 7 x 7 convolution: (N, C, h, w) -> (N, classes, h - 6, w - 6)."""
    channels = linear.in_features // KERNEL**2
    conv = nn.Conv2d(channels, linear.out_features, KERNEL, device="meta")
    conv.weight = nn.Parameter(linear.weight.reshape(-1, channels, KERNEL, KERNEL), requires_grad=False)
    conv.bias = linear.bias
    return conv


def last_map(photo: str, side: int) -> Tensor:
    """What the trained network has before its scores, (1, 256, h, w), of the square middle of a photo, at that very size."""

    def make() -> Tensor:
        segmenter = cache.segmenter(MODEL)
        card = segmenter.card
        pixels = (np.array(square(photo, side), dtype=np.float32) - card.mean) / card.std
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(segmenter.device, segmenter.dtype)
        with segmenter.exclusive(output_stride=STRIDE) as network, torch.inference_mode():
            return decoder(network).aspp(network.encode(x)[-1]).float().cpu()

    return _maps.get((photo, side), make)


def trained_classifier() -> nn.Linear:
    """The ``classifier`` with the weights that the trained network has for ``THINGS``."""
    with cache.segmenter(MODEL).exclusive() as network:
        linear = classifier(decoder(network).classifier)
    linear.weight, linear.bias = (
        nn.Parameter(values[1:], requires_grad=False) for values in (linear.weight, linear.bias)
    )
    linear.out_features = len(THINGS)
    return linear


def decoder(network: SegmentationNetwork) -> DeepLabV3Decoder:
    """The network's decoder."""
    assert isinstance(network.decoder, DeepLabV3Decoder)
    return network.decoder


def square(photo: str, side: int) -> Image.Image:
    """The middle of the photo at this path at ``side`` x ``side`` pixels."""
    shown = cache.display(photo).photo
    least = min(shown.size)
    left, top = (shown.width - least) / 2, (shown.height - least) / 2
    return shown.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + least, top + least))


def run(layer: nn.Module, x: Tensor) -> tuple[Tensor | None, str]:
    """What a layer gives, or what torch says if it cannot, as HTML."""
    try:
        with torch.inference_mode():
            return layer(x), ""
    except RuntimeError as error:
        return None, escape(str(error))


def draw(photo: str, side: Any) -> str:
    """The photo at the chosen size, through the classifier and through its convolution."""
    side = check_integer("the photo's side", side, *SIDES)
    shown, x = square(photo, side), last_map(photo, side)
    linear = trained_classifier()
    answer, error = run(nn.Sequential(nn.Flatten(), linear), x)
    map_, too_small = run(as_convolution(linear), x)
    rows, columns = x.shape[2:]
    read = f"flatten {columns} × {rows} × {x.shape[1]} = {x[0].numel():,} numbers"
    panels = [
        panel("Flatten, then fully connected", _answer(shown, answer, read), error and f"torch says: <b>{error}</b>"),
        panel("The same weights as a 7 × 7 convolution", _map(shown, map_), too_small and f"torch says: {too_small}"),
    ]
    shape = "no scores" if map_ is None else f"scores of <b>{' × '.join(map(str, reversed(map_.shape[1:])))}</b>"
    one = "fails" if answer is None else f"says {THINGS[int(answer.argmax())]}"
    words = (
        f"{side} × {side} pixels leave a map of {rows} × {columns}: the classifier {one}, the convolution gives {shape}"
    )
    return figure(f"lesson-any-size-{side}", panels, words)


def _answer(photo: Image.Image, scores: Tensor | None, read: str) -> str:
    """The photo with one answer for all of it, or none."""
    words = "no answer" if scores is None else THINGS[int(scores.argmax())]
    return svg(
        PANEL,
        f"The photo, {read}, {words}",
        photograph(photo, 30, 0, PANEL - 60, PANEL - 60),
        text(PANEL / 2, PANEL - 38, read),
        text(PANEL / 2, PANEL - 8, words, "answer" if scores is not None else "answer wrong"),
    )


def _map(photo: Image.Image, scores: Tensor | None) -> str:
    """The photo with the best class of every cell of the map of scores, each in the middle of what it has read."""
    scale = (PANEL - 60) / photo.width
    cell = STRIDE * scale
    parts = [photograph(photo, 30, 0, PANEL - 60, PANEL - 60, "pale")]
    words = "no scores"
    if scores is not None:
        winners = scores[0].max(0).indices
        rows, columns = winners.shape
        first = (KERNEL - 1) / 2 * cell
        for row in range(rows):
            for column in range(columns):
                x, y = 30 + first + column * cell, first + row * cell
                winner = int(winners[row, column])
                parts.append(rect(x, y, cell, cell, "score", colour_style(winner + 1)))
        parts.append(rect(30, 0, KERNEL * cell, KERNEL * cell, "window"))
        counts = torch.bincount(winners.flatten(), minlength=len(THINGS))
        found = [(int(counts[index]), THINGS[index]) for index in counts.argsort(descending=True) if counts[index]]
        words = ", ".join(f"{name} {number}" for number, name in found[:4])
    parts.append(text(PANEL / 2, PANEL - 38, "each cell's best class, and its count"))
    parts.append(text(PANEL / 2, PANEL - 8, words, "answer" if scores is not None else "answer wrong"))
    return svg(PANEL, f"Each cell's best class: {words}", *parts)


LESSON = Lesson(
    name="Any size",
    title="From one answer to an answer everywhere",
    minutes=4,
    aim="You can turn a classifier's last layer into a convolution.",
    text="""
A **fully connected layer** has a weight for every number of a map, so a classifier takes one size: here 7 × 7 cells, a photo
of 224 × 224 pixels.

But to weigh all 7 × 7 cells and sum up *is* a convolution, applied once. On a larger map it slides and gives a **map of
scores**, one answer a place. With that step FCN begins. The weights are a trained network's, without its background: a
classifier says which of twenty things is there.
""",
    question="At which sizes does the convolution give 5 × 5 answers?",
    choices=("From 321 to 352 pixels", "At all from 160 pixels on", "At 224 pixels alone"),
    answer="""
A 7 × 7 kernel fits into *n* cells *n* − 6 times: 5 answers take 11 cells, one for every 32 pixels begun, so 321 to 352. At
512 one pass gives 100 answers, for far less work than 100 crops.
""",
    controls=lambda: [slider("Side of the photo (pixels)", 224, *SIDES, step=16)],
    figure=draw,
    python="""
import torch
from torch import nn

linear = nn.Linear(7 * 7 * 256, 20)  # a classifier for maps of 7 x 7 cells
conv = nn.Conv2d(256, 20, 7)
conv.weight.data = linear.weight.data.view(20, 256, 7, 7)  # the same weights
conv.bias.data = linear.bias.data
x = torch.rand(1, 256, 11, 11)  # what 352 pixels leave
scores, window = conv(x), x[:, :, 2:9, 3:10]
print(tuple(scores.shape), torch.allclose(scores[:, :, 2, 3], linear(window.flatten(1)), atol=1e-4))
""",
    references=(("fcn", "sections 3.1 and 4.1"),),
    see=See("anatomy", "What FCN makes of VGG16", "fcn8s_vgg16"),
    on_photo=True,
)
