"""How smooth the page is in Chromium: ``python -m tools.measure.frames``. Zooming, and a video with its masks."""

import argparse
import statistics
import tempfile
from itertools import pairwise
from pathlib import Path

import av
from PIL import Image

from segmodels.benchmark.tables import table
from segmodels.checkpoints.paths import EXAMPLES
from tools.stress.running import RunningApp

from .app import Photos, opened

FRAME_MS = 16.7
JITTER_MS = 1.0
"""What a screen's clock may be late."""
MEGAPIXELS = 12
SECONDS = 5
VIDEO = (640, 360)
"""Pixels, (width, height)."""

ZOOM = """seconds => new Promise(resolve => {
  const picture = document.querySelector('#pictures .segmented .picture'), box = picture.getBoundingClientRect();
  const middle = {clientX: box.left + box.width / 2, clientY: box.top + box.height / 2};
  const times = [], end = performance.now() + 1000 * seconds;
  const step = time => {
    times.push(time);
    if (time > end) return resolve(times);
    const deltaY = times.length % 120 < 60 ? -10 : 10;
    picture.dispatchEvent(new WheelEvent('wheel', {...middle, deltaY, bubbles: true, cancelable: true}));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""
MASKS = "() => Number(document.querySelector('#pictures [data-masks]').dataset.masks)"


def main() -> int:
    """Return 1 without Chromium."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--query", default="", help="what the page is opened with, such as 'model=fcn_mobilenetv2&crf=0'"
    )
    query = parser.parse_args().query
    with tempfile.TemporaryDirectory() as folder, RunningApp() as app, opened(f"{app.url}?{query}", 1280, 720) as view:
        if view is None:
            print("there is no Chromium here")
            return 1
        chooser = view.locator("#pictures input[type=file]")
        chooser.set_input_files(Photos(Path(folder)).new(MEGAPIXELS))
        view.wait_for_timeout(10_000)
        frames = [after - before for before, after in pairwise(view.evaluate(ZOOM, SECONDS))]
        said = view.locator("#pictures .live")
        chooser.set_input_files(film(Path(folder) / "film.webm"))
        view.wait_for_selector("#pictures [data-masks]")
        view.wait_for_timeout(2000)
        before = view.evaluate(MASKS)
        view.wait_for_timeout(1000 * SECONDS)
        masks = (view.evaluate(MASKS) - before) / SECONDS
        print(said.text_content())
    in_time = sum(frame < FRAME_MS + JITTER_MS for frame in frames) / len(frames)
    zooming = (f"{in_time:.0%}", f"{statistics.median(frames):.1f} ms", f"{max(frames):.0f} ms")
    print(table(f"Zooming, {MEGAPIXELS} megapixels", (f"frames within {FRAME_MS} ms", "median", "longest"), [zooming]))
    print(table("A video, {} x {}".format(*VIDEO), ("masks a second", "asked"), [(f"{masks:.1f}", "15")]))
    return 0


def film(file: Path) -> Path:
    """A video of 30 frames a second that moves across a photo."""
    photo = Image.open(EXAMPLES / "rider.jpg").convert("RGB").resize((VIDEO[0] + 60, VIDEO[1]))
    with av.open(str(file), "w") as target:
        stream = target.add_stream("libvpx", rate=30)
        stream.width, stream.height, stream.pix_fmt = *VIDEO, "yuv420p"
        for left in range(60):
            frame = av.VideoFrame.from_image(photo.crop((left, 0, left + VIDEO[0], VIDEO[1])))
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return file


if __name__ == "__main__":
    raise SystemExit(main())
