from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision import tv_tensors

from segmodels.inference.photo import as_photo, read_photo
from segmodels.training.data import (
    Batches,
    RandomResizedCrop,
    SegmentationFolder,
    TrainingCrops,
    class_presence,
    photos_by_folder,
    sampling_weights,
)


def test_a_folder_gives_photos_and_their_label_maps(data_folder: Path) -> None:
    folder = SegmentationFolder(data_folder, "train")
    photo, labels = folder[3]
    assert len(folder) == 6
    assert photo.size == (96, 64)
    assert labels.shape == (64, 96)
    assert set(np.unique(labels)) == {0, 2, 255}


def test_photos_are_counted_by_the_name_of_their_folder(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data_folder)
    here = SegmentationFolder(".", "train")
    assert photos_by_folder([here]) == {"data": 6}
    assert photos_by_folder([here, SegmentationFolder(data_folder, "val")]) == {"data": 8}


@pytest.mark.parametrize("missing", ["images", "labels", "train.txt", "images/3.jpg", "labels/3.png"])
def test_what_is_missing_is_named(data_folder: Path, missing: str) -> None:
    (data_folder / missing).rename(data_folder.parent / "elsewhere")
    with pytest.raises(FileNotFoundError, match=missing):
        SegmentationFolder(data_folder, "train")


def test_an_empty_list_is_refused(data_folder: Path) -> None:
    (data_folder / "train.txt").write_text("\n")
    with pytest.raises(ValueError, match="lists no photo"):
        SegmentationFolder(data_folder, "train")


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_label_map_is_turned_with_its_photo(data_folder: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for upright_labels in (False, True) if orientation >= 5 else (False,):
        with Image.open(data_folder / "images" / "0.jpg") as image:
            image.save(data_folder / "images" / "0.jpg", exif=exif)
        if upright_labels:  # drawn on the photo as it is shown
            with Image.open(data_folder / "labels" / "0.png") as image:
                buffer = BytesIO()
                image.convert("RGB").save(buffer, "PNG", exif=exif)
                upright = ImageOps.exif_transpose(Image.open(buffer))
                Image.fromarray(np.asarray(upright)[..., 0]).save(data_folder / "labels" / "0.png")
        photo, labels = SegmentationFolder(data_folder, "train")[0]
        assert labels.shape == photo.size[::-1]
        pixels = np.asarray(photo).astype(int)
        coloured = pixels.max(2) - pixels.min(2) > 60
        inside = labels != 255
        assert ((labels == 1) == coloured)[inside].mean() > 0.95
        assert as_photo(photo).size == photo.size


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "LA", "P", "1", "CMYK"])
def test_a_photo_of_any_kind_is_what_segmenting_sees(data_folder: Path, mode: str) -> None:
    with Image.open(data_folder / "images" / "0.jpg") as image:
        photo = image.convert("RGB")
    if mode == "I;16":
        photo = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    elif mode in ("RGBA", "LA"):
        photo.putalpha(Image.linear_gradient("L").resize(photo.size))
        photo = photo.convert(mode)
    else:
        photo = photo.convert(mode)
    (data_folder / "images" / "0.jpg").unlink()
    path = data_folder / "images" / f"0.{'jpg' if mode == 'CMYK' else 'png'}"
    photo.save(path)
    seen, _ = SegmentationFolder(data_folder, "train")[0]
    assert (np.asarray(seen) == np.asarray(read_photo(path).image)).all()


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\0\x01", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_broken_exif_turns_nothing(data_folder: Path, exif: bytes) -> None:
    with Image.open(data_folder / "images" / "0.jpg") as image:
        image.save(data_folder / "images" / "0.jpg", exif=exif)
    assert SegmentationFolder(data_folder, "train")[0][0].size == (96, 64)


def test_label_maps_that_hold_something_else_are_named(data_folder: Path) -> None:
    label = data_folder / "labels" / "0.png"
    for wrong, sentence in (
        (Image.new("L", (96, 64), 30), "has the value 30"),
        (Image.new("RGB", (96, 64)), "saved in colours"),
        (Image.new("L", (95, 64)), "96 x 64 pixels and its label map 95 x 64"),
    ):
        wrong.save(label)
        with pytest.raises(ValueError, match=rf"0\.(png|jpg).*{sentence}"):
            SegmentationFolder(data_folder, "train")[0]
    label.write_text("no picture")
    with pytest.raises(ValueError, match=r"0\.png is no PNG that can be read"):
        SegmentationFolder(data_folder, "train")[0]


def test_a_crop_keeps_photo_and_labels_together(data_folder: Path) -> None:
    crops = TrainingCrops([SegmentationFolder(data_folder, "train")], 32, 0.25)
    for seed in range(20):
        photo, labels = crops[0, seed]
        assert photo.shape == (3, 32, 32)
        coloured = (photo.float().amax(0) - photo.float().amin(0)) > 60
        if coloured.any():  # a crop may be grey altogether, or turned grey
            inside = labels != 255
            assert ((labels == 1) == coloured)[inside].float().mean() > 0.9


def test_a_crop_lays_labels_on_the_photo_to_a_fraction_of_a_pixel() -> None:
    size, crop = 96, 385
    ramp = torch.arange(size, dtype=torch.uint8)
    params = {"top": 11, "left": 7, "height": 40, "width": 56}
    resize = RandomResizedCrop(crop, antialias=True)
    for axis in (0, 1):
        picture = ramp[:, None].expand(size, size) if axis == 0 else ramp[None].expand(size, size)
        photo = resize.transform(tv_tensors.Image(picture.expand(3, size, size) * 2), params)[0].float() / 2
        labels = resize.transform(tv_tensors.Mask(picture), params).float()
        inner = slice(10, -10)  # at the border a photo's first pixel is repeated
        assert abs((photo - labels)[inner, inner].mean().item()) < 0.02


def test_a_crop_is_a_function_of_its_address(data_folder: Path) -> None:
    crops = TrainingCrops([SegmentationFolder(data_folder, "train")], 32, 0.25)
    before = torch.get_rng_state()
    first, again, other = crops[0, 5][0], crops[0, 5][0], crops[0, 6][0]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_thin_classes_are_drawn_more_often(data_folder: Path) -> None:
    presence = np.zeros((70, 3), dtype=bool)
    presence[:, 0] = True
    presence[:10, 1] = True  # a seventh of the photos: common
    presence[:1, 2] = True  # a tenth of that
    weights = sampling_weights(presence)
    assert weights[0].item() == pytest.approx(10**0.5)
    assert weights[1:].tolist() == [1.0] * 69


def test_presence_ignores_void_and_specks(data_folder: Path) -> None:
    presence = class_presence([SegmentationFolder(data_folder, "train")], 3)
    assert presence.tolist() == [[True, True, False], [True, False, True]] * 3


def test_batches_go_on_where_they_stopped() -> None:
    weights = torch.ones(20)
    whole = list(Batches(weights, 4, epochs=3, seed=1))
    assert len(whole) == 15
    assert list(Batches(weights, 4, epochs=3, seed=1, start=7)) == whole[7:]
    assert list(Batches(weights, 4, epochs=3, seed=2)) != whole
