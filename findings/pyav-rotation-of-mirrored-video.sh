#!/bin/sh
# PyAV: VideoFrame.rotation says how a player turns a frame.
#
# One would guess that a frame turned by `rotation` degrees is upright, as a player shows it, or that a video whose display
# matrix only mirrors it (a phone's front camera) has rotation 0. In truth the property knows no mirror: a video that is
# mirrored left to right says -180, one that is upside down says 0, and one that is mirrored and turned says -90, as if it
# were turned alone. Whoever turns by it gets a picture that no player shows. The whole matrix is in
# frame.side_data, as DISPLAYMATRIX.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --target "$folder/packages" av==18.1.0 numpy==2.4.6
PYTHONPATH="$folder/packages" python3 - "$folder" <<'PYTHON'
import struct
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

file, one = Path(sys.argv[1]) / "clip.mp4", 1 << 16
with av.open(str(file), "w") as target:
    stream = target.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    target.mux(stream.encode(frame))
    target.mux(stream.encode(None))
plain = file.read_bytes()
place = plain.index(b"tkhd") + 44  # the matrix in the header of the track
print("PyAV", av.__version__)
found = {}
for name, rows in {
    "turned by 90 degrees": (0, one, 0, -one, 0, 0),
    "mirrored left to right": (-one, 0, 0, 0, one, 0),
    "mirrored top to bottom": (one, 0, 0, 0, -one, 0),
    "mirrored and turned": (0, one, 0, one, 0, 0),
}.items():
    file.write_bytes(plain[:place] + struct.pack(">9i", *rows, 0, 0, 1 << 30) + plain[place + 36 :])
    with av.open(str(file)) as source:
        frame = next(source.decode(video=0))
        matrix = next(data for data in frame.side_data if data.type.name == "DISPLAYMATRIX")
        signs = np.sign(np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2]).tolist()
        found[name] = frame.rotation
        print(f"{name}: rotation {frame.rotation}, display matrix {signs}")
assert found["mirrored left to right"] == -180, "a mirror is no longer called half a turn"
assert found["mirrored and turned"] == found["turned by 90 degrees"], "a mirror is told apart now"
PYTHON
