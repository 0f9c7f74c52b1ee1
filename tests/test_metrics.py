import numpy as np
import pytest

from segmodels.training.metrics import Scores, confusion_matrix


def test_scores_of_a_case_computed_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1], [0, 2, 2, 255]], dtype=np.uint8)
    labels = np.array([[0, 1, 1, 1], [0, 2, 0, 1]], dtype=np.uint8)
    scores = Scores(confusion_matrix(truth, labels, 4))
    assert scores.confusion.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert scores.iou == [2 / 4, 2 / 3, 1 / 2, None]
    assert scores.pixels == [3, 2, 2, 0]
    assert scores.pixel_accuracy == 5 / 7
    assert scores.miou() == pytest.approx((2 / 4 + 2 / 3 + 1 / 2) / 3)
    assert scores.miou((1, 3)) == pytest.approx(2 / 3)


def test_a_class_that_is_only_predicted_is_not_scored() -> None:
    truth, labels = np.zeros((2, 2), dtype=np.uint8), np.array([[0, 0], [0, 1]], dtype=np.uint8)
    assert Scores(confusion_matrix(truth, labels, 2)).iou == [3 / 4, None]


def test_maps_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        confusion_matrix(np.zeros((2, 2), dtype=np.uint8), np.zeros((2, 3), dtype=np.uint8), 2)
