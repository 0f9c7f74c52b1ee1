"""What the server sends of a label map: itself, and the photo once. ``drawing.js`` makes the pictures, on every tab.

A label map travels as an indexed PNG of one byte a pixel or less, whose colours are the classes' numbers, so that a
browser finds them in any channel.
"""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np
from gradio.utils import get_upload_folder
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from segmodels import Segmentation
from segmodels.labels import ClassList

from ...server.cache import Display
from .. import markup


def answer(path: str, display: Display, result: Segmentation) -> dict[str, Any]:
    """A result for the browser; its label map is at the display's size, and ``path`` is the upload's."""
    return {
        "photo": {
            "file": shown_file(path, display),
            "upload": path,
            "size": display.size,
            "notes": "".join(f"; {note}" for note in display.notes),
            "own": display.browsers_agree,
        },
        **drawn(result),
    }


def drawn(result: Segmentation) -> dict[str, Any]:
    """What the browser draws of a result, over whatever picture it has."""
    return {
        "labels": label_png(result.labels),
        "classes": found(result),
        "summary": markup.summary(result),
        "nothing": markup.nothing(result.class_list),
    }


def found(result: Segmentation) -> list[dict[str, Any]]:
    """The classes of a result, the largest first, with all that the page says of them."""
    return [
        {
            "index": (index := result.classes.index(name)),
            "name": markup.readable(name),
            "nothing": index == result.class_list.background,
            "share": round(share, 5),
            "confidence": round(result.confidence[name], 4) if name in result.confidence else None,
            "colours": markup.colours(index, result.class_list),
        }
        for name, share in result.shares.items()
    ]


DIFFERENT = ClassList(("the same class", "another class"), ((0, 0, 0), (255, 214, 0)), background=0)
"""Of two label maps: no class of the page has this yellow, and it stands out on a darkened photo."""


def photo_attributes(path: str, display: Display, classes: ClassList) -> Markup:
    """Attributes of what holds pictures: the photo under them, its shape, and the colours of their classes."""
    width, height = display.photo.size
    attributes = Markup('data-photo="{}" {} style="--ratio: {} / {}; --wide: {:.4f}"')
    return attributes.format(shown_file(path, display), _coloured(classes), width, height, width / height)


def picture(alt: str, *layers: str) -> Markup:
    """The photo under one or several ``layer``s, which are markup; ``alt`` says what they show."""
    drawn = Markup('<div class="picture" role="img" aria-label="{}">{}</div>')
    return drawn.format(alt, Markup("".join(layers)))


def layer(labels: NDArray[np.uint8], marks: ClassList | None = None) -> Markup:
    """A label map, (H, W), in the colours of its classes; or of ``marks``, which dim the photo if they are the first."""
    marked = Markup(' data-marks="" {}').format(_coloured(marks)) if marks else ""
    return Markup('<label-map data-labels="{}"{}></label-map>').format(label_png(labels), marked)


def differences(labels: NDArray[np.uint8], others: NDArray[np.uint8]) -> Markup:
    """A layer that marks where two label maps differ."""
    return layer((labels != others).astype(np.uint8), DIFFERENT)


def _coloured(classes: ClassList) -> Markup:
    """All classes but the background with their colours, as an attribute."""
    indices = (index for index in range(len(classes.names)) if index != classes.background)
    colours = [{"index": index, "colours": markup.colours(index, classes)} for index in indices]
    return Markup(f"data-classes='{json.dumps(colours, separators=(',', ':'))}'")


def label_png(labels: NDArray[np.uint8]) -> str:
    """A label map, (H, W), as an address: a PNG of as few bits a pixel as there are classes in it."""
    image = Image.fromarray(labels)
    present = [label for label, count in enumerate(image.histogram()) if count]
    rank = dict(zip(present, range(len(present)), strict=True))
    image = image.point([rank.get(label, 0) for label in range(256)])
    image.putpalette([label for label in present for _ in "rgb"])
    return markup.data_url(image, "PNG", compress_level=1)


def shown_file(path: str, display: Display) -> str:
    """The photo at ``path`` as the page shows it: a JPEG among the uploads, made if it is not there (any more)."""
    folder = Path(get_upload_folder()) / "shown"
    file = folder / f"{hashlib.sha256(path.encode()).hexdigest()[:32]}.jpg"
    try:
        os.utime(file)  # or it could be swept away, as old as its first visitor, before this one has fetched it
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{secrets.token_hex(8)}.part"
        display.photo.save(part, "JPEG", quality=88)
        part.replace(file)  # whoever asks meanwhile never finds half a photo
    return str(file)
