"""What many places say of classes and photos: names, colours, shares; pictures as addresses."""

import base64
import io
from collections.abc import Mapping

from markupsafe import Markup
from PIL import Image

from segmodels import Segmentation
from segmodels.labels import VOC, ClassList

EMPTY = Markup('<div class="panels empty"><p>Drop in a photo, or pick an example.</p></div>')
"""What stands there before the first photo."""
READABLE = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "TV monitor"}


def readable(name: str) -> str:
    """A class's name as people write it: ``potted plant``."""
    return READABLE.get(name, name.replace("_", " "))


LEAST_SHARE = 0.0005
"""Of a photo: what has less would stand there with 0.0 %, and has no place in legends and tables."""


def listed(result: Segmentation) -> dict[str, float]:
    """Return the share of the photo of each class that is large enough to be listed."""
    return {name: share for name, share in result.shares.items() if share > LEAST_SHARE}


def summary(result: Segmentation) -> str:
    """The classes found and their shares, as words for who cannot see the picture."""
    return in_words(listed(result))


def in_words(shares: Mapping[str, float]) -> str:
    """Shares of a photo by class, as words; none is ``0%``."""
    return ", ".join(
        f"{readable(name)} {f'{share:.0%}' if share >= 0.005 else 'under 1%'}" for name, share in shares.items()
    )


VOC_NOTHING = (
    "The network found nothing here: it was taught twenty things, among them people, cats, birds and cars. "
    "What is small in a large photo may be too small for it."
)
NAMED = 8
"""Of classes of one's own, so many are named."""


def nothing(classes: ClassList) -> str:
    """What is said where all of a photo is background; nothing if no class is."""
    if classes.names == VOC.names:
        return VOC_NOTHING
    if classes.background is None:
        return ""
    taught = [readable(name) for index, name in enumerate(classes.names) if index != classes.background]
    more = " and more" if len(taught) > NAMED else ""
    return (
        f"The network found nothing here: it was taught {', '.join(taught[:NAMED])}{more}, "
        f"and took all of this photo for {readable(classes.names[classes.background])}."
    )


def colour_style(index: int, classes: ClassList = VOC) -> str:
    """A class's colours for a ``style``; which of them is seen is the style sheet's."""
    return "; ".join(f"--{name}: {colour}" for name, colour in colours(index, classes).items())


def colours(index: int, classes: ClassList = VOC) -> dict[str, str]:
    """A class's colour on the page, and the one in files, Pascal VOC's or the class's own."""
    palettes = {"display": classes.display_palette, "voc": classes.palette}
    return {name: f"#{palette[index].tobytes().hex()}" for name, palette in palettes.items()}


def data_url(image: Image.Image, kind: str, **options: int) -> str:
    """The picture itself as an address, for an ``img`` or a style; ``kind`` is ``"PNG"``, ``"JPEG"`` or ``"WebP"``."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
