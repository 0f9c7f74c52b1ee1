"""DICOM and NIfTI files, written by pydicom and nibabel."""

import gzip
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from segmodels import read_photo
from segmodels.inference.photo import PhotoError, open_stack


def dicom(path: Path, values: NDArray[Any], **tags: Any) -> Path:
    """Write ``values``, (H, W) or (frames, H, W), as a DICOM file with these tags."""
    syntax = tags.pop("syntax", ExplicitVRLittleEndian)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, "1.2.3"
    meta.TransferSyntaxUID = syntax if syntax == DeflatedExplicitVRLittleEndian else ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, "1.2.3"
    data.Rows, data.Columns = values.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * values.dtype.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(values.dtype.kind == "i")
    if values.ndim == 3:
        data.NumberOfFrames = len(values)
    for name, value in tags.items():
        setattr(data, name, value)
    data.PixelData = values.tobytes()
    if syntax == RLELossless:
        data.compress(RLELossless)
    data.save_as(path)
    return path


def grey(path: Path, **place: int) -> NDArray[np.uint8]:
    return np.asarray(read_photo(path, display_range=None, **place).image)[..., 0]


def steps() -> NDArray[np.int16]:
    """Columns of -1,000, 0, 40, 80 and 3,000: air, water, the middle of a window, its end, metal."""
    return np.repeat(np.array([[-1000, 0, 40, 80, 3000]], np.int16), 40, axis=0).repeat(10, axis=1)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_a_window_shows_what_a_radiologist_sees(tmp_path: Path, syntax: str) -> None:
    """Stored values are 1024 above Hounsfield's. By PS3.3, C.11.2.1.2 a window of 80 about 40 goes from 0 to 79."""
    stored = (steps() + 1024).astype(np.int16)
    file = dicom(
        tmp_path / "ct.dcm",
        stored,
        syntax=syntax,
        RescaleIntercept=-1024,
        RescaleSlope=1,
        WindowCenter=40,
        WindowWidth=80,
    )
    seen = grey(file)[20, 5::10]
    assert seen.tolist() == [0, 0, round(255 * 40 / 79), 255, 255]


def test_the_first_of_several_windows_counts_and_monochrome1_is_negative(tmp_path: Path) -> None:
    windows: dict[str, Any] = {"WindowCenter": [40, 500], "WindowWidth": [80, 2000]}
    plain = grey(dicom(tmp_path / "a.dcm", steps(), **windows))
    negative = grey(dicom(tmp_path / "b.dcm", steps(), PhotometricInterpretation="MONOCHROME1", **windows))
    assert (plain.astype(int) + negative == 255).all()
    assert plain[0, 0] == 0


def test_frames_are_pages(tmp_path: Path) -> None:
    frames = np.stack([np.full((40, 50), value, np.uint8) for value in (10, 20, 30)])
    file = dicom(tmp_path / "cine", frames)
    assert grey(file, page=3).tolist() == frames[2].tolist()
    with open_stack(file) as stack:
        assert stack.axes == {"page": 3}
        assert stack.stored() == ((50, 40), None)
    assert "page 2 of 3" in read_photo(file, page=2).notes[0]
    with pytest.raises(PhotoError, match="page 4"):
        read_photo(file, page=4)


def test_colours_of_a_dicom(tmp_path: Path) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    file = dicom(
        tmp_path / "skin.dcm",
        colours.reshape(40, 150),
        Columns=50,
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="RGB",
    )
    assert (np.asarray(read_photo(file).image) == colours).all()


def test_a_dicom_without_a_picture_or_deflated_is_refused(tmp_path: Path) -> None:
    file = dicom(tmp_path / "deflated.dcm", steps(), syntax=DeflatedExplicitVRLittleEndian)
    with pytest.raises(PhotoError, match="deflated"):
        read_photo(file)
    cut = dicom(tmp_path / "cut.dcm", steps())
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(PhotoError):
        read_photo(cut)


def head(axes: str) -> nibabel.Nifti1Image:
    """A volume whose value tells the place: 100 right + 10 front + up, in sixths of each length, stored along ``axes``."""
    right, front, up = np.meshgrid(np.arange(48), np.arange(40), np.arange(36), indexing="ij")
    world = nibabel.Nifti1Image((100 * (right // 8) + 10 * (front // 8) + up // 6).astype(np.int16), np.eye(4))
    return world.as_reoriented(
        nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(axes)
        )
    )


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("axes", ["RAS", "LPI", "PSR", "SAL"])
def test_slices_of_a_nifti_lie_alike_however_it_is_stored(tmp_path: Path, axes: str, zipped: bool) -> None:
    picture = head(axes)
    picture.header["cal_min"], picture.header["cal_max"] = 0, 1020
    file = tmp_path / ("head.nii.gz" if zipped else "head.nii")
    nibabel.save(picture, file)
    with open_stack(file) as stack:
        assert stack.axes == {"z": 36}
        photo = stack.read(z=31)
    assert photo.image.size == (48, 40)
    seen = np.asarray(photo.image)[..., 0].astype(int) * 4  # 1,020 is white
    right, front = np.meshgrid(np.arange(48) // 8, (39 - np.arange(40)) // 8)
    assert (abs(seen - (100 * right + 10 * front + 5)) <= 2).all()
    assert "z 31 of 36" in photo.notes[0]


def test_time_slope_and_one_slice(tmp_path: Path) -> None:
    values = np.zeros((40, 50, 2, 3), np.float32)
    values[..., 1, 2] = np.linspace(0, 1, 40)[:, None]
    file = tmp_path / "fmri.nii"
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), file)
    assert grey(file, z=2, t=3)[0].tolist() == sorted(grey(file, z=2, t=3)[0].tolist())
    assert np.ptp(grey(file, z=2, t=3)) == 255
    flat = tmp_path / "flat.nii"
    nibabel.save(nibabel.Nifti1Image(np.arange(2000, dtype=np.uint8).reshape(40, 50), np.eye(4)), flat)
    assert (grey(flat) == np.arange(2000, dtype=np.uint8).reshape(40, 50).T[::-1]).all()


def test_a_nifti_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "huge.nii.gz"
    picture = nibabel.Nifti1Image(np.zeros((40, 50, 2), np.uint8), np.eye(4))
    lengths, offset = np.array([3000, 30_000], "<i2"), np.array([2**30], "<f4")
    for place, numbers, words in ((44, lengths, "more pictures"), (108, offset, "too far")):
        data = bytearray(picture.to_bytes())
        data[place : place + numbers.nbytes] = numbers.tobytes()
        file.write_bytes(gzip.compress(data))
        with pytest.raises(PhotoError, match=words):
            read_photo(file)


def test_of_a_nifti_of_no_kind_nothing_but_the_sentence_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(head("RAS").to_bytes())
    data[70:72] = bytes(2)  # the code of the type of numbers
    (tmp_path / "head.nii").write_bytes(data)
    with pytest.raises(PhotoError, match="broken or of a rare kind"):
        read_photo(tmp_path / "head.nii")
    assert capfd.readouterr() == ("", "")


def test_without_the_packages_a_sentence_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pydicom", "nibabel"):
        monkeypatch.setitem(sys.modules, name, None)
    nibabel.save(head("RAS"), tmp_path / "head.nii")
    for file in (dicom(tmp_path / "ct.dcm", steps()), tmp_path / "head.nii"):
        with pytest.raises(PhotoError, match=r"segmodels\[medical\]"):
            read_photo(file)
