import numpy as np
import pytest

from segmodels.labels import VOC_CLASSES
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


def test_a_class_that_is_only_predicted_counts_as_0_as_in_the_papers() -> None:
    truth, labels = np.zeros((2, 2), dtype=np.uint8), np.array([[0, 0], [0, 1]], dtype=np.uint8)
    scores = Scores(confusion_matrix(truth, labels, 3))
    assert scores.iou == [3 / 4, 0, None]
    assert scores.miou() == 3 / 8
    assert scores.miou_of_present_classes == 3 / 4
    assert "every scored pixel is truly a" in scores.notes("abc")[0]


def test_where_there_is_nothing_to_score_there_is_no_score() -> None:
    labels, void = np.full((2, 2), 7, dtype=np.uint8), np.full((2, 2), 255, dtype=np.uint8)
    cars = Scores(confusion_matrix(labels, labels, 21))  # of the seven classes of mIoU-7 there is none
    assert cars.miou7 is None
    assert cars.measures(VOC_CLASSES) == {"miou": 1, "miou_of_present_classes": 1, "pixel_accuracy": 1}
    assert cars.summary(VOC_CLASSES) == "mIoU 1.000, mIoU of present classes 1.000, pixel accuracy 1.000"
    nothing = Scores(confusion_matrix(void, labels, 21))
    assert nothing.miou() is None
    assert nothing.pixel_accuracy is None
    assert nothing.measures(VOC_CLASSES) == {}
    assert "nothing" in nothing.summary(VOC_CLASSES)


def test_the_seven_classes_are_those_of_pascal_voc_alone() -> None:
    labels = np.array([[0, 1]], dtype=np.uint8)
    scores = Scores(confusion_matrix(labels, labels, 2))
    assert scores.measures(("other", "cup")) == {"miou": 1, "miou_of_present_classes": 1, "pixel_accuracy": 1}
    assert scores.notes(("other", "cup")) == []
    whole = np.arange(21, dtype=np.uint8)[None]
    assert Scores(confusion_matrix(whole, whole, 21)).measures(VOC_CLASSES)["miou7"] == 1


def test_maps_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        confusion_matrix(np.zeros((2, 2), dtype=np.uint8), np.zeros((2, 3), dtype=np.uint8), 2)
