#!/bin/sh
# ome-zarr: write_image and write_labels of pictures that lie on each other, each with its pyramid.
# One would guess: at each level the labels lie where the image does, since both carry the same scale and translation. True:
# the image's coarse pixels are means of their blocks, whose middles the translation names; the labels' are the pixel at the
# end of each block (bottom right). So at level 4 (16 times smaller) labels show what is 7.5 pixels further right and
# down: borders lie half a coarse pixel off towards the upper left, in every viewer and in training on coarse levels.
# A width that is no multiple of the factor makes it worse: of 17 columns 8 are left, columns 1, 3 to 15, and the scale is
# written as 2.125 and not as the 2 at which they were taken. Exit status 1 if that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ome-zarr==0.18.0 zarr==3.1.6 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/picture.zarr" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import numpy as np
import zarr
from ome_zarr.writer import write_image, write_labels

warnings.simplefilter("ignore")
print("ome-zarr", version("ome-zarr"))
ramp = np.tile(np.arange(512, dtype=np.uint16), (512, 1))  # each pixel holds its own column
group = zarr.open_group(sys.argv[1], mode="w")
write_image(ramp.astype(np.float32), group, axes="yx")
write_labels(ramp, group, name="cells", axes="yx")
write_labels(ramp[:17, :17], group, name="odd", axes="yx", scale_factors=[2])


def level(place, number):
    dataset = place.attrs["ome"]["multiscales"][0]["datasets"][number]
    scale, translation = (one[key][1] for one, key in zip(dataset["coordinateTransformations"], ("scale", "translation")))
    return place[dataset["path"]][:], scale, translation


shifts = []
for number in range(5):
    image, scale, translation = level(group, number)
    labels, *same = level(group["labels/cells"], number)
    middle = slice(8, 24)
    said = translation + scale * np.arange(labels.shape[1])
    shifts.append([float((one[20, middle] - said[middle]).mean()) for one in (image, labels)])
    assert same == [scale, translation]
    print(f"level {number}, scale {scale}: column found less column said: image {shifts[-1][0]:+.2f}, labels {shifts[-1][1]:+.2f}")
labels, scale, _ = level(group["labels/odd"], 1)
print(f"17 columns, level 1: columns {labels[0].tolist()}, scale {scale}")
odd = labels[0].tolist() == list(range(1, 16, 2)) and scale == 2.125
as_described = [label for _, label in shifts] == [0, 0.5, 1.5, 3.5, 7.5] and all(abs(image) < 0.1 for image, _ in shifts)
sys.exit(not (as_described and odd))
PYTHON
