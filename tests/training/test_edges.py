"""Scores near edges against counting pixel by pixel."""

import numpy as np
import pytest
from numpy.typing import NDArray

from segmodels.labels import VOID
from segmodels.training.edges import BANDS, RIM, EdgeScores, edge_distances


def patches(seed: int) -> NDArray[np.uint8]:
    """(23, 31): squares of three classes and void."""
    numbers = np.random.default_rng(seed).choice(np.array([0, 1, 2, VOID], np.uint8), (4, 5), p=[0.4, 0.25, 0.25, 0.1])
    return np.kron(numbers, np.ones((6, 7), np.uint8))[:23, :31]


def distances_by_definition(labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    rows, columns = np.indices(labels.shape)
    found = np.full(labels.shape, np.inf)
    for row, column in np.ndindex(labels.shape):
        others = labels != labels[row, column]
        if others.any():
            found[row, column] = np.hypot(rows - row, columns - column)[others].min()
    return found


@pytest.mark.parametrize("most", [1, 4, 40])
def test_distances_are_those_to_the_nearest_other_pixel(most: int) -> None:
    labels = patches(0)
    exact = distances_by_definition(labels)
    exact[exact > most] = np.inf
    np.testing.assert_allclose(edge_distances(labels, most), exact, rtol=1e-6)


def test_a_map_of_one_class_has_no_edge() -> None:
    assert np.isinf(edge_distances(np.zeros((9, 9), np.uint8), 16)).all()


def test_bands_and_rims_are_counted_pixel_by_pixel() -> None:
    scores, widths = EdgeScores(3), dict.fromkeys(BANDS, (0, 0))
    both, either = np.zeros(3), np.zeros(3)
    for seed in (1, 2):
        truth, labels = patches(seed), np.roll(patches(seed), 1, axis=1)
        labels[labels == VOID] = 0
        scores.add(truth, labels)
        distance = distances_by_definition(truth)
        for width, (right, all_) in widths.items():
            near = (distance <= width) & (truth != VOID)
            widths[width] = (right + int((truth == labels)[near].sum()), all_ + int(near.sum()))
        rim = max(round(RIM * float(np.hypot(*truth.shape))), 1)
        masked = np.where(truth == VOID, VOID, labels).astype(np.uint8)
        for value in range(3):
            true_rim = (truth == value) & (distance <= rim)
            found_rim = (masked == value) & (distances_by_definition(masked) <= rim)
            both[value] += (true_rim & found_rim).sum()
            either[value] += (true_rim | found_rim).sum()
    for width, (right, all_) in widths.items():
        assert scores.band(width).pixel_accuracy == pytest.approx(right / all_)
    assert scores.boundary_iou == pytest.approx(float((both / either).mean()))


def test_the_truth_itself_is_perfect() -> None:
    truth = patches(3)
    scores = EdgeScores(3)
    scores.add(truth, np.where(truth == VOID, 0, truth).astype(np.uint8))
    assert scores.boundary_iou == 1
    assert all(scores.band(width).pixel_accuracy == 1 for width in BANDS)
    assert scores.report()["miou"] == dict.fromkeys(map(str, BANDS), 1.0)
