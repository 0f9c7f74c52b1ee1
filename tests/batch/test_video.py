"""Videos: frames in order with their times, upright, with their label maps; sound; what is no video."""

import json
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import segmodels
from segmodels import Segmenter
from segmodels.batch.job import ForeignFileError
from segmodels.batch.video import segment_video, turned
from segmodels.cli import main
from segmodels.labels import VOC_CLASSES
from segmodels.models import registry

from ..conftest import EXAMPLES

av = pytest.importorskip("av")
MODEL = registry.compact_models()[0]
ONE = 1 << 16
MATRICES = {
    "90 degrees clockwise": ((0, ONE, 0), (-ONE, 0, 0), Image.Transpose.ROTATE_270),
    "180 degrees": ((-ONE, 0, 0), (0, -ONE, 0), Image.Transpose.ROTATE_180),
    "90 degrees counterclockwise": ((0, -ONE, 0), (ONE, 0, 0), Image.Transpose.ROTATE_90),
    "mirrored": ((-ONE, 0, 0), (0, ONE, 0), Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": ((ONE, 0, 0), (0, -ONE, 0), Image.Transpose.FLIP_TOP_BOTTOM),
    "mirrored and turned": ((0, ONE, 0), (ONE, 0, 0), Image.Transpose.TRANSPOSE),
}


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return segmodels.load(MODEL)


@pytest.fixture(scope="module")
def cat() -> Image.Image:
    return Image.open(EXAMPLES / "cat.jpg").convert("RGB").resize((224, 160))


def clip(file: Path, images: Sequence[Image.Image], times: Sequence[int], sound: bool = False) -> Path:
    """A video of images at times in hundredths of a second."""
    with av.open(str(file), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = *images[0].size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        voice = target.add_stream("aac", rate=16000, layout="mono") if sound else None
        for image, time in zip(images, times, strict=True):
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = time, Fraction(1, 100)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
        if voice is not None:
            samples = np.sin(np.arange(16000, dtype=np.float32) / 9)[None]
            heard = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            heard.sample_rate, heard.pts = 16000, 0
            target.mux(voice.encode(heard))
            target.mux(voice.encode(None))
    return file


def turn(file: Path, first: Sequence[int], second: Sequence[int]) -> None:
    """Write a display matrix into the header of a video's track."""
    content = bytearray(file.read_bytes())
    place = content.index(b"tkhd") + 44
    content[place : place + 36] = struct.pack(">9i", *first, *second, 0, 0, 1 << 30)
    file.write_bytes(content)


def frames_of(file: Path) -> list[Any]:
    with av.open(str(file)) as source:
        return list(source.decode(video=0))


def labels_in(folder: Path) -> list[NDArray[np.uint8]]:
    return [np.asarray(Image.open(file)) for file in sorted(folder.iterdir())]


def test_every_frame_is_segmented_at_its_own_time(segmenter: Segmenter, cat: Image.Image, tmp_path: Path) -> None:
    images = [cat, cat.transpose(Image.Transpose.FLIP_LEFT_RIGHT), Image.new("RGB", cat.size, (90, 120, 90))]
    times = (0, 10, 37)
    file = clip(tmp_path / "clip.mp4", images, times)
    report = segment_video(segmenter, file, tmp_path / "out")
    assert report.frames == 3
    labels = labels_in(Path(report.outputs["labels"]))
    for frame, found in zip(frames_of(file), labels, strict=True):
        expected = segmenter(Image.fromarray(frame.to_ndarray(format="rgb24"))).labels
        assert (found == expected).mean() > 0.999
    written = frames_of(Path(report.outputs["overlay"]))
    assert [round(100 * frame.time) for frame in written] == list(times)
    changed = np.abs(written[0].to_ndarray(format="rgb24").astype(int) - np.asarray(cat).astype(int)).mean(2) > 25
    assert (changed == (labels[0] == VOC_CLASSES.index("cat"))).mean() > 0.8


@pytest.mark.parametrize("name", MATRICES)
def test_frames_are_turned_and_mirrored_as_the_file_says(
    segmenter: Segmenter, cat: Image.Image, tmp_path: Path, name: str
) -> None:
    first, second, transposed = MATRICES[name]
    expected = cat.transpose(transposed)
    pixels = np.asarray(cat)
    assert (turned(pixels, np.array([first, second, (0, 0, 1)], np.int32)) == np.asarray(expected)).all()
    file = clip(tmp_path / "clip.mp4", [cat], [0])
    turn(file, first, second)
    report = segment_video(segmenter, file, tmp_path / "out")
    labels = labels_in(Path(report.outputs["labels"]))[0]
    assert labels.shape == expected.size[::-1]
    stored = Image.fromarray(frames_of(file)[0].to_ndarray(format="rgb24"))
    assert (labels == segmenter(stored.transpose(transposed)).labels).mean() > 0.999
    (written,) = frames_of(Path(report.outputs["overlay"]))
    assert (written.width, written.height) == expected.size


def test_sound_is_kept(segmenter: Segmenter, cat: Image.Image, tmp_path: Path) -> None:
    file = clip(tmp_path / "clip.mp4", [cat, cat], [0, 50], sound=True)
    report = segment_video(segmenter, file, tmp_path / "out")

    def sound(of: Path) -> list[bytes]:
        with av.open(str(of)) as source:
            return [bytes(packet) for packet in source.demux(audio=0) if packet.size]

    heard = sound(file)
    assert len(heard) > 10
    assert sound(Path(report.outputs["overlay"])) == heard


def test_untagged_hd_has_the_colours_that_players_show(tmp_path: Path) -> None:
    from segmodels.batch.video import upright

    red = Image.new("RGB", (1280, 720), (200, 40, 40))
    frame = av.VideoFrame.from_image(red).reformat(format="yuv420p", dst_colorspace="ITU709")
    frame.colorspace = 2  # unspecified
    assert np.abs(np.asarray(upright(frame)).astype(int) - np.asarray(red)).max() < 6


def test_flicker_is_what_changes_where_nothing_moves_and_smoothing_lowers_it(
    segmenter: Segmenter, cat: Image.Image, tmp_path: Path
) -> None:
    still = clip(tmp_path / "still.mp4", [cat] * 3, [0, 4, 8])
    assert segment_video(segmenter, still, tmp_path / "a").flicker < 0.002
    rng = np.random.default_rng(0)
    noisy = [
        Image.fromarray((np.asarray(cat) + rng.integers(-3, 4, (160, 224, 3))).clip(0, 255).astype(np.uint8))
        for _ in range(8)
    ]
    file = clip(tmp_path / "noisy.mp4", noisy, range(0, 32, 4))
    plain = segment_video(segmenter, file, tmp_path / "b")
    smooth = segment_video(segmenter, file, tmp_path / "c", smoothing=0.8)
    assert smooth.flicker < plain.flicker


def test_the_command_line_writes_videos_and_says_what_is_none(
    cat: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = clip(tmp_path / "clip.mp4", [cat], [0]), tmp_path / "out"
    main(["segment", str(file), "--model", MODEL, "--out", str(out), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == 1
    assert (out / "clip_overlay.mp4").is_file()
    (tmp_path / "none.mp4").write_text("no video")
    for arguments in ([str(tmp_path / "none.mp4")], [str(file), "--smoothing", "1"], [str(file), "--crf"], [str(file)]):
        with pytest.raises(SystemExit) as caught:
            main(["segment", *arguments, "--model", MODEL, "--out", str(out)])
        assert caught.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert {found.name for found in out.iterdir()} == {"clip_overlay.mp4", "clip_labels"}


def test_a_file_of_somebodys_own_is_left_alone(segmenter: Segmenter, cat: Image.Image, tmp_path: Path) -> None:
    file = clip(tmp_path / "clip.mp4", [cat], [0])
    (tmp_path / "clip_overlay.mp4").write_text("mine")
    with pytest.raises(ForeignFileError):
        segment_video(segmenter, file, tmp_path)
    assert (tmp_path / "clip_overlay.mp4").read_text() == "mine"
