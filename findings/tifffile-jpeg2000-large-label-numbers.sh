#!/bin/sh
# tifffile and imagecodecs: label maps of uint32 saved with compression="jpeg2000", which is lossless unless a level is set.
# One would guess: the values come back, as with 8 and 16 bits, or the type is refused. True: up to 2^24 they come back;
# beyond, where the numbers of objects in large volumes soon are, most values come back as others, without a word.
# deflate, zstd and lerc keep them. Exit status 1 if that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/packages" tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.4.6
PYTHONPATH="$folder/packages" python3 - "$folder/labels.tif" <<'PYTHON'
import sys

import imagecodecs
import numpy as np
import tifffile

print("tifffile", tifffile.__version__, "imagecodecs", imagecodecs.__version__, imagecodecs.jpeg2k_version())
exact = {}
for bits in (16, 24, 26, 28, 32):
    numbers = np.random.default_rng(0).integers(0, 1 << bits, (32, 32))
    labels = np.kron(numbers, np.ones((5, 5), int)).astype(np.uint32)
    for compression in ("jpeg2000", "zstd"):
        tifffile.imwrite(sys.argv[1], labels, compression=compression)
        exact[compression, bits] = float((tifffile.imread(sys.argv[1]) == labels).mean())
    print(f"numbers below 2^{bits}: {exact['jpeg2000', bits]:.1%} of the pixels come back by JPEG 2000")
    alone = imagecodecs.jpeg2k_decode(imagecodecs.jpeg2k_encode(labels)) == labels
    assert alone.mean() == exact["jpeg2000", bits], "tifffile and imagecodecs differ"
kept = exact["jpeg2000", 16] == exact["jpeg2000", 24] == 1 and all(exact["zstd", bits] == 1 for bits in (16, 24, 32))
sys.exit(not (kept and all(exact["jpeg2000", bits] < 0.5 for bits in (26, 28, 32))))
PYTHON
