#!/bin/sh
# Label maps kept as a lossless grey video: PyAV (FFmpeg), libx264 with qp=0 and pix_fmt "gray".
# One would guess: grey frames, no loss, so the values come back. True: the stream holds them exactly, but FFmpeg's decoder
# hands monochrome H.264 out as yuv420p of limited range, and everything that turns it into grey or RGB (PyAV, OpenCV,
# imageio) stretches 16..235 to 0..255: the classes 0 to 16 all come out as 0, and none but 255 keeps its value. FFV1 and
# H.265 in "gray" come back exactly. The classes can be saved: they are the rows of Y in to_ndarray() without a format.
# Exit status 1 if that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/packages" av==18.1.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
PYTHONPATH="$folder/packages" python3 - "$folder" <<'PYTHON'
import sys

import av
import cv2
import numpy as np

print("PyAV", av.__version__, "OpenCV", cv2.__version__)
classes = np.array([[0, 1, 2, 3], [4, 7, 11, 15], [16, 17, 18, 20], [21, 100, 128, 255]])
labels = np.kron(classes, np.ones((16, 16))).astype(np.uint8)
found = {}
for codec, options, file in (
    ("libx264", {"qp": "0"}, "h264.mp4"),
    ("libx265", {"x265-params": "lossless=1:log-level=none"}, "h265.mp4"),
    ("ffv1", {}, "ffv1.mkv"),
):
    path = f"{sys.argv[1]}/{file}"
    with av.open(path, "w") as target:
        stream = target.add_stream(codec, rate=5, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "gray"
        for _ in range(3):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(labels, "gray")))
        target.mux(stream.encode(None))
    with av.open(path) as source:
        frame = next(source.decode(video=0))
        found[codec] = frame.to_ndarray(format="gray")
        if codec == "libx264":
            exact = bool((frame.to_ndarray()[:64] == labels).all())
            seen = cv2.VideoCapture(path).read()[1][..., 0]
            print("Y of the H.264 frame is exact:", exact)
    print(f"{codec}: decoded as {frame.format.name}, as grey:", found[codec][::16, ::16].ravel().tolist())
print("written:", classes.ravel().tolist())
print("H.264 by OpenCV:", seen[::16, ::16].ravel().tolist())
lost = all((values[labels <= 16] == 0).all() for values in (found["libx264"], seen))
kept = all((found[codec] == labels).all() for codec in ("libx265", "ffv1"))
sys.exit(not (exact and lost and kept))
PYTHON
