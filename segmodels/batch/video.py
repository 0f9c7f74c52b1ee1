"""A video in, the same video with its label maps drawn over it out, frame by frame in their order.

Frames are decoded in the order of the file and keep their own times, which need not be even. What a player does to them
is done here too: they are turned and mirrored by the display matrix, frames that the file's edit list trims are left out,
and frames of unknown colours are taken as BT.709 from 720 lines on and as BT.601 below. Sound is copied.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..inference.label_map import label_map
from ..inference.pictures import label_image, overlay
from ..inference.segmenter import Segmenter
from .job import PARTIAL, check_absent

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"}
HD_LINES = 720
"""Frames without a tag have BT.709's colours from so many lines on, as players assume, and BT.601's below."""
STILL = 6
"""A pixel whose values change by no more than this, of 255, shows the same as in the frame before."""
QUALITY = "20"
"""x264's constant rate factor: no loss that one would see."""


@dataclass(frozen=True)
class VideoReport:
    """What became of a video."""

    frames: int
    flicker: float
    """Of the pixels that show the same as in the frame before, the part whose label changed."""
    outputs: dict[str, str]
    """``overlay``, the video, and ``labels``, a folder with a palette PNG for each frame, numbered from 0."""


def is_video(path: Path) -> bool:
    """Whether a file's name is that of a video."""
    return path.suffix.lower() in SUFFIXES


def segment_video(
    segmenter: Segmenter,
    path: Path,
    out: Path,
    settings: tuple[int | None, int | None, int | None] = (None, None, None),
    smoothing: float = 0.0,
    progress: Callable[[], object] | None = None,
) -> VideoReport:
    """Segment every frame of a video; write ``<stem>_overlay.mp4`` and the folder ``<stem>_labels`` into ``out``.

    Args:
        segmenter: the network.
        path: a video that FFmpeg reads.
        out: the folder for the files; made if it is missing.
        settings: atrous rate, output stride and working size; as the network was trained where they are None.
        smoothing: how much of a frame's logits is those of the frames before, from 0 to less than 1: an exponential mean,
            against flicker.
        progress: called after each frame.

    Raises:
        ModuleNotFoundError: without PyAV, with how to install it.
        ValueError: if the file holds no video that can be read, or ``smoothing`` is out of its range.
        ForeignFileError: if a file of such a name is there already.
    """
    av = _av()
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing goes from 0 to less than 1, not {smoothing}")
    files = {"overlay": out / f"{path.stem}_overlay.mp4", "labels": out / f"{path.stem}_labels"}
    check_absent(files.values())
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=out) as waiting:  # seen when they are whole
        partial = {kind: Path(waiting) / file.name for kind, file in files.items()}
        try:
            frames, flicker = _segment(segmenter, path, partial, settings, smoothing, progress)
        except av.error.FFmpegError as error:
            raise ValueError(f"{path} cannot be read as a video: {error.strerror}") from error
        for kind, file in files.items():
            partial[kind].replace(file)
    return VideoReport(frames, flicker, {kind: str(file) for kind, file in files.items()})


def _segment(
    segmenter: Segmenter,
    path: Path,
    files: dict[str, Path],
    settings: tuple[int | None, int | None, int | None],
    smoothing: float,
    progress: Callable[[], object] | None,
) -> tuple[int, float]:
    """Write both outputs; return how many frames there are, and the flicker."""
    av, (rate, stride, size) = _av(), settings
    mean: Tensor | None = None
    before, flicker = None, _Flicker()
    classes = segmenter.card.class_list
    files["labels"].mkdir()
    with av.open(str(path)) as source, av.open(str(files["overlay"]), "w") as target:
        if not source.streams.video:
            raise ValueError(f"{path} holds no video")
        writer = _Writer(source, target)
        for number, (frame, image) in enumerate(writer.frames()):
            features = segmenter.encode(image, stride, size)
            mean = _smoothed(mean, segmenter.logits(features, rate), smoothing)
            labels = label_map(mean, image.size[::-1], None, features.aligned_size)
            before = flicker.add(np.asarray(image), labels, before)
            label_image(labels, classes).save(files["labels"] / f"{number:06d}.png")
            writer.write(overlay(image, labels, classes=classes), frame)
            if progress:
                progress()
        writer.finish()
    if not writer.count:
        raise ValueError(f"{path} holds no frame that can be read")
    return writer.count, flicker.share


def _av() -> Any:
    try:
        import av
    except ModuleNotFoundError:
        raise ModuleNotFoundError("videos need PyAV: pip install av") from None
    return av


