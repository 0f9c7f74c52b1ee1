"""Class names and colours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

VOID = 255
"""The label of pixels that are neither trained on nor scored."""


def _voc_palette() -> NDArray[np.uint8]:
    """Pascal VOC's colours, (256, 3): the bits of the index dealt out to red, green and blue, highest bits first."""
    index = np.arange(256, dtype=np.uint8)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= ((index >> channel) & 1) << (7 - bit)
        index >>= 3
    return palette


PALETTE = _voc_palette()
"""The colours of files, as everyone expects of a label map."""

VOC_DISPLAY = {
    "background": "262b33",
    "aeroplane": "ff0078",
    "bicycle": "b41e78",
    "bird": "96b4ff",
    "boat": "d2f0b4",
    "bottle": "f07878",
    "bus": "d20000",
    "car": "5ab496",
    "cat": "96b41e",
    "chair": "1e785a",
    "cow": "96d25a",
    "diningtable": "78783c",
    "dog": "9678b4",
    "horse": "b47800",
    "motorbike": "96ff5a",
    "person": "78ffff",
    "pottedplant": "f096d2",
    "sheep": "3cd296",
    "sofa": "3c96f0",
    "train": "963cb4",
    "tvmonitor": "781eff",
}
"""Pascal VOC's classes on the page: red, green and blue in hexadecimal."""


def display_palette(colours: dict[str, str]) -> NDArray[np.uint8]:
    """Return colours for a screen, (256, 3): those of the first classes as given, then Pascal VOC's, lightened.

    The given ones were searched for: light enough to be seen on a photo, a dark, neutral background, and the least distance
    between two of them (CIEDE2000; OKLab for the streets) as large as possible, for colour-blind viewers too. Classes that
    meet in photos, such as person and horse, are farthest apart and differ in hue.

    Args:
        colours: red, green and blue of each class in hexadecimal, by its name, in the classes' order.
    """
    palette: NDArray[np.uint8] = (90 + PALETTE * (165 / 255)).astype(np.uint8)
    palette[: len(colours)] = [list(bytes.fromhex(colour)) for colour in colours.values()]
    return palette


DISPLAY_PALETTE = display_palette(VOC_DISPLAY)

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

VOC_COLOURS: tuple[Colour, ...] = tuple((red, green, blue) for red, green, blue in PALETTE[:VOID].tolist())
"""Pascal VOC's colours, black first."""

CLASS_COUNTS = (2, 255)
"""The least and the largest number of classes of a label map; the values from there to 255 are void's."""

LONGEST_NAME = 60


@dataclass(frozen=True)
class ClassList:
    """What the values of a label map mean: the name and the colour of each class.

    Where no colours are given, they are Pascal VOC's, without its black unless the first class is the background.

    Raises:
        ValueError: with a sentence, for fewer than 2 or more than 255 classes, for a name that is empty, too long or
            there twice, or a colour that is none.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...] = ()
    background: int | None = None
    """The class that is nothing in particular and is left untouched in pictures; by default the one that is called so."""

    def __post_init__(self) -> None:
        if not CLASS_COUNTS[0] <= len(self.names) <= CLASS_COUNTS[1]:
            raise ValueError(f"a label map has {CLASS_COUNTS[0]} to {CLASS_COUNTS[1]} classes, not {len(self.names)}")
        for index, name in enumerate(self.names):
            if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
                raise ValueError(f"{name[:LONGEST_NAME]!r} is no name for class {index}")
            if name in self.names[:index]:
                raise ValueError(f"two classes are called {name}")
        if not self.colours:
            object.__setattr__(self, "colours", _default_colours(self.names))
        if self.background is None and "background" in self.names:
            object.__setattr__(self, "background", self.names.index("background"))
        if self.background is not None and not 0 <= self.background < len(self.names):
            raise ValueError(f"the background cannot be class {self.background} of {len(self.names)}")
        if len(self.colours) != len(self.names):
            raise ValueError(f"there are {len(self.names)} classes and {len(self.colours)} colours")
        for name, colour in zip(self.names, self.colours, strict=True):
            if len(colour) != 3 or not all(type(value) is int and 0 <= value <= 255 for value in colour):
                raise ValueError(f"the colour of {name} must be red, green and blue from 0 to 255, not {colour}")

    @property
    def palette(self) -> NDArray[np.uint8]:
        """(256, 3): the classes' colours, and Pascal VOC's for all other values, void's grey among them."""
        palette = PALETTE.copy()
        palette[: len(self.colours)] = self.colours
        return palette

    @property
    def display_palette(self) -> NDArray[np.uint8]:
        """(256, 3): the colours on the page, where the classes of a known data set have lighter ones than in files."""
        return _DISPLAY_PALETTES.get(self.colours, self.palette)


def _default_colours(names: tuple[str, ...]) -> tuple[Colour, ...]:
    first = 0 if names[0] == "background" else 1
    return (*VOC_COLOURS, VOC_COLOURS[0])[first : first + len(names)]


VOC = ClassList(VOC_CLASSES)

CAMVID = ClassList(
    (
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    (
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
)
"""CamVid's street scenes: the customary eleven classes, none of which is a background, in their order and colours."""

CAMVID_DISPLAY = {
    "sky": "56afff",
    "building": "c57b94",
    "pole": "ffff5c",
    "road": "867acd",
    "pavement": "c5c6e5",
    "tree": "21911e",
    "sign": "ebc90b",
    "fence": "7d5571",
    "car": "5333f2",
    "pedestrian": "ff2e17",
    "bicyclist": "2fffb2",
}

NUCLEI = ClassList(
    ("background", "nucleus", "line between nuclei"),
    ((0, 0, 0), (0, 158, 115), (230, 159, 0)),
)
"""Cells under the microscope: the line parts nuclei that touch, so that they can be counted. Two of Okabe and Ito's colours,
which eyes without one kind of cones tell apart."""

_DISPLAY_PALETTES = {
    VOC.colours: DISPLAY_PALETTE,
    CAMVID.colours: display_palette(CAMVID_DISPLAY),
}
"""Colours of the page, for those that label maps of a data set have in files."""


MAX_PIXELS = 40_000_000
"""Of a photo, and of its label map."""
