#!/bin/sh
# rasterio (GDAL): a label map of one byte band is written as a Cloud Optimized GeoTIFF and read at half size.
# One would guess: read(out_shape=..., resampling=Resampling.nearest) gives classes that are in the file. True: the COG
# driver adds overviews by cubic resampling if the band has no colour table (and by nearest if it has one), and the
# smaller read takes them, whatever resampling it asks for: at borders there are classes that nobody drew. The same file
# read whole is right, so are tiles at full zoom, and adding a colour table with write_colormap cures it, as does
# overview_resampling="mode". Exit status 1 if that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/packages" rasterio==1.4.4 numpy==2.4.6
PYTHONPATH="$folder/packages" python3 - "$folder" <<'PYTHON'
import sys

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.shutil import copy
from rasterio.transform import from_origin

print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
blocks = np.random.default_rng(0).choice([0, 5, 11], (128, 128))
labels = np.kron(blocks, np.ones((8, 8))).astype(np.uint8)
form = {"driver": "GTiff", "height": 1024, "width": 1024, "count": 1, "dtype": "uint8", "crs": "EPSG:3857"}


def classes(name, colours=False, **options):
    plain, cog = f"{sys.argv[1]}/plain.tif", f"{sys.argv[1]}/{name}.tif"
    with rasterio.open(plain, "w", transform=from_origin(0, 1024, 1, 1), **form) as file:
        file.write(labels, 1)
        if colours:
            file.write_colormap(1, {0: (0, 0, 0), 5: (128, 0, 128), 11: (192, 128, 0)})
    copy(plain, cog, driver="COG", **options)
    with rasterio.open(cog) as file:
        whole = np.unique(file.read(1)).tolist()
        half = np.unique(file.read(1, out_shape=(512, 512), resampling=Resampling.nearest)).tolist()
        print(f"{name}: overviews {file.overviews(1)}, classes {whole}, at half size {half}")
    return whole, half


true = [0, 5, 11]
whole, half = classes("no-colour-table")
with_table = classes("colour-table", colours=True)
by_mode = classes("mode", overview_resampling="mode")
sys.exit(not (whole == true and set(half) > set(true) and with_table == by_mode == (true, true)))
PYTHON
