import csv
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.draw import disk, polygon2mask
from skimage.measure import label as reference_label
from skimage.segmentation import expand_labels

from segmodels.inference import instances as module
from segmodels.inference.instances import Instances, find_instances, grow, label_components, write_labels
from segmodels.labels import NUCLEI, VOC


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def discs(*circles: tuple[int, int, int], shape: tuple[int, int] = (80, 100)) -> NDArray[np.uint8]:
    """A class map with discs (row, column, radius) of class 1."""
    classes = np.zeros(shape, np.uint8)
    for row, column, radius in circles:
        classes[disk((row, column), radius, shape=shape)] = 1
    return classes


def touching() -> NDArray[np.uint8]:
    """Two discs that overlap, with the line between them drawn at column 40 and 41."""
    classes = discs((40, 30, 15), (40, 52, 15))
    line = (classes == 1) & np.isin(np.arange(100), (40, 41))[None]
    classes[line] = 2
    return classes


def test_touching_nuclei_are_two_and_lose_no_pixel_to_the_line() -> None:
    classes = touching()
    found = find_instances(classes, NUCLEI)
    assert len(found) == 2
    assert np.array_equal(found.labels > 0, classes > 0)
    assert found.labels[40, 39] == found.labels[40, 40] != found.labels[40, 41] == found.labels[40, 42]


def test_nuclei_without_a_line_are_parted_at_their_waists() -> None:
    """Three discs in a row, 22 apart at a radius of 12, are cut where two circles meet: half-way between their middles."""
    chain = discs((40, 20, 12), (40, 42, 12), (40, 64, 12))
    found = find_instances(chain, NUCLEI)
    assert np.array_equal(found.labels > 0, chain > 0)
    assert sorted(np.unique(found.labels)) == [0, 1, 2, 3]
    parts = [found.labels[40, column] for column in (20, 42, 64)]
    assert len(set(parts)) == 3
    for left, right, middle in ((0, 1, 31), (1, 2, 53)):
        assert found.labels[40, middle - 2] == parts[left]
        assert found.labels[40, middle + 2] == parts[right]


def test_what_has_no_waist_stays_one() -> None:
    bar = np.zeros((80, 100), np.uint8)
    bar[30:42, 10:90] = 1
    ellipse = np.zeros((80, 100), np.uint8)
    rows, columns = np.mgrid[:80, :100]
    ellipse[((rows - 40) / 12) ** 2 + ((columns - 50) / 30) ** 2 < 1] = 1
    for shape in (bar, ellipse, discs((5, 5, 20))):
        found = find_instances(shape, NUCLEI)
        assert len(found) == 1
        assert np.array_equal(found.labels > 0, shape > 0)


def test_a_dark_spot_inside_a_nucleus_neither_parts_it_nor_leaves_a_hole() -> None:
    """Two spots beside the middle of a disc, one background and one a scrap of a line: still the whole disc."""
    disc = discs((40, 50, 20))
    spots = disc.copy()
    spots[34:42, 41:45] = 0
    spots[38:48, 55:57] = 2
    found = find_instances(spots, NUCLEI)
    assert len(found) == 1
    assert np.array_equal(found.labels > 0, disc > 0)


def test_the_gap_in_a_ring_of_touching_nuclei_is_background() -> None:
    angles = np.arange(8) * np.pi / 4
    ring = discs(*((40 + 26 * np.sin(angle), 50 + 26 * np.cos(angle), 11) for angle in angles))
    found = find_instances(ring, NUCLEI)
    assert len(found) == 8
    assert np.array_equal(found.labels > 0, ring > 0)


def test_a_nucleus_within_the_hole_of_another_is_kept() -> None:
    classes = discs((40, 50, 30))
    rows, columns = np.mgrid[:80, :100]
    away = np.hypot(rows - 40, columns - 50)
    classes[(away > 6) & (away < 9)] = 0
    found = find_instances(classes, NUCLEI)
    assert found.labels[40, 50] not in (0, found.labels[40, 30])


def test_a_line_far_from_any_nucleus_belongs_to_none() -> None:
    classes = discs((20, 20, 8))
    classes[60, 40:80] = 2
    assert not find_instances(classes, NUCLEI).labels[50:].any()


