"""The mIoU of a few small label maps by this project and by other libraries: ``python -m tools.measure.miou``.

Prints the table of docs/performance.md. The libraries are those that are installed; none of them is a requirement:
``pip install torchmetrics scikit-learn segmentation-models-pytorch monai keras cityscapesscripts ultralytics``.
"""

import math
import os
from collections.abc import Callable
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segmodels import __version__
from segmodels.labels import VOID
from segmodels.training.metrics import Scores, confusion_matrix

Maps = NDArray[np.uint8]
CLASSES = 4


def maps(*rows: str) -> Maps:
    """Label maps of one row each, (photos, 1, width), a digit a pixel and ``.`` for void."""
    return np.array([[[VOID if letter == "." else int(letter) for letter in row]] for row in rows], dtype=np.uint8)


CASES: dict[str, tuple[Maps, Maps]] = {
    "all classes are there": (maps("0000111122223333"), maps("0001111222223330")),
    "3 is in neither": (maps("000011112222"), maps("000111122220")),
    "3 is predicted, and nowhere true": (maps("000011112222"), maps("000111122223")),
    "2 and 3 are true, and never predicted": (maps("0000111122223333"), maps("0000111111111111")),
    "void": (maps("00001111....2222"), maps("0001111133332222")),
    "all is void": (maps("...."), maps("0123")),
    "two photos": (maps("000011112222", "333300001111"), maps("000111112222", "333000001110")),
}
"""(photos, 1, width) of the truth, and of what is predicted."""

Measure = Callable[[Maps, Maps], float]


def ours(truth: Maps, labels: Maps) -> float:
    """``miou``: the papers' formula."""
    miou = _scores(truth, labels).miou()
    return math.nan if miou is None else miou


def ours_of_present(truth: Maps, labels: Maps) -> float:
    """``miou_of_present_classes``."""
    miou = _scores(truth, labels).miou_of_present_classes
    return math.nan if miou is None else miou


def _scores(truth: Maps, labels: Maps) -> Scores:
    return Scores(confusion_matrix(truth, labels, CLASSES))


def cityscapes(truth: Maps, labels: Maps) -> float:
    """Cityscapes' own script: its labels 7, 8, 11 and 12 stand for 0 to 3, and 0, which it does not score, for void."""
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as script

    table = np.zeros(256, dtype=np.int64)
    table[[0, 1, 2, 3]] = (7, 8, 11, 12)
    pairs = np.zeros((34, 34), dtype=np.int64)
    np.add.at(pairs, (table[truth.ravel()], table[labels.ravel()]), 1)
    arguments = SimpleNamespace(evalLabels=list(range(34)))
    scores = {label: script.getIouScoreForLabel(label, pairs, arguments) for label in (7, 8, 11, 12)}
    return float(script.getScoreAverage(scores, arguments))


def ultralytics(truth: Maps, labels: Maps) -> float:
    """``SemanticMetrics``."""
    from ultralytics.utils.metrics import SemanticMetrics

    measured = SemanticMetrics({index: str(index) for index in range(CLASSES)})
    measured.update_stats(_tensor(labels), _tensor(truth))
    measured.process()
    return float(measured.miou)


def torchmetrics(truth: Maps, labels: Maps) -> float:
    """``JaccardIndex``, with void ignored."""
    from torchmetrics import JaccardIndex

    return float(JaccardIndex("multiclass", num_classes=CLASSES, ignore_index=VOID)(_tensor(labels), _tensor(truth)))


def torchmetrics_mean_iou(truth: Maps, labels: Maps, input_format: str = "index") -> float:
    """``segmentation.MeanIoU`` of index maps. It knows no void, so void is left out for it where it can be: whole columns."""
    from torchmetrics.segmentation import MeanIoU

    measure = MeanIoU(CLASSES, per_class=False, input_format=input_format)
    kept = (truth != VOID).all(axis=(0, 1))
    return float(measure(_tensor(labels[..., kept]), _tensor(truth[..., kept])))


