"""From a class map to single objects: touching cells are parted by the line that the network draws between them."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..labels import ClassList
from .photo import Photo
from .reading.tiff_structure import PixelSize, imagej_options

if TYPE_CHECKING:
    from roifile import ImagejRoi

INSIDE = "nucleus"
LINE = "line between nuclei"
"""The classes that make instances: an object's inside, and the pixels along which two objects touch."""

GROWTH = 3
"""Pixels by which an object grows back over the line. In training the line takes one pixel of each object."""

SMALLEST = 24
"""Pixels; what is smaller is no object. Chosen on training pictures."""

HOLE = 0.5
"""An object's holes are filled up to this part of the largest disc that fits into it. Chosen on training pictures."""

WAIST = 0.5
"""Pixels by which an object must be narrower between two of its parts than in both, to count as two. Chosen on training pictures."""

SMOOTHING = 1.0
"""Pixels, the deviation of the Gaussian over distances from the edge, so that a ragged edge makes no parts."""

STRIP = 1024
"""Rows that are grown at once, so that memory stays small on a picture of any size."""


@dataclass(frozen=True)
class Instance:
    """One object. Positions and lengths are in pixels; the middle of the first pixel lies at (0, 0)."""

    number: int
    """Its value in the label picture."""
    x: float
    y: float
    """Its centre of mass."""
    area: int
    perimeter: float
    circularity: float
    """``4 pi area / perimeter^2``: 1 for a disc, less for anything longer or more ragged; at most 1, as in ImageJ."""


