"""Mean field with the lattice against mean field over all pairs of pixels."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from segmodels.crf.mean_field import SAMPLES, SampledPhoto, Smoothness, mean_field
from segmodels.crf.parameters import CRF, chosen_crf

from . import dense

SMALL = CRF(theta_alpha=150, theta_beta=25, theta_gamma=40, iterations=5)
"""Lengths that reach over a few pixels of a photo of twenty or thirty."""


def halves(height: int, width: int, noise: float = 12.0) -> Tensor:
    """(H, W, 3): a dark left half and a light right one, grainy."""
    numbers = torch.Generator().manual_seed(height)
    photo = torch.full((height, width, 3), 80.0)
    photo[:, width // 2 :] = 170
    return (photo + noise * torch.randn(height, width, 3, generator=numbers)).clamp(0, 255).byte()


def vague(classes: int, height: int, width: int) -> Tensor:
    """(C, H, W) scores that change from the first class to the second two pixels right of the middle, with noise."""
    numbers = torch.Generator().manual_seed(width)
    scores = 0.7 * torch.randn(classes, height, width, generator=numbers) - 3
    ramp = ((torch.arange(width) - width // 2 - 2) / 2).clamp(-2, 2)
    scores[0] = scores[0] + 3 - ramp
    scores[1 % classes] = scores[1 % classes] + 3 + ramp
    return scores


@pytest.mark.parametrize(
    ("classes", "height", "width"), [(2, 17, 33), (3, 20, 27), (6, 16, 18), (9, 16, 16), (1, 12, 20)]
)
def test_agrees_with_all_pairs(classes: int, height: int, width: int) -> None:
    photo, scores = halves(height, width), vague(classes, height, width)
    exact = dense.mean_field(photo, scores, SMALL)
    q = mean_field(SampledPhoto.of(photo, SMALL), scores, SMALL).probabilities
    torch.testing.assert_close(q.sum(0), torch.ones(height, width))
    assert (q.argmax(0) == exact.argmax(0)).float().mean() >= 0.97
    assert (q - exact).abs().mean() < 0.03


def test_moves_an_edge_to_where_colours_change() -> None:
    photo, scores = halves(24, 40), vague(2, 24, 40)
    truth = (torch.arange(40) >= 20).long().expand(24, 40)
    before = (scores.argmax(0) == truth).float().mean()
    after = (mean_field(SampledPhoto.of(photo, SMALL), scores, SMALL).probabilities.argmax(0) == truth).float().mean()
    assert after > 0.98 > before


def test_no_iterations_leave_the_network_alone() -> None:
    photo, scores = halves(16, 24), vague(3, 16, 24)
    none = CRF(iterations=0)
    torch.testing.assert_close(mean_field(SampledPhoto.of(photo, none), scores, none).probabilities, scores.softmax(0))


def test_classes_that_nobody_votes_for_change_nothing() -> None:
    photo, scores = halves(16, 24), vague(2, 16, 24)
    sampled = SampledPhoto.of(photo, SMALL)
    more = torch.cat([scores, torch.full((19, 16, 24), -1e4)])
    q = mean_field(sampled, scores, SMALL).probabilities
    torch.testing.assert_close(mean_field(sampled, more, SMALL).probabilities[:2], q)


@pytest.mark.parametrize("photo", [torch.full((18, 30, 3), 90).byte(), halves(18, 30)[..., :1].expand(-1, -1, 3)])
def test_photos_of_one_colour_and_of_greys(photo: Tensor) -> None:
    scores = vague(2, 18, 30)
    exact = dense.mean_field(photo, scores, SMALL)
    q = mean_field(SampledPhoto.of(photo, SMALL), scores, SMALL).probabilities
    assert (q.argmax(0) == exact.argmax(0)).float().mean() >= 0.97


def test_any_pixel_can_be_asked_by_its_place_and_colour() -> None:
    photo, scores = halves(17, 33), vague(3, 17, 33)
    found = mean_field(SampledPhoto.of(photo, SMALL), scores, SMALL)
    rows, columns = torch.meshgrid(torch.arange(17.0), torch.arange(33.0), indexing="ij")
    place = torch.stack([rows.ravel(), columns.ravel()])
    asked = found.scores_at(scores.flatten(1), place, photo.reshape(-1, 3).T.float())
    torch.testing.assert_close(asked.softmax(0).view(3, 17, 33), found.probabilities, atol=1e-4, rtol=1e-4)


def test_a_large_photo_is_sampled() -> None:
    sampled = SampledPhoto.of(halves(385, 513), CRF())
    assert sampled.shape == (165, SAMPLES)
    columns = sampled.columns.tolist()
    assert (columns[0], columns[-1]) == (0, 512)
    assert {after - before for before, after in pairwise(columns)} == {2, 3}
    assert sampled.fits(CRF(w1=9, w2=1, theta_gamma=5, iterations=7))
    assert not sampled.fits(CRF(theta_beta=7))
    with pytest.raises(ValueError, match="sample"):
        mean_field(sampled, torch.zeros(2, 385, 513), CRF())


def test_two_threads_say_what_one_says() -> None:
    photo = halves(385, 513)
    scores = vague(4, *SampledPhoto.of(photo, CRF()).shape)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(mean_field(SampledPhoto.of(photo, CRF()), scores, CRF()).probabilities)
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(found[0], found[1])
    assert (found[0].argmax(0) == found[1].argmax(0)).all()


@pytest.mark.parametrize("sigma", [0.3, 1.5, 40.0])
def test_smoothness_is_the_gaussian_within_the_photo(sigma: float) -> None:
    values = torch.rand(2, 9, 14)
    kernels = [(-0.5 * ((torch.arange(n)[:, None] - torch.arange(n)) / sigma) ** 2).exp() for n in (9, 14)]
    kernels = [kernel / kernel.sum(1, keepdim=True) for kernel in kernels]
    torch.testing.assert_close(
        Smoothness(sigma, (9, 14))(values), kernels[0] @ values @ kernels[1].T, atol=5e-3, rtol=0
    )


@pytest.mark.parametrize(
    "wrong", [{"w1": -1}, {"theta_beta": 0}, {"iterations": 2.5}, {"theta_alpha": "60"}, {"w2": float("nan")}]
)
def test_parameters_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"the CRF's {next(iter(wrong))} must be"):
        CRF(**wrong)


def test_what_crf_stands_for() -> None:
    assert chosen_crf(True) == CRF()
    assert chosen_crf(False) is chosen_crf(None) is None
    assert chosen_crf({"w1": 5, "iterations": 2.0}) == CRF(w1=5, iterations=2)
    for wrong, sentence in (({"theta": 3}, "no parameter 'theta'"), ("yes", "crf is true, false")):
        with pytest.raises(ValueError, match=sentence):
            chosen_crf(wrong)  # type: ignore[arg-type]