def scikit_learn(truth: Maps, labels: Maps) -> float:
    """``jaccard_score``, macro, of the classes alone."""
    from sklearn.metrics import jaccard_score

    return float(
        jaccard_score(truth.ravel(), labels.ravel(), labels=list(range(CLASSES)), average="macro", zero_division=0)
    )


def smp(truth: Maps, labels: Maps) -> float:
    """segmentation_models_pytorch: ``iou_score``, macro, with void ignored."""
    from segmentation_models_pytorch import metrics

    predicted = _tensor(labels)
    stats = metrics.get_stats(predicted, _tensor(truth), mode="multiclass", num_classes=CLASSES, ignore_index=VOID)
    summed = [one.sum(0, keepdim=True) for one in stats]
    return float(metrics.iou_score(*summed, reduction="macro"))


def monai(truth: Maps, labels: Maps) -> float:
    """``MeanIoU`` of one-hot maps: a mean over photos. Void has no channel."""
    from monai.metrics import MeanIoU

    measure = MeanIoU(include_background=True, reduction="mean", ignore_empty=True)
    measure(_one_hot(labels), _one_hot(truth))
    return float(measure.aggregate())


def monai_index(truth: Maps, labels: Maps) -> float:
    """``compute_iou`` of index maps, which it takes for one class."""
    from monai.metrics import compute_iou

    return float(compute_iou(_tensor(labels)[:, None].float(), _tensor(truth)[:, None].float()).mean())


def keras(truth: Maps, labels: Maps) -> float:
    """``MeanIoU``, with void ignored."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    from keras.metrics import MeanIoU

    measure = MeanIoU(num_classes=CLASSES, ignore_class=VOID)
    measure.update_state(truth.astype(np.int64), labels.astype(np.int64))
    return float(measure.result())


def _tensor(labels: Maps) -> torch.Tensor:
    return torch.from_numpy(labels.astype(np.int64))


def _one_hot(labels: Maps) -> torch.Tensor:
    channels = torch.nn.functional.one_hot(_tensor(np.minimum(labels, CLASSES)), CLASSES + 1)
    return channels.movedim(-1, 1)[:, :CLASSES].float()


ROWS: tuple[tuple[str, str, Measure], ...] = (
    ("`miou`", "", ours),
    ("`miou_of_present_classes`", "", ours_of_present),
    ("Cityscapes' script", "cityscapesscripts", cityscapes),
    ("Ultralytics `SemanticMetrics`", "ultralytics", ultralytics),
    ("torchmetrics `JaccardIndex`", "torchmetrics", torchmetrics),
    ("torchmetrics `segmentation.MeanIoU`, index", "torchmetrics", torchmetrics_mean_iou),
    (
        "the same, default input format",
        "torchmetrics",
        lambda truth, labels: torchmetrics_mean_iou(truth, labels, "one-hot"),
    ),
    ("scikit-learn `jaccard_score`", "scikit-learn", scikit_learn),
    ("smp `iou_score`", "segmentation-models-pytorch", smp),
    ("monai `MeanIoU`, one-hot", "monai", monai),
    ("monai `compute_iou`, index", "monai", monai_index),
    ("keras `MeanIoU`", "keras", keras),
)


def measured(measure: Measure, truth: Maps, labels: Maps) -> str:
    """Return a cell of the table."""
    try:
        value = measure(truth, labels)
    except Exception as error:  # what another library makes of a case may be anything
        return f"{type(error).__name__}"
    return "-" if math.isnan(value) else f"{value:.3f}"


def rows() -> list[str]:
    """Return the table's lines."""
    head = ["", *CASES]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for title, package, measure in ROWS:
        try:
            version = metadata.version(package) if package else __version__
        except metadata.PackageNotFoundError:
            continue
        cells: list[Any] = [measured(measure, truth, labels) for truth, labels in CASES.values()]
        lines.append(f"| {title} {version} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    print("\n".join(rows()))
