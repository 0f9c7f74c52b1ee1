"""Draw a small data set to try training on: ``python -m tools.repository.toy_data FOLDER``.

Three classes, a background of noise, discs and boxes, on 24 photos to train on and 8 to validate on. The colour of a shape
says nothing about its class.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = "background 0 0 0\ndisc 230 60 60\nbox 60 110 230\n"
SPLITS = {"train": 24, "val": 8}
SIZE = (160, 120)


def draw(random: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """A photo with a few shapes, and its label map."""
    shade = random.integers(40, 200)
    noise = np.clip(random.normal(shade, 12, (SIZE[1], SIZE[0], 3)), 0, 255).astype(np.uint8)
    photo, labels = Image.fromarray(noise), Image.new("L", SIZE)
    for _ in range(random.integers(2, 5)):
        kind = int(random.integers(1, 3))
        side = int(random.integers(24, 60))
        left, top = (int(random.integers(0, length - side)) for length in SIZE)
        colour = tuple(random.integers(0, 256, 3).tolist())
        for image, fill in ((photo, colour), (labels, kind)):
            shape = ImageDraw.Draw(image)
            (shape.ellipse if kind == 1 else shape.rectangle)((left, top, left + side, top + side), fill=fill)
    return photo, labels


def write(folder: Path, seed: int = 0) -> None:
    """The whole data set."""
    random = np.random.default_rng(seed)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text(CLASSES, encoding="utf-8")
    for split, count in SPLITS.items():
        stems = [f"{split}{index:02}" for index in range(count)]
        (folder / f"{split}.txt").write_text("\n".join(stems) + "\n", encoding="utf-8")
        for stem in stems:
            photo, labels = draw(random)
            photo.save(folder / "images" / f"{stem}.jpg", quality=92)
            labels.save(folder / "labels" / f"{stem}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw a small data set of three classes.")
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
