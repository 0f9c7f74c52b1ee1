"""Shapes drawn as the tools that they come from draw them: they differ by a pixel at the borders."""

import base64
import binascii
import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..inference.run_length import Mask, Size
from ..labels import MAX_PIXELS

Points = Sequence[Sequence[float]]


def canvas_size(width: object, height: object) -> Size:
    """Return a size that a file gives.

    Raises:
        ValueError: if it is none, or too large.
    """
    if not isinstance(width, int | float) or not isinstance(height, int | float) or min(width, height) < 1:
        raise ValueError(f"{width!r} x {height!r} is no size")
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than any photo may have")
    return int(width), int(height)


def coco_polygon(points: Points, size: Size) -> Mask:
    """Return what a polygon covers by COCO's rule (``rleFrPoly`` of its API): pixels whose middles lie inside.

    From (0, 0) to (10, 10) it covers 100 pixels. Pillow and OpenCV draw the border too: 121.
    """
    width, height = size
    scale = 5
    corners = np.floor(scale * np.asarray(points, dtype=np.float64) + 0.5).astype(np.int64)
    ends = np.roll(corners, -1, axis=0)
    along = [_boundary(first, last) for first, last in zip(corners, ends, strict=True)]
    x, y = np.concatenate(along).T
    left = np.minimum(x[1:], x[:-1])
    crossed = x[1:] != x[:-1]
    column = (left + 0.5) / scale - 0.5
    row = np.ceil(np.clip((np.minimum(y[1:], y[:-1]) + 0.5) / scale - 0.5, 0, height))
    kept = crossed & (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    places = column[kept].astype(np.int64) * height + row[kept].astype(np.int64)
    toggles = np.bincount(places, minlength=width * height + 1)[: width * height]
    return (np.cumsum(toggles) % 2 == 1).reshape(width, height).T


def _boundary(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, 2): the points of an edge on COCO's finer grid, in the order in which it is walked."""
    (dx, dy) = np.abs(last - first)
    steps = int(max(dx, dy))
    axis = 0 if dx >= dy else 1
    flipped = first[axis] > last[axis]
    start, end = (last, first) if flipped else (first, last)
    t = np.arange(steps, -1, -1) if flipped else np.arange(steps + 1)
    slope = float(end[1 - axis] - start[1 - axis]) / steps if steps else 0.0
    walked = np.empty((steps + 1, 2), dtype=np.int64)
    walked[:, axis] = start[axis] + t
    walked[:, 1 - axis] = np.trunc(start[1 - axis] + slope * t + 0.5)
    return walked


def pillow_polygon(points: Points, size: Size, border: bool = True) -> Mask:
    """Return what a polygon covers as Pillow draws it: labelme draws a ``border`` too, Cityscapes' scripts do not."""
    image = Image.new("1", size)
    places = [(float(x), float(y)) for x, y in points]
    ImageDraw.Draw(image).polygon(places, fill=1, outline=1 if border else None)
    return np.array(image)


def stroke(points: Points, size: Size, width: int) -> Mask:
    """Return what a line of ``width`` pixels covers; of one point, a disc of that diameter."""
    image = Image.new("1", size)
    pen = ImageDraw.Draw(image)
    places = [(float(x), float(y)) for x, y in points]
    if len(places) > 1:
        pen.line(places, fill=1, width=width, joint="curve")
    else:
        x, y = places[0]
        pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=1)
    return np.array(image)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, size: Size, degrees: float = 0.0) -> Mask:
    """Return the pixels whose middles lie in an ellipse about (x, y), turned clockwise by ``degrees``."""
    width, height = size
    across, down = np.arange(width) + 0.5 - x, (np.arange(height) + 0.5 - y)[:, None]
    turn = math.radians(degrees)
    along = across * math.cos(turn) + down * math.sin(turn)
    beside = down * math.cos(turn) - across * math.sin(turn)
    return np.asarray((along / max(radius_x, 1e-9)) ** 2 + (beside / max(radius_y, 1e-9)) ** 2 <= 1)


def mask_of_png(text: str) -> Mask:
    """Return a mask that labelme keeps as a PNG in base64.

    Raises:
        ValueError: if it is none.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError("it is too large")
            return np.array(image).astype(bool)
    except (OSError, SyntaxError, ValueError, binascii.Error) as error:
        raise ValueError(f"a mask cannot be read ({error})") from None


def label_studio_rle(code: Sequence[int], size: Size) -> Mask:
    """Return the pixels of a brush in Label Studio's run-length code, by its alpha channel.

    The code is of the bytes of an RGBA picture, row by row: 32 bits of their number, then sizes of words, then runs.

    Raises:
        ValueError: if it does not fill the picture.
    """
    width, height = size
    data = bytes(code)
    place = 0

    def read(count: int) -> int:
        nonlocal place
        first, place = place // 8, place + count
        last = (place + 7) // 8
        if last > len(data):
            raise ValueError("a brush's code is cut short")
        return (int.from_bytes(data[first:last], "big") >> (8 * last - place)) & ((1 << count) - 1)

    number, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    if number != 4 * width * height:
        raise ValueError(
            f"a brush's code is of {number} values, and {width} x {height} pixels have {4 * width * height}"
        )
    pixels = np.zeros(number, dtype=np.uint8)
    done = 0
    while done < number:
        repeated = read(1)
        end = done + 1 + read(sizes[read(2)])
        if repeated:
            pixels[done:end] = read(word)
        else:
            pixels[done:end] = [read(word) for _ in range(min(end, number) - done)]
        done = end
    return pixels.reshape(height, width, 4)[..., 3] >= 128
