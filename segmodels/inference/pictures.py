"""Pictures of a label map: in its classes' colours, over the photo, and the article's figure.

Photos are RGB PIL images and label maps (H, W) uint8 arrays of the same size; the classes are Pascal VOC's unless others
are given.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..labels import VOC, ClassList
from .legend import legend_fonts, legend_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
) -> Image.Image:
    """The photo with every class but background in its colour."""
    colours = Image.fromarray(labels)
    strength = colours.point([0 if value == classes.background else round(255 * opacity) for value in range(256)])
    colours.putpalette(classes.palette.tobytes())
    return Image.composite(colours.convert("RGB"), photo, strength)


def outlined(picture: Image.Image, outlines: NDArray[np.bool_]) -> Image.Image:
    """Return an RGB picture with the pixels of ``outlines``, (H, W), in white."""
    pixels = np.array(picture)
    pixels[outlines] = 255
    return Image.fromarray(pixels)


def bounded(photo: Image.Image, labels: NDArray[np.uint8], side: int) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Photo and label map, made smaller if their longer side is over ``side`` pixels; no label is mixed."""
    if max(photo.size) <= side:
        return photo, labels
    scale = side / max(photo.size)
    size = (max(round(photo.width * scale), 1), max(round(photo.height * scale), 1))
    small = Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
    return photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0), np.asarray(small)


def figure(photo: Image.Image, labels: NDArray[np.uint8], classes: ClassList = VOC) -> "Figure":
    """The article's figure, input image and segmented output side by side, with the classes found named below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here, because it takes longer to load than the page
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

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
    patches = [
        Patch(facecolor=palette[index] / 255, edgecolor="grey", label=legend_label(classes, index)) for index in found
    ]
    fonts = {"family": legend_fonts(classes.names)}
    drawing.legend(handles=patches, loc="outside lower center", ncols=min(len(patches), 7), frameon=False, prop=fonts)
    return drawing
