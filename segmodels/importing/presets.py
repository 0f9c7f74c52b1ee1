"""Published data sets whose label maps say something else than their place in a list: which value is which class."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..labels import VOC_CLASSES, VOC_COLOURS, Colour

_ADE20K = (
    "wall|building|sky|floor|tree|ceiling|road|bed|windowpane|grass|cabinet|sidewalk|person|earth|door|table|"
    "mountain|plant|curtain|chair|car|water|painting|sofa|shelf|house|sea|mirror|rug|field|armchair|seat|fence|"
    "desk|rock|wardrobe|lamp|bathtub|railing|cushion|base|box|column|signboard|chest of drawers|counter|sand|"
    "sink|skyscraper|fireplace|refrigerator|grandstand|path|stairs|runway|case|pool table|pillow|screen door|"
    "stairway|river|bridge|bookcase|blind|coffee table|toilet|flower|book|hill|bench|countertop|stove|palm|"
    "kitchen island|computer|swivel chair|boat|bar|arcade machine|hovel|bus|towel|light|truck|tower|chandelier|"
    "awning|streetlight|booth|television receiver|airplane|dirt track|apparel|pole|land|bannister|escalator|"
    "ottoman|bottle|buffet|poster|stage|van|ship|fountain|conveyor belt|canopy|washer|plaything|swimming pool|"
    "stool|barrel|basket|waterfall|tent|bag|minibike|cradle|oven|ball|food|step|tank|trade name|microwave|pot|"
    "animal|bicycle|lake|dishwasher|screen|blanket|sculpture|hood|sconce|vase|traffic light|tray|ashcan|fan|pier|"
    "crt screen|plate|monitor|bulletin board|shower|radiator|glass|clock|flag"
)
"""The 150 classes of ADE20K's scene parsing benchmark, from the value 1 on."""

_COCO_STUFF = (
    "person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|-|stop sign|"
    "parking meter|bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|-|backpack|umbrella|-|-|"
    "handbag|tie|suitcase|frisbee|skis|snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|"
    "surfboard|tennis racket|bottle|-|wine glass|cup|fork|knife|spoon|bowl|banana|apple|sandwich|orange|broccoli|"
    "carrot|hot dog|pizza|donut|cake|chair|couch|potted plant|bed|-|dining table|-|-|toilet|-|tv|laptop|mouse|"
    "remote|keyboard|cell phone|microwave|oven|toaster|sink|refrigerator|-|book|clock|vase|scissors|teddy bear|"
    "hair drier|toothbrush|-|banner|blanket|branch|bridge|building-other|bush|cabinet|cage|cardboard|carpet|"
    "ceiling-other|ceiling-tile|cloth|clothes|clouds|counter|cupboard|curtain|desk-stuff|dirt|door-stuff|fence|"
    "floor-marble|floor-other|floor-stone|floor-tile|floor-wood|flower|fog|food-other|fruit|furniture-other|"
    "grass|gravel|ground-other|hill|house|leaves|light|mat|metal|mirror-stuff|moss|mountain|mud|napkin|net|paper|"
    "pavement|pillow|plant-other|plastic|platform|playingfield|railing|railroad|river|road|rock|roof|rug|salad|"
    "sand|sea|shelf|sky-other|skyscraper|snow|solid-other|stairs|stone|straw|structural-other|table|tent|"
    "textile-other|towel|tree|vegetable|wall-brick|wall-concrete|wall-other|wall-panel|wall-stone|wall-tile|"
    "wall-wood|water-other|waterdrops|window-blind|window-other|wood"
)
"""COCO-Stuff's 182 numbers from 1 on, of which 11 were never used."""

_CITYSCAPES = (
    "road|sidewalk|building|wall|fence|pole|traffic light|traffic sign|vegetation|terrain|sky|person|rider|car|truck|bus|"
    "train|motorcycle|bicycle"
)
_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_CITYSCAPES_COLOURS = (
    "804080 f423e8 464646 66669c be9999 999999 faaa1e dcdc00 6b8e23 98fb98 4682b4 dc143c ff0000 00008e 000046 003c64 005064 "
    "0000e6 770b20"
)


@dataclass(frozen=True)
class Preset:
    """What the values, or the colours, of a data set's label maps mean. All others are void."""

    values: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[Colour, str] = field(default_factory=dict)
    tails: tuple[str, ...] = ()
    """How the names of its label maps end, where there are several kinds."""
    names: Mapping[str, Colour] = field(default_factory=dict)
    """The colours that its classes are shown in."""


def _numbered(names: str, first: int) -> dict[int, str]:
    return {value: name for value, name in enumerate(names.split("|"), first) if name != "-"}


def _colour(text: str) -> Colour:
    red, green, blue = bytes.fromhex(text)
    return red, green, blue


_SHOWN = dict(zip(_CITYSCAPES.split("|"), map(_colour, _CITYSCAPES_COLOURS.split()), strict=True))
_POTSDAM = "impervious surfaces|building|low vegetation|tree|car|clutter"
_POTSDAM_COLOURS = ("ffffff", "0000ff", "00ffff", "00ff00", "ffff00", "ff0000")

PRESETS: dict[str, Preset] = {
    "voc": Preset(dict(enumerate(VOC_CLASSES)), dict(zip(VOC_COLOURS, VOC_CLASSES, strict=False))),
    "cityscapes": Preset(
        dict(zip(_CITYSCAPES_IDS, _CITYSCAPES.split("|"), strict=True)), tails=("_gtFine_labelIds",), names=_SHOWN
    ),
    "cityscapes-train-ids": Preset(_numbered(_CITYSCAPES, 0), tails=("_gtFine_labelTrainIds",), names=_SHOWN),
    "ade20k": Preset(_numbered(_ADE20K, 1)),
    "loveda": Preset(_numbered("background|building|road|water|barren|forest|agriculture", 1)),
    "potsdam": Preset(
        _numbered(_POTSDAM, 1),
        {_colour(text): name for text, name in zip(_POTSDAM_COLOURS, _POTSDAM.split("|"), strict=True)},
    ),
    "coco-stuff": Preset(_numbered(_COCO_STUFF, 0)),
    "coco-stuff-10k": Preset(_numbered(_COCO_STUFF, 1)),
    "oxford-pets": Preset({2: "background", 1: "pet"}),
}
"""By the name that ``--format`` takes. Void is 0 in ADE20K, LoveDA, Potsdam and COCO-Stuff 10k, 255 in COCO-Stuff 164k, and
the border, 3, in Oxford's pets."""

FORMATS = ("masks", "coco", "labelme", "label-studio", "yolo", "cityscapes-polygons", *PRESETS)
"""What ``--format`` takes. CVAT's, datumaro's and Roboflow's exports of masks are ``masks``: their lists are read."""
