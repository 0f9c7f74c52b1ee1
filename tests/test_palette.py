"""The page's colours, judged by somebody else's account of what eyes tell apart."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000

from segmodels.labels import CAMVID, DISPLAY_PALETTE, PALETTE, VOC, VOC_CLASSES, ClassList

NOTICEABLE = 2.3
"""The least distance in CIELAB that most people see, of two colours side by side."""
COLOURS = DISPLAY_PALETTE[: len(VOC_CLASSES)]

# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as eyes without one kind of cones see it.
EYES = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]])


def linear(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    share = colours / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIELAB, under the white of a screen."""
    xyz = light.clip(0, 1) @ XYZ.T / (XYZ @ np.ones(3))
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def apart(eyes: str, palette: NDArray[np.uint8]) -> float:
    """The least distance between two colours of a palette."""
    seen = lab(linear(palette) @ np.asarray(EYES[eyes]).T)
    return min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(seen, 2))


@pytest.mark.parametrize("classes", [VOC, CAMVID], ids=["voc", "camvid"])
@pytest.mark.parametrize("eyes", EYES)
def test_classes_are_told_apart(eyes: str, classes: ClassList) -> None:
    shown = classes.display_palette[: len(classes.names)]
    assert apart(eyes, shown) > 4 * NOTICEABLE
    if classes == VOC:
        assert apart(eyes, shown) > 2 * apart(eyes, PALETTE[: len(classes.names)])


def test_camvid_s_are_told_apart_by_those_who_could_not() -> None:
    """CamVid's own colours lie as far apart as the page's for eyes with all cones, and next to each other without."""
    count = len(CAMVID.names)
    shown, files = (
        min(apart(eyes, palette[:count]) for eyes in EYES) for palette in (CAMVID.display_palette, CAMVID.palette)
    )
    assert shown > 2 * files


MEET = {
    "person": [name for name in VOC_CLASSES if name not in ("background", "person")],
    "bus": ["car", "motorbike", "bicycle", "train"],
    "car": ["motorbike", "bicycle", "dog", "cat", "train", "boat"],
    "motorbike": ["bicycle"],
    "chair": ["diningtable", "sofa", "tvmonitor", "bottle", "pottedplant", "dog", "cat"],
    "diningtable": ["bottle", "pottedplant", "sofa"],
    "sofa": ["pottedplant", "dog", "cat", "tvmonitor", "bottle"],
    "pottedplant": ["bottle", "tvmonitor", "cat"],
    "dog": ["cat", "sheep", "horse", "cow"],
    "sheep": ["cow", "horse"],
    "horse": ["cow"],
    "aeroplane": ["bird", "boat"],
}
"""Classes that are often in one photo."""


def test_classes_that_meet_in_photos_are_far_apart() -> None:
    """By CIEDE2000, in which 1 is about what one can just see, and in hue, so that each can be named."""
    pairs = [(VOC_CLASSES.index(one), VOC_CLASSES.index(other)) for one, others in MEET.items() for other in others]
    one, other = np.array(pairs).T
    for eyes, least in (("all cones", 15), ("protanopia", 9.5), ("deuteranopia", 9.5), ("tritanopia", 9.5)):
        seen = lab(linear(COLOURS) @ np.asarray(EYES[eyes]).T)
        assert deltaE_ciede2000(seen[one], seen[other]).min() > least, eyes
    _, a, b = lab(linear(COLOURS)).T
    hue = np.degrees(np.arctan2(b, a))
    assert abs((hue[one] - hue[other] + 180) % 360 - 180).min() > 25


def test_classes_have_light_and_the_background_keeps_quiet() -> None:
    lightness = lab(linear(COLOURS))[:, 0]
    assert lightness[1:].min() > 35
    assert lab(linear(CAMVID.display_palette[: len(CAMVID.names)]))[:, 0].min() > 35
    assert lightness[0] < 25
    assert np.ptp(COLOURS[0].astype(int)) < 20


def test_every_label_has_a_colour() -> None:
    assert DISPLAY_PALETTE.shape == PALETTE.shape
    assert len({tuple(colour) for colour in DISPLAY_PALETTE[: 2 * len(VOC_CLASSES)]}) == 2 * len(VOC_CLASSES)
