"""The CRF behind a Segmenter: label maps at the photo's own size, and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import segmodels
from segmodels import Segmenter
from segmodels.crf.mean_field import SampledPhoto
from segmodels.crf.parameters import CRF
from segmodels.inference import crf_label_map
from segmodels.inference.crf_label_map import CRFAnswer

from ..conftest import EXAMPLES


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return segmodels.load("fcn_mobilenetv2", precision="float32")


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(EXAMPLES / "cat.jpg").convert("RGB")


@pytest.mark.parametrize("size", [(120, 160), (257, 193), (400, 517)])
def test_edges_of_the_photos_own_pixels(size: tuple[int, int]) -> None:
    """A disc whose logits are known at a sixteenth of its size is cut out to the pixel, whatever the size."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    disc = np.hypot(rows - height / 2, columns - width / 2) < height / 3
    noise = np.random.default_rng(0).normal(0, 3, (height, width, 3))
    pixels = (np.where(disc[..., None], (180, 90, 60), (60, 120, 90)) + noise).clip(0, 255).astype(np.uint8)
    coarse = torch.from_numpy(disc.astype(np.float32))[None, None]
    coarse = torch.nn.functional.adaptive_avg_pool2d(coarse, (height // 16, width // 16))[0, 0]
    logits = torch.stack([2 - 4 * coarse, 4 * coarse - 2, torch.full_like(coarse, -9)])
    small = Image.fromarray(pixels).resize((width // 2, height // 2), Image.Resampling.BILINEAR)
    sampled = SampledPhoto.of(torch.from_numpy(np.array(small)), CRF(theta_beta=10))
    answer = CRFAnswer.of(logits, sampled, CRF(theta_beta=10), None)
    labels = answer.label_map(size, Image.fromarray(pixels))
    assert labels.shape == size
    network = torch.nn.functional.interpolate(logits[None], size=size, mode="bilinear").argmax(1)[0].numpy()
    assert (labels == disc).mean() > 0.995
    assert (labels != disc).sum() < 0.25 * (network != disc).sum()


def test_says_what_it_did(segmenter: Segmenter, photo: Image.Image) -> None:
    alone, with_crf = segmenter(photo, probabilities=True), segmenter(photo, crf=True, probabilities=True)
    assert alone.crf is None
    assert with_crf.crf == CRF()
    assert alone.report()["crf"] is None
    assert with_crf.report()["crf"]["theta_alpha"] == CRF().theta_alpha
    assert list(with_crf.milliseconds) == ["encode", "decode", "crf", "total"]
    assert with_crf.milliseconds["total"] == pytest.approx(sum(list(with_crf.milliseconds.values())[:3]))
    assert with_crf.labels.shape == (photo.height, photo.width)
    changed = (with_crf.labels != alone.labels).mean()
    assert 0 < changed < 0.1
    assert set(with_crf.shares) <= set(with_crf.confidence)
    assert all(0 < value <= 1 for value in with_crf.confidence.values())
    assert with_crf.probabilities is not None
    assert alone.probabilities is not None
    assert with_crf.probabilities.shape == alone.probabilities.shape
    np.testing.assert_allclose(with_crf.probabilities.sum(0), 1, atol=1e-5)


def test_probabilities_are_those_of_the_labels(segmenter: Segmenter, photo: Image.Image) -> None:
    features = segmenter.encode(photo)
    result = segmenter.decode(features, size=features.working_size, crf=True, probabilities=True)
    assert result.probabilities is not None
    assert (result.probabilities.argmax(0) == result.labels).mean() > 0.998


def test_the_lattice_is_built_once_and_counted(segmenter: Segmenter, photo: Image.Image) -> None:
    features = segmenter.encode(photo)
    before = features.nbytes
    segmenter.decode(features, crf=True)
    sampled = features.sampled(CRF())
    assert features.nbytes == before + sampled.nbytes
    segmenter.decode(features, crf=CRF(w1=2))
    assert features.sampled(CRF(w1=2)) is sampled
    assert features.sampled(CRF(theta_beta=9)) is not sampled
    assert features.nbytes < before + 2 * sampled.nbytes


def test_no_iterations_are_the_networks_labels(segmenter: Segmenter, photo: Image.Image) -> None:
    none = segmenter(photo, crf=CRF(iterations=0))
    assert (none.labels == segmenter(photo).labels).mean() > 0.995


def test_strips_do_not_show(segmenter: Segmenter, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    large = photo.resize((1200, 799))
    whole = segmenter(large, crf=True).labels
    monkeypatch.setattr(crf_label_map, "PIXELS_AT_ONCE", 5000)
    assert (segmenter(large, crf=True).labels == whole).all()


def test_features_without_the_photo_are_refused(segmenter: Segmenter, photo: Image.Image) -> None:
    features = replace(segmenter.encode(photo), pixels=None)
    assert segmenter.decode(features).labels.any()
    with pytest.raises(ValueError, match="encode the photo"):
        segmenter.decode(features, crf=True)


def test_several_photos_and_taught_classes(segmenter: Segmenter, photo: Image.Image) -> None:
    for result in segmenter([photo, photo.resize((300, 200))], crf=True):
        assert result.crf == CRF()
    strokes = np.full((photo.height, photo.width), 255, dtype=np.uint8)
    strokes[100:200, 150:300], strokes[:20] = 1, 0
    from segmodels.teaching.fit_head import fit_head

    taught = fit_head(segmenter, [(photo, strokes)], ("background", "fur"))
    assert set(taught(photo, crf=True).shares) == {"background", "fur"}
