#!/bin/sh
# oxipng and zopflipng on PNGs of label maps, to make them smaller "without loss".
# One would guess: what is lossless keeps the pixels, so the classes stay. True: the colours that are shown stay, the values
# do not. A palette PNG of classes 0, 5, 15 and 255 (as Pascal VOC's) comes out with the values 0 to 3 in another order, by
# zopflipng with background as 1 and void as 0; two classes of one colour become one. zopflipng also makes a palette PNG of
# a grey one, so that np.array(Image.open(file)) no longer gives its levels. Training on such files goes on without an
# error, with other classes in each file. Pillow's own optimize=True keeps the values. Exit status 1 if that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/packages" pyoxipng==9.1.1 zopflipy==1.14 pillow==12.3.0 numpy==2.4.6
PYTHONPATH="$folder/packages" python3 - <<'PYTHON'
import io
import sys
from importlib.metadata import version

import numpy as np
import oxipng
from PIL import Image
from zopfli import ZopfliPNG


def png(labels, palette=None, **options):
    image = Image.fromarray(labels)
    if palette is not None:
        image.putpalette(palette.ravel().tolist())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def values_after(data, labels):
    with Image.open(io.BytesIO(data)) as image:
        found = np.array(image)
    return image.mode, {int(value): np.unique(found[labels == value]).tolist() for value in np.unique(labels)}


print("pyoxipng", version("pyoxipng"), "zopflipy", version("zopflipy"), "Pillow", version("pillow"))
labels = np.zeros((64, 64), np.uint8)
labels[10:30, 10:30], labels[35:60, 30:60], labels[:5] = 5, 15, 255
palette = np.zeros((256, 3), np.uint8)
palette[5], palette[15], palette[255] = (128, 0, 128), (192, 128, 128), (224, 224, 192)
palette_png, grey_png = png(labels, palette), png(labels)
kept = {0: [0], 5: [5], 15: [15], 255: [255]}
found = {
    "Pillow, optimize=True": values_after(png(labels, palette, optimize=True), labels),
    "oxipng, palette": values_after(oxipng.optimize_from_memory(palette_png), labels),
    "zopflipng, palette": values_after(ZopfliPNG().optimize(palette_png), labels),
    "oxipng, grey": values_after(oxipng.optimize_from_memory(grey_png), labels),
    "zopflipng, grey": values_after(ZopfliPNG().optimize(grey_png), labels),
}
palette[15] = palette[5]
found["oxipng, two classes of one colour"] = values_after(oxipng.optimize_from_memory(png(labels, palette)), labels)
for name, (mode, values) in found.items():
    print(f"{name}: mode {mode}, class -> values found {values}")
twin = found["oxipng, two classes of one colour"][1]
as_described = (
    found["Pillow, optimize=True"][1] == kept
    and found["oxipng, grey"][1] == kept
    and all(found[name][1] != kept for name in ("oxipng, palette", "zopflipng, palette", "zopflipng, grey"))
    and twin[5] == twin[15]
)
sys.exit(not as_described)
PYTHON
