"""The permutohedral lattice against the Gaussian summed over all pairs of points."""

import pytest
import torch
from torch import Tensor

from segmodels.crf.lattice import Lattice, Simplices

from .dense import gaussian, normalised


def cloud(dimensions: int, count: int, spread: float = 1.5) -> Tensor:
    return spread * torch.randn(dimensions, count, generator=torch.Generator().manual_seed(dimensions))


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_a_point_is_the_weighted_sum_of_its_corners(dimensions: int) -> None:
    points = cloud(dimensions, 500, 3)
    simplices = Simplices.around(points)
    weights = simplices.weights
    assert weights.min() > -1e-5
    torch.testing.assert_close(weights.sum(0), torch.ones(500))
    # A step of 1 in one quotient is d + 1 in a coordinate; the corner of remainder k is k higher in all, but d + 1 lower
    # in the k coordinates that come last.
    corners = torch.arange(dimensions + 1)[:, None, None] + (dimensions + 1) * (
        simplices.quotients - (simplices.ranks[:-1] > dimensions - torch.arange(dimensions + 1)[:, None, None]).float()
    )
    centre = (weights[:, None] * corners).sum(0)
    scales = torch.tensor([(2 / 3) ** 0.5 * (dimensions + 1) / (j * (j + 1)) ** 0.5 for j in range(1, dimensions + 1)])
    expected = torch.stack(
        [
            (scales[i:, None] * points[i:]).sum(0) - (i * scales[i - 1] * points[i - 1] if i else 0)
            for i in range(dimensions)
        ]
    )
    torch.testing.assert_close(centre, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("dimensions", [2, 3, 5])
def test_filters_like_the_gaussian_over_all_pairs(dimensions: int) -> None:
    points, values = cloud(dimensions, 400, 0.7), torch.rand(400, 3, generator=torch.Generator().manual_seed(1))
    exact = normalised(gaussian(points)).float() @ values
    error = (Lattice(points).filter(values) - exact).norm() / exact.norm()
    assert error < 0.06, error


def test_keeps_what_the_normalisation_keeps() -> None:
    lattice = Lattice(cloud(5, 300))
    kept = (1 / lattice.norm)[:, None]
    torch.testing.assert_close(lattice.filter(kept), kept, rtol=1e-4, atol=1e-4)


def test_what_one_point_gives_another_it_gets_from_it() -> None:
    """Where points are dense: where vertices are missing, the order of the axes matters."""
    matrix = Lattice(cloud(5, 300, 0.2)).filter(torch.eye(300))
    assert (matrix - matrix.T).norm() < 0.03 * matrix.norm()


def test_points_that_are_alike_share_all() -> None:
    lattice = Lattice(torch.zeros(5, 40))
    values = torch.rand(40, 2)
    torch.testing.assert_close(lattice.filter(values), values.mean(0).expand(40, 2))


def test_points_far_apart_keep_their_values() -> None:
    points = 100 * torch.arange(7.0).expand(5, 7)
    values = torch.rand(7, 2)
    torch.testing.assert_close(Lattice(points).filter(values), values)


@pytest.mark.parametrize("own", [0.4, 0.7])
def test_a_part_of_a_points_own_value_can_be_left_out(own: float) -> None:
    points, values = cloud(5, 300, 0.8), torch.rand(300, 3, generator=torch.Generator().manual_seed(2))
    whole = Lattice(points)
    kernel = whole.filter(torch.eye(300)) / (whole.norm[:, None] * whole.norm)
    less = kernel - (1 - own) * kernel.diag().diag()
    expected = normalised(less) @ values
    change = (expected - whole.filter(values)).norm()
    assert change > 0.01 * expected.norm()
    assert (Lattice(points, own).filter(values) - expected).norm() < 0.4 * change
    alone = 100 * torch.arange(7.0).expand(5, 7)
    torch.testing.assert_close(Lattice(alone, own).filter(values[:7]), values[:7])


def test_slices_anywhere_as_at_its_points() -> None:
    points = cloud(5, 300)
    lattice = Lattice(points)
    vertices = lattice.blur(lattice.splat(torch.rand(300, 3)))
    torch.testing.assert_close(lattice.slice_at(points, vertices), lattice.slice(vertices))
    far = torch.tensor([[1e3, -1e3, 9.0, 0.0]] * 5)
    assert not lattice.slice_at(far, vertices)[:3].any()


def test_points_that_cannot_be_numbered_are_refused() -> None:
    with pytest.raises(ValueError, match="too far apart"):
        Lattice(1e6 * torch.rand(5, 100))