def test_parts_are_those_of_scikit_image_without_the_small_ones(rng: np.random.Generator) -> None:
    mask = ndimage.gaussian_filter(rng.normal(size=(150, 170)), 2) > 0.05
    ours = label_components(mask, smallest=20)
    reference = reference_label(mask, connectivity=1)
    sizes = np.bincount(reference.ravel())
    sizes[0] = 0
    large = sizes[reference] >= 20
    assert np.array_equal(ours > 0, large)
    pairs = np.unique(np.stack([ours[large], reference[large]]), axis=1)
    assert len(pairs.T) == ours.max() == (sizes >= 20).sum()


def test_growing_in_strips_is_growing_the_whole(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRIP", 16)
    labels = np.zeros((70, 90), np.int32)
    for number in range(1, 40):
        labels[rng.integers(70), rng.integers(90)] = number
    over = rng.random(labels.shape) < 0.7
    whole = np.where(over & (labels == 0), expand_labels(labels, 3), labels)
    grow(labels, over, 3)
    assert np.array_equal(labels, whole)


def test_the_table_measures_a_disc_and_a_bar() -> None:
    classes = discs((30, 25, 14))
    classes[60:64, 10:90] = 1
    disc_row, bar = find_instances(classes, NUCLEI).table
    assert (disc_row.x, disc_row.y) == pytest.approx((25, 30))
    assert disc_row.area == (classes[:50] == 1).sum() == pytest.approx(np.pi * 14**2, rel=0.05)
    assert disc_row.circularity > 0.85
    assert (bar.x, bar.y) == pytest.approx((49.5, 61.5))
    assert bar.area == 320
    assert bar.circularity == pytest.approx(4 * np.pi * 320 / (2 * (79 + 3)) ** 2, rel=0.01)


def test_the_sentence_counts() -> None:
    areas = [find_instances(discs(*circles), NUCLEI).sentence for circles in ((), ((20, 20, 9),), ((20, 20, 9),) * 1)]
    assert areas[0] == "no nuclei"
    assert areas[1].startswith("1 nucleus, median ")
    assert find_instances(touching(), NUCLEI).sentence.startswith("2 nuclei, median ")


def test_outlines_run_round_every_nucleus_and_between_two() -> None:
    found = find_instances(touching(), NUCLEI)
    eroded = np.zeros(found.labels.shape, bool)
    for number in (1, 2):
        eroded |= ndimage.binary_erosion(found.labels == number)
    assert np.array_equal(found.outlines, (found.labels > 0) & ~eroded)


def test_files_are_read_back_by_other_programs(tmp_path: Path) -> None:
    found = find_instances(touching(), NUCLEI)
    files = found.save(tmp_path / "out", "cells")
    tiff = tifffile.imread(files["tiff"])
    assert tiff.dtype == np.uint16
    assert np.array_equal(tiff, found.labels)
    with Image.open(files["instances"]) as png:
        assert png.mode == "I;16"
        assert np.array_equal(np.array(png), found.labels)
    with files["csv"].open(encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    assert [int(row["area"]) for row in rows] == np.bincount(found.labels.ravel())[1:].tolist()
    centres = ndimage.center_of_mass(found.labels > 0, found.labels, [1, 2])
    assert [(float(row["y"]), float(row["x"])) for row in rows] == [
        pytest.approx(centre, abs=0.01) for centre in centres
    ]
    rois = roifile.roiread(files["rois"])
    assert isinstance(rois, list)
    assert [roi.name for roi in rois] == ["00001", "00002"]
    for number, roi in enumerate(rois, 1):
        outline = np.asarray(roi.coordinates()) - 0.5  # from ImageJ's corners to the middles of pixels
        assert np.array_equal(polygon2mask(found.labels.shape, outline[:, ::-1]), found.labels == number)


def test_a_picture_without_nuclei_has_files_too(tmp_path: Path) -> None:
    files = find_instances(np.zeros((40, 50), np.uint8), NUCLEI).save(tmp_path, "none")
    assert not tifffile.imread(files["tiff"]).any()
    assert len(files["csv"].read_text(encoding="utf-8").splitlines()) == 1
    assert roifile.roiread(files["rois"]) == []


def test_more_nuclei_than_16_bits_have_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="65,536 objects"):
        write_labels(tmp_path / "many.tif", np.full((2, 2), 65_536, np.int32))


def test_classes_without_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="nucleus"):
        find_instances(np.zeros((40, 40), np.uint8), VOC)


def test_nothing_is_nothing() -> None:
    nothing = Instances(np.zeros((4, 4), np.int32), ())
    assert (len(nothing), nothing.median_area) == (0, 0.0)
    assert not nothing.outlines.any()
