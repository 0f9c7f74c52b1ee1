"""A sheet of masks, each photo by every bundled network: ``python -m tools.repository.sheet [PHOTO...]`` writes ``docs/masks.jpg``.

Without photos, the examples. To look at after a training run, and for readers who want to see before they install.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw

import segmodels
from segmodels.inference.pictures import overlay
from segmodels.models import registry

ROOT = Path(__file__).resolve().parents[2]
CELL = 200
"""Pixels: the width of a picture, and the most of its height."""
LINE = 16


def sheet(photos: list[Path]) -> Image.Image:
    """Two rows a photo: what each compact network and the public one see, then the same with the CRF."""
    names = [*registry.compact_models(), "deeplabv3_mobilenetv2_google"]
    rows = [segmodels.read_photo(photo).image.copy() for photo in photos]
    for row in rows:
        row.thumbnail((CELL, CELL))
    heights = [2 * (row.height + LINE) for row in rows]
    paper = Image.new("RGB", (CELL * (len(names) + 1), LINE + sum(heights)), "white")
    draw = ImageDraw.Draw(paper)
    for column, name in enumerate(["photo", *(name.replace("_mobilenetv2", "") for name in names)]):
        draw.text((column * CELL + 4, 2), name, "black")
    segmenters = [segmodels.load(name) for name in names]
    top = LINE
    for path, small in zip(photos, rows, strict=True):
        photo = segmodels.read_photo(path).image
        paper.paste(small, (0, top))
        for crf in (False, True):
            draw.text((4, top + small.height + 2), "with the CRF" if crf else "as the network has it", "black")
            for column, segmenter in enumerate(segmenters, start=1):
                result = segmenter(photo, crf=crf)
                paper.paste(overlay(photo, result.labels).resize(small.size), (column * CELL, top))
                found = ", ".join(
                    f"{name} {share:.0%}" for name, share in result.shares.items() if name != "background"
                )
                draw.text((column * CELL + 4, top + small.height + 2), found[:38] or "nothing", "black")
            top += small.height + LINE
    return paper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="*", default=sorted((ROOT / "assets" / "examples").glob("*.jpg")))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "masks.jpg")
    arguments = parser.parse_args()
    sheet(arguments.photos).save(arguments.out, quality=85)


if __name__ == "__main__":
    main()
