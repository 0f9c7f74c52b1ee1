#!/bin/sh
# Pillow and TIFFs of 16-bit colours whose planes lie one after the other, uncompressed, as many instruments write them.
# One would guess: they are read, or refused, as 8-bit ones are. True: they open without a word as an RGB picture whose
# bytes are shuffled: red and green planes of one value each come out striped. tifffile reads the same file rightly.
# Exit status 1 if that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==12.3.0 tifffile==2026.3.3 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/planar.tif" <<'PYTHON'
import sys

import numpy as np
import PIL
import tifffile
from PIL import Image

planes = np.empty((3, 64, 96), np.uint16)
planes[0], planes[1], planes[2] = 0x4012, 0x8034, 0xC056
tifffile.imwrite(sys.argv[1], planes, photometric="rgb", planarconfig="separate")
with Image.open(sys.argv[1]) as image:
    seen = np.asarray(image)
print(f"Pillow {PIL.__version__}: mode {image.mode}, {seen.dtype} {seen.shape}")
print("expected in every pixel (upper bytes):", [0x40, 0x80, 0xC0])
print("found, by channel:", [np.unique(seen[..., channel]).tolist() for channel in range(3)])
exact = (tifffile.imread(sys.argv[1]) == planes).all()
print(f"tifffile {tifffile.__version__} reads it exactly: {exact}")
right = all((seen[..., channel] == upper).all() for channel, upper in enumerate((0x40, 0x80, 0xC0)))
sys.exit(1 if right or not exact else 0)
PYTHON