@dataclass(frozen=True)
class Instances:
    """The objects in one picture."""

    labels: NDArray[np.int32]
    """(H, W): 0 is background, 1 to n the number of the object."""
    table: tuple[Instance, ...]
    """One row an object, by number."""

    def __len__(self) -> int:
        return len(self.table)

    @property
    def median_area(self) -> float:
        """The area of the object in the middle, in pixels; 0 if there is none."""
        return float(np.median([row.area for row in self.table])) if self.table else 0.0

    @property
    def sentence(self) -> str:
        """How many there are and how large, such as ``118 nuclei, median 312 px``."""
        if not self.table:
            return "no nuclei"
        return f"{len(self):,} {'nucleus' if len(self) == 1 else 'nuclei'}, median {self.median_area:,.0f} px"

    @property
    def outlines(self) -> NDArray[np.bool_]:
        """(H, W): the pixels of objects that have another object or the background beside them."""
        padded = np.pad(self.labels, 1, mode="edge")
        middle = padded[1:-1, 1:-1]
        beside = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
        different = np.zeros(middle.shape, dtype=bool)
        for other in beside:
            different |= other != middle
        return different & (middle > 0)

    def save(
        self, folder: str | Path, name: str, info: PngInfo | None = None, photo: Photo | None = None
    ) -> dict[str, Path]:
        """Write the objects as files that other programs read.

        Args:
            folder: made if it is missing; files of these names are written over.
            name: how the names of the files begin.
            info: text to put into the PNG.
            photo: as it was read from a file, whose pixel size goes into the TIFF, and its place in a stack into the outlines.

        Returns:
            The files, by ``instances`` and ``tiff`` (labels, a PNG and a TIFF of 16 bits), ``csv`` (the table) and ``rois``
            (for ImageJ's ROI manager).

        Raises:
            ValueError: if there are more objects than a 16-bit picture has values.
            OSError: if a file cannot be written.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        files = instance_files(Path(folder), name)
        write_labels(files["tiff"], self.labels, pixel_size=photo.pixel_size if photo else None)
        write_labels(files["instances"], self.labels, info)
        write_table(files["csv"], self)
        write_rois(files["rois"], rois(self, photo.place if photo else {}))
        return files


ENDINGS = {
    "instances": "_instances.png",
    "tiff": "_instances.tif",
    "csv": "_instances.csv",
    "rois": "_rois.zip",
}


def instance_files(folder: Path, name: str) -> dict[str, Path]:
    """Return the files that ``Instances.save`` writes."""
    return {kind: folder / f"{name}{ending}" for kind, ending in ENDINGS.items()}


def find_instances(class_map: NDArray[np.uint8], class_list: ClassList) -> Instances:
    """Return the objects in a class map: connected insides without small holes, parted at their waists and grown back over
    the line between them.

    Args:
        class_map: (H, W), an index into ``class_list``.
        class_list: one with the classes ``nucleus`` and ``line between nuclei``.

    Raises:
        ValueError: if the class list has no such classes.
    """
    if not has_instances(class_list):
        raise ValueError(
            f"objects are counted where the classes are {INSIDE} and {LINE}; here they are {', '.join(class_list.names)}"
        )
    inside, line = class_list.names.index(INSIDE), class_list.names.index(LINE)
    labels = label_components(class_map == inside)
    fill_holes(labels)
    split_by_shape(labels)
    grow(labels, class_map == line)
    return Instances(labels, tuple(_measured(labels)))


def has_instances(class_list: ClassList) -> bool:
    """Return whether objects can be counted in class maps of ``class_list``."""
    return {INSIDE, LINE} <= set(class_list.names)


def label_components(mask: NDArray[np.bool_], smallest: int = SMALLEST) -> NDArray[np.int32]:
    """Return (H, W) numbers of the connected parts of ``mask``, without those under ``smallest`` pixels.

    Pixels are connected by their sides, not by their corners.
    """
    from scipy import ndimage  # here and below: it would take a while for those who never count objects

    labels = np.empty(mask.shape, dtype=np.int32)
    count = ndimage.label(mask, output=labels)
    sizes = np.sum([np.bincount(strip.ravel(), minlength=count + 1) for strip in _strips(labels)], axis=0)
    kept = sizes >= smallest
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    for strip in _strips(labels):
        strip[...] = numbers[strip]
    return labels


def fill_holes(labels: NDArray[np.int32]) -> None:
    """Fill the small holes of objects, in place. Larger ones are gaps in a ring of objects that touch.

    Dark spots inside an object, and scraps of a line in it, are holes. Unfilled, each makes a waist.
    """
    from scipy import ndimage

    for number, box in enumerate(ndimage.find_objects(labels), 1):
        if box is None:
            continue
        part = labels[box]
        mask = np.pad(part == number, 1)
        holes, count = ndimage.label(~mask)
        if count < 2:
            continue
        small = np.bincount(holes.ravel()) <= HOLE * np.pi * ndimage.distance_transform_edt(mask).max() ** 2
        small[[0, holes[0, 0]]] = False  # the object, and what lies around it
        part[small[holes[1:-1, 1:-1]] & (part == 0)] = number


def split_by_shape(labels: NDArray[np.int32]) -> None:
    """Part objects at their waists, in place: the watershed of the distance from their edges.

    Where two objects touch and the network draws no line, their outline mostly has a waist. New objects get numbers above
    those that are there; parts under ``SMALLEST`` pixels are dropped.
    """
    from scipy import ndimage
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    boxes = ndimage.find_objects(labels)
    most = len(boxes)
    for number, box in enumerate(boxes, 1):
        if box is None:
            continue
        part = labels[box]
        mask = np.pad(part == number, 1)
        distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), SMOOTHING)
        peaks, count = ndimage.label(h_maxima(distance, WAIST) * mask)
        if count < 2:
            continue
        pieces = watershed(-distance, peaks, mask=mask)[1:-1, 1:-1]
        kept = [piece for piece in range(1, count + 1) if np.count_nonzero(pieces == piece) >= SMALLEST]
        if len(kept) < 2:
            continue
        part[pieces > 0] = 0
        for new, piece in zip([number, *range(most + 1, most + len(kept))], kept, strict=True):
            part[pieces == piece] = new
        most += len(kept) - 1


def grow(labels: NDArray[np.int32], over: NDArray[np.bool_], distance: int = GROWTH) -> None:
    """Give each pixel of ``over`` to the nearest object within ``distance`` pixels, in place."""
    from skimage.segmentation import expand_labels

    height = len(labels)
    before = labels[:0].copy()  # the rows above the strip, as they were
    for top in range(0, height, STRIP):
        bottom = min(top + STRIP, height)
        seen = np.concatenate([before, labels[top : min(bottom + distance, height)]])
        above = len(before)
        grown = expand_labels(seen, distance)[above : above + bottom - top]
        before = labels[max(bottom - distance, 0) : bottom].copy()
        part = labels[top:bottom]
        free = over[top:bottom] & (part == 0)
        part[free] = grown[free]


def _strips(labels: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
    return (labels[top : top + STRIP] for top in range(0, len(labels), STRIP))


def _measured(labels: NDArray[np.int32]) -> Iterator[Instance]:
    from skimage.measure import regionprops

    for region in regionprops(labels):
        y, x = region.centroid
        perimeter = float(region.perimeter)
        circularity = min(4 * np.pi * region.area / perimeter**2, 1.0) if perimeter else 1.0
        yield Instance(int(region.label), float(x), float(y), int(region.area), perimeter, float(circularity))


def write_labels(
    file: Path, labels: NDArray[np.int32], info: PngInfo | None = None, pixel_size: PixelSize | None = None
) -> None:
    """Write (H, W) numbers of objects as a 16-bit picture, a TIFF or a PNG by the file's name.

    A PNG gets ``info``, and a TIFF ``pixel_size``, as ImageJ reads it.

    Raises:
        ValueError: if there are more objects than a 16-bit picture has values.
    """
    import tifffile

    most = int(labels.max(initial=0))
    if most > np.iinfo(np.uint16).max:
        raise ValueError(
            f"a 16-bit picture has 65,535 numbers, and there are {most:,} objects: cut the picture in parts"
        )
    values = labels.astype(np.uint16)
    if file.suffix == ".png":
        Image.fromarray(values).save(file, pnginfo=info)
    else:
        tifffile.imwrite(file, values, imagej=True, compression="zlib", **imagej_options(pixel_size, axes="YX"))


COLUMNS = ("number", "x", "y", "area", "perimeter", "circularity")


def write_table(file: Path, instances: Instances) -> None:
    """Write a row an object: number, x, y, area, perimeter (pixels) and circularity."""
    with file.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(COLUMNS)
        rows.writerows(table_rows(instances))


def table_rows(instances: Instances) -> Iterator[tuple[str, ...]]:
    """Return the table as text, a row an object in the order of ``COLUMNS``."""
    for row in instances.table:
        yield (
            str(row.number),
            f"{row.x:.2f}",
            f"{row.y:.2f}",
            str(row.area),
            f"{row.perimeter:.2f}",
            f"{row.circularity:.4f}",
        )


def rois(instances: Instances, place: Mapping[str, int], prefix: str = "") -> "Iterator[ImagejRoi]":
    """Return the outlines for ImageJ's ROI manager, a polygon an object, named by ``prefix`` and its number.

    Args:
        instances: the objects.
        place: where their picture lies in its stack, counted from 1. ImageJ goes by the position along a single axis, and
            by channel, z and t in a hyperstack.
        prefix: how the names begin.
    """
    from roifile import ImagejRoi
    from scipy import ndimage

    boxes = ndimage.find_objects(instances.labels)
    for row in instances.table:
        box = boxes[row.number - 1]
        if box is None:
            continue
        roi = ImagejRoi.frompoints(polygon(instances.labels[box] == row.number, box), name=f"{prefix}{row.number:05d}")
        if len(place) == 1:
            (roi.position,) = place.values()
        else:
            roi.c_position, roi.t_position = place.get("channel", 0), place.get("t", 0)
            roi.z_position = place.get("z", place.get("page", 0))
        yield roi


def write_rois(file: Path, outlines: "Iterable[ImagejRoi]") -> None:
    """Write outlines as a file for ImageJ's ROI manager."""
    from roifile import roiwrite

    file.unlink(missing_ok=True)
    roiwrite(file, list(outlines))


def polygon(mask: NDArray[np.bool_], box: tuple[slice, slice]) -> NDArray[np.float32]:
    """Return the outline of one object as (N, 2) points x, y, by ImageJ's rule: the first pixel's corner is (0, 0).

    Args:
        mask: the object, within ``box``.
        box: where that lies in the picture, rows and columns.
    """
    from skimage.measure import find_contours

    contours = find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    outline = max(contours, key=len)[:-1]  # the last point is the first again
    corner = np.array([box[0].start, box[1].start]) - 1 + 0.5  # off the padding, and half a pixel to the corner
    points: NDArray[np.float32] = (outline + corner)[:, ::-1].astype(np.float32)
    return points
