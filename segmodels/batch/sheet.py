"""A contact sheet: a row for each photo, or two with the CRF, and a column for each network."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from ..inference.loading import load
from ..inference.photo import PhotoError, read_photo

CELL = 200
"""Pixels: the width of a picture, and the most of its height."""
LINE = 16
"""Pixels of a line of text."""


def contact_sheet(photos: Sequence[Path], models: Sequence[str], crfs: Sequence[bool] = (False,)) -> Image.Image:
    """Return the photos, each followed by what the networks see in it: a row for each of ``crfs``, with the CRF or without.

    Raises:
        ValueError: for an unknown network or one without weights, and for a photo that cannot be read, which is named.
    """
    segmenters = [load(name) for name in models]
    rows = [_small(path) for path in photos]
    heights = [len(crfs) * (row.height + LINE) for row in rows]
    paper = Image.new("RGB", (CELL * (len(models) + 1), LINE + sum(heights)), "white")
    draw = ImageDraw.Draw(paper)
    for column, name in enumerate(["photo", *(name.replace("_mobilenetv2", "") for name in models)]):
        draw.text((column * CELL + 4, 2), name, "black")
    top = LINE
    for path, small in zip(photos, rows, strict=True):
        ranges = {segmenter.display_range for segmenter in segmenters}
        photos_seen = {shown: read_photo(path, display_range=shown).image for shown in ranges}
        paper.paste(small, (0, top))
        for crf in crfs:
            draw.text((4, top + small.height + 2), "with the CRF" if crf else path.stem[:30], "black")
            for column, segmenter in enumerate(segmenters, start=1):
                photo = photos_seen[segmenter.display_range]
                result = segmenter(photo, crf=crf)
                paper.paste(result.overlay(photo).resize(small.size), (column * CELL, top))
                shares = [f"{name} {share:.0%}" for name, share in result.shares.items() if name != "background"]
                draw.text((column * CELL + 4, top + small.height + 2), ", ".join(shares)[:38] or "nothing", "black")
            top += small.height + LINE
    return paper


def _small(path: Path) -> Image.Image:
    try:
        photo = read_photo(path).image
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}") from None
    photo.thumbnail((CELL, CELL))
    return photo
