#!/bin/sh
# torchvision: rotate(mask, 90) of a mask whose height and width differ by an odd number, such as VOC's 375 x 500.
# One would guess: a turn by 90 degrees moves pixels and changes none, cut off where it leaves the frame, and masks are
# turned by nearest neighbour. True: the middles then fall exactly between pixels, and the ties go to the even neighbour or
# are settled by rounding errors: most pixels that should stay are lost and their neighbours are there twice. Lines of one
# pixel, every fourth column, come out as of two pixels or not at all. With 480 x 640 and squares all is exact, and so is
# mask.rot90(). The image goes through the same turn with smoothing, so the two no longer fit.
# Exit status 1 if that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torchvision
from torchvision.transforms.v2 import functional
from torchvision.tv_tensors import Mask

print("torch", torch.__version__, "torchvision", torchvision.__version__)
lost = {}
for height, width in ((480, 640), (64, 64), (375, 500), (333, 500), (100, 101)):
    numbered = torch.arange(height * width, dtype=torch.int32).reshape(1, height, width)
    turned = functional.rotate(Mask(numbered), 90)
    edge = (width - height) // 2  # what is left of the turned picture: its middle square, less one pixel all round
    stays = numbered[0, 1:-1, edge + 2 : edge + height - 2]
    lost[height, width] = 1 - torch.isin(stays, turned).double().mean().item()
    print(f"{height} x {width}: {lost[height, width]:.0%} of the pixels that should stay are lost")
lines = torch.zeros(1, 375, 500, dtype=torch.uint8)
lines[:, :, 2::4] = 1
share = functional.rotate(Mask(lines), 90)[0, 5:-5, 180:320].float().mean(1)
print("lines of one pixel in four, rows of the turned mask that are lines:", f"{(share > 0.5).float().mean():.0%} (guess: 25%)")
sys.exit(not (lost[480, 640] == lost[64, 64] == 0 and all(lost[size] > 0.3 for size in ((375, 500), (333, 500), (100, 101)))))
PYTHON
