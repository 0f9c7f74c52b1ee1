import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import tifffile
import torch
from scipy import ndimage
from torch import Tensor, nn

from segmodels.batch.job import ForeignFileError, Job, PhotoWriter
from segmodels.batch.local_engine import photos_in, segment_many
from segmodels.batch.stack import StackReport, segment_stack
from segmodels.cli import main
from segmodels.inference.photo import Photo, PhotoError, open_stack, read_photo
from segmodels.inference.result import Segmentation
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


def counted(
    segmenter: Segmenter, path: Path, out: Path, place: dict[str, int] | None = None, **job: Any
) -> StackReport:
    """Segment a stack, or what is at ``place`` in it."""
    chosen = tuple((place or {}).items())
    return segment_stack(PhotoWriter(Job(out, "unet_nuclei", place=chosen, **job), segmenter), path)


def outlines_in(file: str) -> list[roifile.ImagejRoi]:
    outlines = roifile.roiread(file)
    assert isinstance(outlines, list)
    return outlines


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
    report = segment_stack(
        PhotoWriter(Job(tmp_path / "out", "unet_nuclei"), segmenter), series, lambda: calls.append(None)
    )
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
    report = counted(segmenter, series, tmp_path / "out")
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
    report = counted(segmenter, channels, tmp_path / "out", place)
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
        counted(segmenter, channels, tmp_path / "out", place)
    with pytest.raises(PhotoError, match=words):
        read_photo(channels, display_range=None, **place)
    assert not (tmp_path / "out").exists()


def test_the_command_counts_by_channel(
    segmenter: Segmenter,
    channels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Job, "load", lambda job: segmenter)
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
    plain, other = (counted(segmenter, tmp_path / f"{name}.tif", tmp_path / "out") for name in ("plain", "saved"))
    assert Path(other.outputs["csv"]).read_text() == Path(plain.outputs["csv"]).read_text()
    assert other.counts == [2, 2]
    (tmp_path / "single").mkdir()
    job = Job(tmp_path / "single", "unet_nuclei", pictures=("instances",))
    (done,) = segment_many(job, segmenter, [tmp_path / "saved.tif"])
    assert done.report is not None
    assert np.array_equal(tifffile.imread(done.report["outputs"]["tiff"]), tifffile.imread(plain.outputs["tiff"])[0])


def test_files_that_are_there_are_left_alone(segmenter: Segmenter, series: Path, tmp_path: Path) -> None:
    (tmp_path / "series_stack_instances.csv").write_text("mine")
    for force in (False, True):
        with pytest.raises(ForeignFileError, match=r"series_stack_instances\.csv is there already"):
            counted(segmenter, series, tmp_path, force=force)
    assert (tmp_path / "series_stack_instances.csv").read_text() == "mine"


def test_a_stack_that_is_done_is_not_done_again_unless_it_is_asked_for(
    segmenter: Segmenter, series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[Photo] = []
    segment = Job.segment

    def noted(job: Job, segmenter: Segmenter, photo: Photo) -> Segmentation:
        passes.append(photo)
        return segment(job, segmenter, photo)

    monkeypatch.setattr(Job, "segment", noted)
    first = counted(segmenter, series, tmp_path / "out")
    assert len(passes) == 6
    assert counted(segmenter, series, tmp_path / "out") == first
    assert len(passes) == 6
    assert counted(segmenter, series, tmp_path / "out", force=True) == first
    assert len(passes) == 12
    tifffile.imwrite(series, tifffile.imread(series)[:1], imagej=True, metadata={"axes": "TZYX"})
    assert counted(segmenter, series, tmp_path / "out").counts == [1, 2, 3]


def test_what_is_chosen_in_a_stack_has_a_name_of_its_own(segmenter: Segmenter, channels: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for place in ({"channel": 2, "z": 2}, {"channel": 2, "z": 3}, {}):
        job = Job(tmp_path / "out", "unet_nuclei", pictures=("instances",), place=tuple(place.items()))
        (done,) = segment_many(job, segmenter, [channels])
        assert done.report is not None
        counted(segmenter, channels, tmp_path / "out", place)
    names = {file.name for file in (tmp_path / "out").iterdir()}
    endings = ("instances.csv", "instances.png", "instances.tif", "rois.zip")
    assert names == {
        f"both{place}{ending}"
        for place in ("", "_c2_z2", "_c2_z3")
        for ending in [f"_{one}" for one in endings] + [f"_stack_{one}" for one in endings if not one.endswith("png")]
    }
    with pytest.raises(ValueError, match="no photos"):
        photos_in([tmp_path / "out"])


IMAGEJ = {"resolution": (4.0, 2.0), "metadata": {"axes": "ZCYX", "unit": "um", "spacing": 0.5}}
OME = {
    "metadata": {"axes": "ZCYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5}
    | {"PhysicalSizeYUnit": "µm", "PhysicalSizeZ": 0.5, "PhysicalSizeZUnit": "µm"}
}


@pytest.mark.parametrize("written", [{"imagej": True, **IMAGEJ}, {"ome": True, **OME}])
def test_labels_have_the_size_of_pixels_and_outlines_their_place(
    segmenter: Segmenter, channels: Path, tmp_path: Path, written: dict[str, Any]
) -> None:
    tifffile.imwrite(channels, tifffile.imread(channels), photometric="minisblack", **written)
    (tmp_path / "out").mkdir()
    job = Job(tmp_path / "out", "unet_nuclei", pictures=("instances",), place=(("channel", 2), ("z", 3)))
    (done,) = segment_many(job, segmenter, [channels])
    assert done.report is not None
    stack = counted(segmenter, channels, tmp_path / "out")
    for outputs in (done.report["outputs"], stack.outputs):
        with tifffile.TiffFile(outputs["tiff"]) as tiff:
            across, down = (tiff.pages.first.tags[name].value for name in ("XResolution", "YResolution"))
            assert (across[0] / across[1], down[0] / down[1]) == (4, 2)
            assert tiff.imagej_metadata is not None
            assert (tiff.imagej_metadata["unit"], tiff.imagej_metadata["spacing"]) == ("um", 0.5)
    for roi in outlines_in(done.report["outputs"]["rois"]):
        assert (roi.c_position, roi.z_position, roi.t_position) == (2, 3, 0)
    outlines = outlines_in(stack.outputs["rois"])
    assert len({roi.name for roi in outlines}) == len(outlines) == sum(stack.counts)
    truth = {
        (z, c): ndimage.label(tifffile.imread(channels)[z - 1, c - 1] > 1000)[1] for z in (1, 2, 3) for c in (1, 2)
    }
    assert Counter((roi.z_position, roi.c_position) for roi in outlines) == truth


def test_on_a_single_axis_outlines_have_the_position(segmenter: Segmenter, series: Path, tmp_path: Path) -> None:
    tifffile.imwrite(series, tifffile.imread(series)[0], imagej=True, metadata={"axes": "ZYX"})
    outlines = outlines_in(counted(segmenter, series, tmp_path).outputs["rois"])
    assert [(roi.position, roi.z_position) for roi in outlines] == [(1, 0), (2, 0), (2, 0), (3, 0), (3, 0), (3, 0)]
