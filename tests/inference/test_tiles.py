from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segmodels.inference.contrast import contrast_range, stretch_contrast
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.tiles import OVERLAP, _mirrored, segment_tiles
from segmodels.models import registry


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    """A U-Net as deep as ``unet_nuclei``'s with random weights that draw something."""
    torch.manual_seed(0)
    card = registry.card("unet_nuclei")
    network = card.builder(len(card.classes))
    with torch.no_grad():
        cast(nn.Conv2d, network.decoder.classifier).weight.normal_()
    return Segmenter(network, card, "cpu", "float32")


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_tiles_say_what_the_whole_picture_says_away_from_its_borders(segmenter: Segmenter) -> None:
    picture = noise(400, 520)
    whole, tiled = segmenter(picture), segmenter.in_tiles(picture, tile=128)
    inside = (slice(OVERLAP, -OVERLAP),) * 2
    assert len(np.unique(whole.labels[inside])) > 1
    assert np.array_equal(whole.labels[inside], tiled.labels[inside])


def test_what_a_cell_of_16_pixels_sees_reaches_no_farther_than_the_overlap() -> None:
    x = torch.rand(1, 3, 400, 400).requires_grad_()
    network = registry.card("unet_nuclei").builder(3).eval()
    before, behind = 0, 0
    for row in (192, 199, 200, 207):  # of the cell of 192 to 207
        (gradient,) = torch.autograd.grad(network(x)[0, :, row, row].sum(), x)
        seen = gradient.abs().sum((0, 1, 3)).nonzero().ravel()
        before, behind = max(before, int(192 - seen.min())), max(behind, int(seen.max() - 207))
    assert 80 < before <= OVERLAP
    assert 80 < behind <= OVERLAP


def test_without_an_overlap_there_would_be_seams(segmenter: Segmenter) -> None:
    picture = noise(400, 520)
    whole = segmenter(picture)
    tiled = segmenter.in_tiles(picture, tile=128, overlap=16)
    inside = (slice(96, -96),) * 2
    assert not np.array_equal(whole.labels[inside], tiled.labels[inside])


@pytest.mark.parametrize(("start", "length", "side"), [(0, 50, 50), (512, 88, 600), (0, 16, 20), (0, 1, 1), (0, 2, 2)])
def test_borders_are_mirrored_as_numpy_does(start: int, length: int, side: int) -> None:
    rows = _mirrored(start, length, side)
    padded = np.pad(np.arange(side), 2000, mode="reflect")
    assert len(rows) % 16 == 0
    assert np.array_equal(rows, padded[2000 + start - OVERLAP :][: len(rows)])


def test_a_grey_memory_map_of_16_bits_goes_through_and_tiles_are_counted(segmenter: Segmenter, tmp_path: Path) -> None:
    grey = noise(130, 200, 1)[..., 0]
    stored = np.memmap(tmp_path / "picture", np.uint16, "w+", shape=grey.shape)
    stored[:] = grey.astype(np.uint16) * 3 + 700
    calls: list[tuple[int, int]] = []
    result = segmenter.in_tiles(stored, 64, lambda done, count: calls.append((done, count)))
    assert calls == [(step, 12) for step in range(1, 13)]
    assert np.array_equal(result.labels, segmenter.in_tiles(np.repeat(grey[..., None], 3, 2), 64).labels)
    assert sum(result.shares.values()) == pytest.approx(1)
    assert result.working_size == (200, 130)


def test_a_tile_never_sees_more_than_its_share(segmenter: Segmenter) -> None:
    seen: list[tuple[int, ...]] = []

    def logits_of(pixels: Tensor) -> Tensor:
        seen.append(tuple(pixels.shape))
        return torch.zeros(3, *pixels.shape[:2])

    segment_tiles(logits_of, noise(700, 90), 128)
    assert max(height for height, _, _ in seen) == 128 + 2 * OVERLAP


def test_confidence_is_the_mean_probability_of_each_class_found() -> None:
    def logits_of(pixels: Tensor) -> Tensor:
        first = torch.where(pixels[..., 0] > 127, 2.0, -1.0)
        return torch.stack([first, torch.zeros_like(first), torch.full_like(first, -50)])

    picture = np.zeros((40, 64, 3), np.uint8)
    picture[:, 32:] = 255
    tiled = segment_tiles(logits_of, picture, 32)
    assert tiled.labels.tolist() == [[1] * 32 + [0] * 32] * 40
    sure = [1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-1))]
    assert tiled.confidence[:2] == pytest.approx(sure)
    assert tiled.confidence[2] is None


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda one: one.in_tiles(np.zeros((40, 40, 4))), r"\(40, 40, 4\)"),
        (lambda one: one.in_tiles(np.zeros((40, 40)), tile=40), "multiple of 16"),
        (lambda one: one.in_tiles(np.zeros((0, 40))), "picture"),
    ],
)
def test_what_is_no_picture_is_refused(call: Callable[[Segmenter], object], problem: str, segmenter: Segmenter) -> None:
    with pytest.raises(ValueError, match=problem):
        call(segmenter)


def test_contrast_is_stretched_between_the_percentiles() -> None:
    values = np.random.default_rng(2).permutation(np.arange(10_000)).reshape(100, 100)
    low, high = contrast_range(values)
    assert low == pytest.approx(100, abs=1)
    assert high == pytest.approx(9980, abs=1)
    stretched = stretch_contrast(torch.from_numpy(values), (low, high)).numpy()
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert (stretched == 0).mean() == pytest.approx(0.01, abs=0.001)


def test_a_dim_picture_of_16_bits_is_seen_as_a_bright_one(segmenter: Segmenter) -> None:
    bright = noise(100, 120, 1)[..., 0]
    dim = bright.astype(np.float64) / 4096 + 17
    assert np.array_equal(segmenter.in_tiles(bright).labels, segmenter.in_tiles(dim).labels)


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf, -9999.0])
def test_areas_without_a_value_leave_the_rest_as_it_is(segmenter: Segmenter, missing: float) -> None:
    picture = noise(160, 200, 1)[..., 0].astype(np.float32) + 300
    filled, damaged = picture.copy(), picture.copy()
    inside = ~np.isnan(np.where(np.arange(160)[:, None] + np.arange(200) < 40, np.nan, 0))
    low, high = np.percentile(picture[inside], (1, 99.8)).tolist()
    filled[~inside] = high if missing == np.inf else low
    damaged[~inside] = missing
    assert contrast_range(damaged) == pytest.approx((low, high))
    assert np.array_equal(segmenter.in_tiles(damaged, 64).labels, segmenter.in_tiles(filled, 64).labels)
    assert len(np.unique(segmenter.in_tiles(damaged, 64).labels)) > 1


def test_a_picture_without_a_single_value_is_refused(segmenter: Segmenter) -> None:
    with pytest.raises(ValueError, match="no valid value"):
        segmenter.in_tiles(np.full((64, 64), np.nan, np.float32))


def test_a_picture_of_one_value_is_black() -> None:
    flat = torch.full((8, 8), 7)
    assert not stretch_contrast(flat, contrast_range(flat.numpy())).any()