def _smoothed(mean: Tensor | None, logits: Tensor, smoothing: float) -> Tensor:
    """The exponential mean of (C, h, w) logits; begun anew where the size changes."""
    same = mean is not None and mean.shape == logits.shape
    return mean.lerp(logits, 1 - smoothing) if mean is not None and same and smoothing else logits


class _Flicker:
    """Counts pixels that show the same as in the frame before, and those of them that got another label."""

    def __init__(self) -> None:
        self.still = self.changed = 0

    def add(self, pixels: NDArray[np.uint8], labels: NDArray[np.uint8], before: Any) -> Any:
        """Compare with what the last call returned, None at first."""
        if before is not None and before[0].shape == pixels.shape:
            moved = np.abs(pixels.astype(np.int16) - before[0]).max(2)
            still = moved <= STILL
            self.still += int(still.sum())
            self.changed += int((still & (labels != before[1])).sum())
        return pixels, labels

    @property
    def share(self) -> float:
        return self.changed / self.still if self.still else 0.0


class _Writer:
    """Frames of a source as people see them, and what is drawn over them into the target, with the sound."""

    def __init__(self, source: "InputContainer", target: Any) -> None:
        self.source, self.target, self.count = source, target, 0
        self.video = source.streams.video[0]
        self.video.thread_type = "AUTO"
        self.sound = next(iter(source.streams.audio), None)
        self.stream: Any = None
        self.copied: Any = None

    def frames(self) -> "Iterator[tuple[VideoFrame, Image.Image]]":
        """Each frame that a player shows, upright and in RGB; packets of sound go past it into the target."""
        waiting: list[Any] = []
        for packet in self.source.demux(*filter(None, (self.video, self.sound))):
            if packet.stream is not self.video:
                waiting.append(packet)
                continue
            frames: list[Any] = packet.decode()
            for frame in frames:
                if frame.pts is None or frame.time < 0:
                    continue
                yield frame, upright(frame)
                waiting = self._copy(waiting)
        self._copy(waiting)

    def write(self, image: Image.Image, frame: "VideoFrame") -> None:
        """Encode a picture at the time of ``frame``."""
        av = _av()
        width, height = (side - side % 2 for side in image.size)  # 4:2:0 has a colour for two by two pixels
        if self.stream is None:
            self._begin(width, height)
        if (width, height) != (self.stream.width, self.stream.height):
            raise ValueError("the size of the frames changes in this video, which cannot be written")
        drawn = av.VideoFrame.from_image(image.crop((0, 0, width, height)))
        drawn = drawn.reformat(format="yuv420p", dst_colorspace="ITU709")
        drawn.pts, drawn.time_base = frame.pts, frame.time_base
        self.target.mux(self.stream.encode(drawn))
        self.count += 1

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self.stream is not None:
            self.target.mux(self.stream.encode(None))

    def _begin(self, width: int, height: int) -> None:
        rate = self.video.average_rate or Fraction(25)
        self.stream = self.target.add_stream("libx264", rate=rate, options={"crf": QUALITY, "preset": "veryfast"})
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, "yuv420p"
        context = self.stream.codec_context
        context.time_base = self.video.time_base
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.color_range = 1
        if self.sound is not None:
            self.copied = self.target.add_stream_from_template(self.sound)

    def _copy(self, packets: list[Any]) -> list[Any]:
        """Copy packets of sound, once the target has begun."""
        if self.copied is None:
            return packets
        for packet in packets:
            if packet.dts is not None:
                packet.stream = self.copied
                self.target.mux(packet)
        return []


def upright(frame: "VideoFrame") -> Image.Image:
    """A frame in RGB, turned and mirrored as its display matrix says."""
    unknown = frame.colorspace in (0, 2)  # RGB has no matrix, and 2 is "unspecified"
    guess = ("ITU709" if frame.height >= HD_LINES else "ITU601") if unknown else None
    image: NDArray[Any] = frame.reformat(format="rgb24", src_colorspace=guess).to_ndarray()
    described: Any = frame.side_data
    for data in described:
        if data.type.name == "DISPLAYMATRIX":
            image = turned(image, np.frombuffer(bytes(data), np.int32).reshape(3, 3))
    return Image.fromarray(np.ascontiguousarray(image))


def turned(pixels: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """(H, W, 3) pixels as a display matrix of MP4 shows them, of quarter turns and mirrors.

    The matrix takes a pixel at (x, y) to (a x + c y, b x + d y), its first two rows being (a, b) and (c, d).
    """
    (a, b, _), (c, d, _), _ = (np.sign(row).tolist() for row in matrix)
    if a and d:  # x stays along x
        return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    if not (b and c):
        return pixels
    swapped = pixels.swapaxes(0, 1)
    return swapped[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
