"""What a run leaves behind beside its weights."""

from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def plot(history: Sequence[dict[str, float]], title: str) -> Figure:
    """Loss and validation scores over the steps of a run."""
    drawing = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(drawing)
    left = drawing.subplots()
    steps = [row["step"] for row in history]
    left.plot(steps, [row["loss"] for row in history], "o-", color="tab:grey", label="training loss")
    left.set(title=title, xlabel="step", ylabel="training loss")
    right = left.twinx()
    score = ("miou7", "mIoU-7") if "miou7" in history[-1] else ("miou", "mIoU")
    for name, label in (score, ("pixel_accuracy", "pixel accuracy")):
        if name in history[-1]:
            right.plot(steps, [row[name] for row in history], "o-", label=label)
    right.set(ylabel="on the validation photos", ylim=(0, 1))
    drawing.legend(loc="outside lower center", ncols=3, frameon=False)
    return drawing
