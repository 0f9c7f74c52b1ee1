"""Lesson 3: FCN's three predictions, on the visitor's photo."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from segmodels.inference.label_map import label_map
from segmodels.inference.settings import check_integer
from segmodels.models import registry
from segmodels.models.fcn import FCNDecoder

from ..components import photo_overlay
from ..components.figures import contents, figure, panel
from ..server import cache
from .lesson import Lesson, See, chosen, close_up, radio, slider, small_photo

CELLS, SMOOTH = "cell by cell", "bilinear, as FCN does"
MODEL = "fcn_mobilenetv2"
NEAR = 8
"""Pixels of the picture, 512 along its longer side, that count as near an edge."""


def predictions(photo: str) -> dict[int, Tensor]:
    """The logits of FCN-32s, 16s and 8s of the photo at this path: stride -> (classes, h, w)."""
    segmenter = cache.segmenter(MODEL)
    maps = segmenter.feature_maps(cache.features(photo, MODEL, None))
    with segmenter.exclusive() as network, torch.inference_mode():
        assert isinstance(network.decoder, FCNDecoder)
        return {stride: logits[0].float().cpu() for stride, logits in network.decoder.all_strides(maps).items()}


def draw(photo: str, enlarged: Any, zoom: Any) -> str:
    """The three label maps side by side over the photo, and how far the first two are from the last."""
    enlarged, zoom = chosen("the enlarging", enlarged, (CELLS, SMOOTH)), check_integer("the zoom", zoom, 1, 6)
    shown = small_photo(photo)
    size = (shown.height, shown.width)
    found = predictions(photo)
    corners = cache.features(photo, MODEL, None).aligned_size
    maps = {stride: label_map(logits, size, aligned_size=corners) for stride, logits in found.items()}
    finest = min(found)
    if enlarged == CELLS:
        maps = {stride: _cells(logits, size) for stride, logits in found.items()}
    panels = []
    for stride, logits in found.items():
        labels = maps[stride]
        note = _changed(labels, maps[finest], finest) if stride > finest else "both skips added"
        shape = f"{logits.shape[2]} × {logits.shape[1]} cells"
        panels.append(panel(f"FCN-{stride}s: {shape}", _picture(labels, zoom, f"FCN-{stride}s"), note))
    classes = registry.card(MODEL).class_list
    words = "; ".join(f"{stride}s finds {contents(map_, classes.names)}" for stride, map_ in maps.items())
    return figure("lesson-skips", panels, words, photo_overlay.photo_attributes(photo, cache.display(photo), classes))


def _changed(labels: NDArray[np.uint8], finest: NDArray[np.uint8], stride: int) -> str:
    """How many pixels differ from the finest label map, and how many of those lie near an edge of it."""
    differs = labels != finest
    words = f"{differs.mean():.1%} of the pixels differ from FCN-{stride}s"
    return f"{words}, {near_edges(finest)[differs].mean():.0%} of them near its edges" if differs.any() else words


def near_edges(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The pixels within ``NEAR`` pixels, in rows and columns, of another class."""
    classes = torch.from_numpy(labels.astype(np.float32))[None, None]
    most, least = (
        nn.functional.max_pool2d(sign * classes, 2 * NEAR + 1, stride=1, padding=NEAR)[0, 0] for sign in (1, -1)
    )
    return (most != -least).numpy()


def _cells(logits: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The best class of each cell, the cells enlarged as they are."""
    labels = Image.fromarray(logits.max(0).indices.to(torch.uint8).cpu().numpy())
    return np.asarray(labels.resize(size[::-1], Image.Resampling.NEAREST))


def _picture(labels: NDArray[np.uint8], zoom: int, name: str) -> str:
    """The middle of the photo, and of the labels over it."""
    height, width = labels.shape
    left, top = (width - width / zoom) / 2, (height - height / zoom) / 2
    words = f"The label map of {name}: {(labels > 0).mean():.0%} of it is no background"
    return close_up(words, labels, (left, top, width - left, height - top))


LESSON = Lesson(
    name="Skips",
    title="Coarse maps know what, fine ones where",
    minutes=5,
    aim="You can say what FCN's skips add to the coarse scores.",
    text="""
FCN's deepest map knows *what* is there, but not *where* in its large cells the edge runs. So FCN scores finer maps too, by
1 × 1 convolutions, doubles the coarse scores by a transposed convolution and adds both. The paper goes from stride 32 to 16
and 8, and so does our FCN on MobileNet v2. Its 32s is the answer of Google's published head; the two skips were trained.
""",
    question="From 32s to 8s, what changes: the classes or their edges?",
    choices=("Mostly the edges", "Mostly the classes", "Both alike"),
    answer="""
Mostly their edges. On 75 of the validation photos the skips change 3.1 % of the pixels (median), and the accuracy within 6
pixels of true edges rises from 0.736 to 0.796, mIoU-7 from 0.790 to 0.812. On your photo the notes count it. In the paper the skips took
the mIoU from 59.4 to 62.7.
""",
    controls=lambda: [radio("Enlarged", [CELLS, SMOOTH]), slider("Zoom", 1, 1, 6)],
    figure=draw,
    python="""
import segmodels
from segmodels.checkpoints.paths import EXAMPLES

segmenter = segmodels.load("fcn_mobilenetv2")
features = segmenter.encode(segmodels.read_photo(EXAMPLES / "cat.jpg").image)
finest = segmenter.logits(features).argmax(0)
for off in ((), ("score 8",), ("score 8", "score 16")):
    labels = segmenter.logits(features, disabled=off).argmax(0)
    print("without", off, f"{(labels != finest).float().mean():.1%} of the cells differ")
""",
    references=(("fcn", "section 4.2, figures 3 and 4, table 2"),),
    see=See("lab", "Train the two skips on the spot", section="learn"),
    on_photo=True,
)
