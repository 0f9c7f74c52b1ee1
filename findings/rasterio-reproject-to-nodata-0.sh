#!/bin/sh
# rasterio.warp.reproject(..., src_nodata=255, dst_nodata=0) of a label map with void 255.
# One would guess: void comes out as 0, as it comes out as 9 with dst_nodata=9. True: a dst_nodata of 0 is taken for none
# given, and src_nodata is used in its place: void stays 255, and so does all that lies outside the source. 0 is what most
# people ask for (background, "not labelled"). Exit status 1 if that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/packages" rasterio==1.4.4 numpy==2.4.6
PYTHONPATH="$folder/packages" python3 - <<'PYTHON'
import sys

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject

print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
labels = np.array([[0, 0, 1, 1], [0, 2, 2, 1], [255, 255, 2, 1], [0, 0, 0, 3]], np.uint8)
found = {}
for nodata in (9, 1, 0):
    target = np.full((4, 5), 77, np.uint8)  # one column lies outside the source
    grid = {"src_transform": from_origin(0, 4, 1, 1), "dst_transform": from_origin(0, 4, 1, 1)}
    crs = {"src_crs": "EPSG:3857", "dst_crs": "EPSG:3857"}
    reproject(labels, target, src_nodata=255, dst_nodata=nodata, resampling=Resampling.nearest, **grid, **crs)
    found[nodata] = (np.unique(target[:, :4][labels == 255]).tolist(), np.unique(target[:, 4]).tolist())
    print(f"dst_nodata={nodata}: void became {found[nodata][0]}, outside of the source is {found[nodata][1]}")
sys.exit(found != {9: ([9], [9]), 1: ([1], [1]), 0: ([255], [255])})
PYTHON
