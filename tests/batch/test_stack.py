import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scipy import ndimage
from torch import Tensor, nn

from segmodels.batch.job import ForeignFileError, Job
from segmodels.batch.local_engine import segment_many
from segmodels.batch.stack import segment_stack
from segmodels.cli import main
from segmodels.inference.photo import PhotoError, open_stack, read_photo
from segmodels.inference.segmenter import Segmenter
from segmodels.models import registry
from segmodels.models.base import SegmentationNetwork


class Same(nn.Module):
    """A backbone that hands the pixels on."""

    output_stride = 16
    align_corners = False
    out_channels: tuple[int, ...] = (3,)

    def set_output_stride(self, output_stride: int) -> None:
        """There is one alone."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x]


class Bright(nn.Module):
    """A decoder for which bright pixels are nuclei."""

    def forward(self, features: list[Tensor]) -> Tensor:
        grey = features[0].mean(1, keepdim=True)
        return torch.cat([-grey, grey, torch.full_like(grey, -9)], 1)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    """Finds what is bright."""
    return Segmenter(SegmentationNetwork(Same(), Bright()), registry.card("unet_nuclei"), "cpu", "float32")


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """A time-lapse of 2 by a focus series of 3, 12 bits of 16: in each picture one bright square more."""
    values = np.random.default_rng(1).integers(100, 300, (2, 3, 48, 96)).astype(np.uint16)
    for place in range(6):
        for square in range(place + 1):
            values[place // 3, place % 3, 10 : 16 + place, 4 + 14 * square : 12 + 14 * square] = 3000 + 10 * place
    tifffile.imwrite(tmp_path / "series.tif", values, imagej=True, metadata={"axes": "TZYX"})
    return tmp_path / "series.tif"


def test_a_stack_in_is_a_stack_of_labels_out(segmenter: Segmenter, series: Path, tmp_path: Path) -> None:
    calls: list[None] = []
    report = segment_stack(segmenter, series, tmp_path / "out", lambda: calls.append(None))
    with tifffile.TiffFile(report.outputs["tiff"]) as tiff:
        assert tiff.is_imagej
        assert tiff.series[0].axes == "TZYX"
        labels = tiff.asarray()
    assert labels.shape == (2, 3, 48, 96)
    assert labels.dtype == np.uint16
    assert len(calls) == 6
    assert report.counts == [int(one.max()) for one in labels.reshape(6, 48, 96)]
    with open_stack(series) as stack:
        alone = segmenter(stack.read(t=2, z=3).image).instances.labels
    assert report.counts == [1, 2, 3, 4, 5, 6]
    assert np.array_equal(labels[1, 2], alone)


def test_the_table_says_in_which_picture_each_row_is(segmenter: Segmenter, series: Path, tmp_path: Path) -> None:
    report = segment_stack(segmenter, series, tmp_path / "out")
    labels = tifffile.imread(report.outputs["tiff"])
    with Path(report.outputs["csv"]).open(encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    assert len(rows) == sum(report.counts)
    for row in rows:
        picture = labels[int(row["t"]) - 1, int(row["z"]) - 1]
        assert int(row["area"]) == (picture == int(row["number"])).sum()


@pytest.fixture
def channels(tmp_path: Path) -> Path:
    """Focus series of 3 in 2 channels: 2 bright squares in each picture of the first, 5 in those of the second."""
    values = np.random.default_rng(2).integers(100, 300, (3, 2, 48, 96)).astype(np.uint16)
    for square in range(5):
        values[:, 0 if square < 2 else 1 :, 10:24, 4 + 18 * square : 14 + 18 * square] = 3000
    tifffile.imwrite(tmp_path / "both.tif", values, imagej=True, metadata={"axes": "ZCYX"})
    return tmp_path / "both.tif"


@pytest.mark.parametrize(
    ("place", "shape", "counts"),
    [
        ({}, (3, 2, 48, 96), [2, 5, 2, 5, 2, 5]),
        ({"channel": 2}, (3, 48, 96), [5, 5, 5]),
        ({"z": 3}, (2, 48, 96), [2, 5]),
        ({"z": 1, "channel": 1, "t": 1}, (48, 96), [2]),
    ],
)
def test_a_stack_keeps_to_the_channel_and_z_that_are_named(
    segmenter: Segmenter,
    channels: Path,
    tmp_path: Path,
    place: dict[str, int],
    shape: tuple[int, ...],
    counts: list[int],
) -> None:
    report = segment_stack(segmenter, channels, tmp_path / "out", place=place)
    labels = tifffile.imread(report.outputs["tiff"])
    assert labels.shape == shape
    truth = [ndimage.label(one > 1000)[1] for one in tifffile.imread(channels).reshape(6, 48, 96)]
    assert [truth[2 * (there["z"] - 1) + there["channel"] - 1] for there in report.places] == report.counts == counts
    with Path(report.outputs["csv"]).open(encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    assert {row[name] for row in rows for name in place if name != "t"} == {str(n) for n in list(place.values())[:2]}


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"channel": 7}, "channels 1 to 2, so no channel 7"),
        ({"z": 99, "channel": 2}, "z 1 to 3, so no z 99"),
        ({"t": 2}, "one t; it has z 1 to 3 and channels 1 to 2"),
        ({"channel": "DAPI"}, "number, counted from 1, not by 'DAPI'"),
        ({"chanel": 1}, "not by chanel"),
    ],
)
def test_a_place_that_is_not_in_the_stack_is_refused(
    segmenter: Segmenter, channels: Path, tmp_path: Path, place: dict[str, int], words: str
) -> None:
    with pytest.raises(PhotoError, match=words):
        segment_stack(segmenter, channels, tmp_path / "out", place=place)
    with pytest.raises(PhotoError, match=words):
        read_photo(channels, **place)
    assert not (tmp_path / "out").exists()


def test_the_command_counts_by_channel(
    segmenter: Segmenter,
    channels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("segmodels.cli.segment.load_segmenter", lambda arguments: (segmenter, (None, None, None)))
    command = ["segment", str(channels), "--stack", "--model", "unet_nuclei", "--out", str(tmp_path / "out")]
    main(command)
    assert "channel 1: 6 nuclei in 3 pictures; channel 2: 15 nuclei in 3 pictures" in capsys.readouterr().out
    main([*command, "--channel", "2", "--z", "1", "--out", str(tmp_path / "one")])
    assert "channel 2: 5 nuclei in 1 picture\n" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main([*command, "--channel", "DAPI"])
    assert caught.value.code == 2
    assert "--channel: give its number in the file, counted from 1, not 'DAPI'" in capsys.readouterr().err


@pytest.mark.parametrize("saved", [{"min": 180.0, "max": 260.0}, {"min": 0.0, "max": 65535.0}])
def test_the_brightness_that_imagej_saved_changes_no_area(
    segmenter: Segmenter, tmp_path: Path, saved: dict[str, float]
) -> None:
    """Blurred discs on 12 of 16 bits: the network sees the percentiles of the values, whatever the display range."""
    values = np.zeros((2, 64, 96))
    values[:, 12:28, 10:30] = values[:, 40:56, 60:80] = 3000
    values = ndimage.gaussian_filter(values, (0, 4, 4)).astype(np.uint16) + 150
    for name, metadata in (("plain", {}), ("saved", saved)):
        tifffile.imwrite(tmp_path / f"{name}.tif", values, imagej=True, metadata={"axes": "ZYX", **metadata})
    low, high = np.percentile(values[1], (0.2, 99.8))
    expected = np.rint((values[1].clip(low, high) - low) / (high - low) * 255)
    photo = segmenter.read_photo(tmp_path / "saved.tif", z=2)
    assert np.abs(np.asarray(photo.image)[..., 0] - expected).max() <= 1
    assert "the display range saved in the file is left out" in photo.notes
    plain, other = (segment_stack(segmenter, tmp_path / f"{name}.tif", tmp_path / "out") for name in ("plain", "saved"))
    assert Path(other.outputs["csv"]).read_text() == Path(plain.outputs["csv"]).read_text()
    assert other.counts == [2, 2]
    (tmp_path / "single").mkdir()
    job = Job(tmp_path / "single", "unet_nuclei", pictures=("instances",))
    (done,) = segment_many(job, segmenter, [tmp_path / "saved.tif"])
    assert done.report is not None
    assert np.array_equal(tifffile.imread(done.report["outputs"]["tiff"]), tifffile.imread(plain.outputs["tiff"])[0])


def test_files_that_are_there_are_left_alone(segmenter: Segmenter, series: Path, tmp_path: Path) -> None:
    (tmp_path / "series_instances.csv").write_text("mine")
    with pytest.raises(ForeignFileError, match=r"series_instances\.csv is there already"):
        segment_stack(segmenter, series, tmp_path)
    assert (tmp_path / "series_instances.csv").read_text() == "mine"
