"""Rates x stride as one picture, to be handed out or put on a slide."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from segmodels import Segmentation
from segmodels.pictures import overlay

MARGIN, LINE, SMALL, LARGE = 16, 26, 18, 24
"""Pixels between cells, of a line of text, and of its letters."""


def sheet(photo: Image.Image, title: str, columns: Sequence[Sequence[tuple[Segmentation, str]]]) -> Image.Image:
    """Overlays in columns, each over its atrous rate and output stride and a caption; ``photo`` has the label maps' size."""
    width, height = photo.width + MARGIN, photo.height + 2 * LINE + MARGIN
    size = (len(columns) * width + MARGIN, len(columns[0]) * height + MARGIN + 2 * LINE)
    drawn = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(drawn)
    small, large = (ImageFont.load_default(points) for points in (SMALL, LARGE))
    draw.text((MARGIN, MARGIN), title, "black", large)
    for column, results in enumerate(columns):
        for row, (result, caption) in enumerate(results):
            left, top = MARGIN + column * width, MARGIN + 2 * LINE + row * height
            drawn.paste(overlay(photo, result.labels), (left, top))
            name = f"rate {result.atrous_rate}, stride {result.output_stride}"
            draw.text((left, top + photo.height + 4), name, "black", small)
            draw.text((left, top + photo.height + 4 + LINE), caption, "black", small)
    return drawn
