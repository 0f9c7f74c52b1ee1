"""Pictures of a label map: in its classes' colours, over the photo, and the article's figure.

Photos are RGB PIL images and label maps (H, W) uint8 arrays of the same size; the classes are Pascal VOC's unless others
are given.
"""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image

from ..labels import VOC, VOID, ClassList

FIGURE_INCHES = (12, 8)
"""The most that the article's figure takes: its width, and the height of its pictures."""
FIGURE_SIDE = 1600
"""The longer side, in pixels, at which the figure shows photo and label map; more would not be seen."""


def label_image(labels: NDArray[np.uint8], classes: ClassList = VOC) -> Image.Image:
    """The label map as a palette image: a pixel's value is its class, its colour the class's."""
    image = Image.fromarray(labels)
    image.putpalette(classes.palette.tobytes())
    return image


def overlay(
    photo: Image.Image,
    labels: NDArray[np.uint8],
    opacity: float = 0.6,
    classes: ClassList = VOC,
    palette: NDArray[np.uint8] | None = None,
) -> Image.Image:
    """The photo with every class but background in its colour, or in those of another ``palette``."""
    colours = Image.fromarray(labels)
    strength = colours.point([0 if value == classes.background else round(255 * opacity) for value in range(256)])
    colours.putpalette((classes.palette if palette is None else palette).tobytes())
    return Image.composite(colours.convert("RGB"), photo, strength)


def mask_layer(labels: NDArray[np.uint8], classes: ClassList = VOC) -> Image.Image:
    """Every class but background in the colour it has on the page, outlined, background transparent: to lie over the photo.

    Outlines have the colour of void; without them, a dark class on a dark photo or a skin-coloured one on a face cannot
    be told.
    """
    image = Image.fromarray(np.where(_edges(labels), np.uint8(VOID), labels))
    image.putpalette(classes.display_palette.tobytes())
    if classes.background is not None:
        image.info["transparency"] = classes.background
    return image


def marked_layer(marked: NDArray[np.bool_], colour: tuple[int, int, int]) -> Image.Image:
    """The marked pixels, (H, W), in one colour, all else transparent."""
    image = Image.fromarray(marked.astype(np.uint8))
    image.putpalette([0, 0, 0, *colour])
    image.info["transparency"] = 0
    return image


def edge_layer(labels: NDArray[np.uint8]) -> Image.Image:
    """White lines, two pixels wide, where one class meets another, all else transparent: dark colours stay legible."""
    return marked_layer(_edges(labels), (255, 255, 255))


def bounded(photo: Image.Image, labels: NDArray[np.uint8], side: int) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Photo and label map, made smaller if their longer side is over ``side`` pixels; no label is mixed."""
    if max(photo.size) <= side:
        return photo, labels
    scale = side / max(photo.size)
    size = (max(round(photo.width * scale), 1), max(round(photo.height * scale), 1))
    small = Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
    return photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0), np.asarray(small)


def figure(photo: Image.Image, labels: NDArray[np.uint8], classes: ClassList = VOC) -> Figure:
    """The article's figure, input image and segmented output side by side, with the classes found named below."""
    photo, labels = bounded(photo, labels, FIGURE_SIDE)
    shape = photo.width / photo.height
    height = min(FIGURE_INCHES[1], FIGURE_INCHES[0] / 2 / shape)  # of each picture
    drawing = Figure(figsize=(max(2 * height * shape, FIGURE_INCHES[0] / 2), height + 1), layout="constrained")
    FigureCanvasAgg(drawing)
    left, right = drawing.subplots(1, 2)
    left.imshow(photo)
    left.set_title("Input image")
    palette = classes.palette
    right.imshow(palette[labels], interpolation="nearest")
    right.set_title("Segmented output")
    for axes in (left, right):
        axes.set_axis_off()
    found = np.unique(labels)
    patches = [Patch(facecolor=palette[index] / 255, edgecolor="grey", label=classes.names[index]) for index in found]
    drawing.legend(handles=patches, loc="outside lower center", ncols=min(len(patches), 7), frameon=False)
    return drawing


def _edges(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W), the pixels on either side of where one class meets another."""
    edges = np.zeros(labels.shape, dtype=bool)
    down, across = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    edges[1:] |= down
    edges[:-1] |= down
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    return edges
