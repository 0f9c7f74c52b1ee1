#!/bin/sh
# Label Studio's converter (label-studio-sdk), which makes its COCO and YOLO exports, on a brush, an ellipse and a turned box.
# One would guess: "COCO with brushes" keeps the pixels as a run-length code. True: it keeps the outer border, as a polygon
# through pixel middles, so that a hole in a brush (a window, the inside of a ring) is filled, and the area written is
# neither the brush's nor the filled one's. Ellipses are left out, with a line in the log at most. A box turned by 45
# degrees is written as if it were not turned by YOLO's export and by that of brushes; COCO's has the box around it, with
# twice the area. Only the JSON export has it all. Exit status 1 if that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet label-studio-sdk==2.1.2 numpy==2.2.6 pycocotools==2.0.11
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import logging
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from label_studio_sdk.converter import Converter
from label_studio_sdk.converter.brush import mask2rle
from PIL import Image
from pycocotools import mask as coco_mask

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
folder = Path(sys.argv[1])
print("label-studio-sdk", version("label-studio-sdk"))
Image.new("RGB", (200, 100)).save(folder / "photo.png")
ring = np.zeros((100, 200), np.uint8)
ring[20:60, 30:90], ring[30:50, 50:70] = 255, 0
values = {
    "Brush": {"format": "rle", "rle": mask2rle(ring)},
    "Ellipse": {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10, "rotation": 0},
    "Rectangle": {"x": 50, "y": 20, "width": 20, "height": 20, "rotation": 45},
}
tags = "".join(f'<{one}Labels name="{one}" toName="image"><Label value="car"/></{one}Labels>' for one in values)
config = f'<View><Image name="image" value="$image"/>{tags}</View>'


def exported(shape, form):
    kind = f"{shape.lower()}labels"
    drawn = {"id": "a", "type": kind, "from_name": shape, "to_name": "image", "image_rotation": 0}
    drawn |= {"original_width": 200, "original_height": 100, "value": {**values[shape], kind: ["car"]}}
    task = {"id": 1, "data": {"image": str(folder / "photo.png")}}
    task["annotations"] = [{"id": 1, "completed_by": 1, "result": [drawn]}]
    (folder / "tasks.json").write_text(json.dumps([task]))
    target = folder / f"{shape}-{form}"
    Converter(config, None, download_resources=False).convert(str(folder / "tasks.json"), str(target), form, is_dir=False)
    if form == "YOLO":
        return [[float(x) for x in line.split()] for file in target.glob("labels/*.txt") for line in file.read_text().splitlines()]
    return [one for file in target.rglob("*.json") for one in json.loads(file.read_text()).get("annotations", [])]


brush = exported("Brush", "BRUSH_TO_COCO")[0]
drawn = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(brush["segmentation"], 100, 200)))
print(f"brush with a hole: {(ring > 0).sum()} pixels; exported outline {brush['segmentation']}, area {brush['area']}")
print(f"  its {(ring[30:50, 50:70] == 0).sum()} pixels of the hole that the outline covers: {drawn[30:50, 50:70].sum()}")
ellipses = {form: len(exported("Ellipse", form)) for form in ("COCO", "BRUSH_TO_COCO", "YOLO")}
print("ellipses in the exports of one ellipse:", ellipses)
turned = {form: exported("Rectangle", form)[0] for form in ("COCO", "BRUSH_TO_COCO", "YOLO")}
print("box of 40 x 20 pixels, turned by 45 degrees about (100, 20), so that its middle lies at (107.1, 41.2), area 800:")
print("  COCO: box", np.round(turned["COCO"]["bbox"], 1).tolist(), "area", round(turned["COCO"]["area"]))
print("  COCO with brushes: box", turned["BRUSH_TO_COCO"]["bbox"], "; YOLO (middle and size):", turned["YOLO"][1:])
as_described = drawn[30:50, 50:70].sum() == 400 and brush["area"] not in (2000, 2400) and not any(ellipses.values())
as_described = as_described and turned["BRUSH_TO_COCO"]["bbox"] == [100, 20, 40, 20]
as_described = as_described and np.allclose(turned["YOLO"], [0, 0.6, 0.3, 0.2, 0.2]) and round(turned["COCO"]["area"]) == 1600
sys.exit(not as_described)
PYTHON
