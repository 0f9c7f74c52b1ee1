"""Skips that learn: FCN's two skips are trained while one watches, and the mask goes from 32s to 8s on one's own photo."""

import re
import threading
import time
from collections.abc import Collection
from functools import partial
from typing import Any

import gradio as gr
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from segmodels import read_photo
from segmodels.inference.label_map import label_map
from segmodels.models import registry
from segmodels.training.live_skips import STEPS, Lesson, SkipInputs, SkipTraining

from ..components import computed, photo_overlay
from ..components.examples import OFFERED, PHOTOS
from ..components.figures import PANEL, figure, panel, rect, svg, text
from ..components.url_state import named
from ..lessons.lesson import small_photo
from ..lessons.skips import near_edges
from ..server import cache, timeouts
from ..server.messages import NOT_A_QUESTION

ID = "learn"
TITLE = "Skips that learn"
FCN, TEACHER = "fcn_mobilenetv2", "deeplabv3_mobilenetv2_google"
SECONDS = 0.5
"""For which a question trains, so that others get their turn."""
HEIGHT = 210

ABOUT = (
    "The backbone and the scores at stride 32 stay as they are. The layers of strides 16 and 8 begin with random weights, the "
    "last of them with zeros, and learn from the example photos, without a label: the target is what Google's network says at stride 8. Your photo is "
    "not among them. **Train**, and watch the edges: so few photos teach where they run, and cost a little elsewhere."
)

Labels = NDArray[np.uint8]

_lessons: cache.LRUCache[list[Lesson]] = cache.LRUCache(
    48 * 2**20, lambda lessons: sum(lesson.nbytes for lesson in lessons)
)
_inputs: cache.LRUCache[SkipInputs] = cache.LRUCache(16)
_targets: cache.LRUCache[Labels] = cache.LRUCache(16)


class Run:
    """A visitor's training; one question at a time goes on with it."""

    def __init__(self, left_out: str, seed: int) -> None:
        self.training = SkipTraining(lessons(left_out), seed)
        self.lock = threading.Lock()

    def go_on(self) -> None:
        """Train for ``SECONDS``, one step at least."""
        with self.lock:
            started = time.monotonic()
            while not self.training.done:
                self.training.step()
                timeouts.check()
                if time.monotonic() - started > SECONDS:
                    break


_runs: cache.LRUCache[Run] = cache.LRUCache(24)
"""Those that went on last, a megabyte each; one that was forgotten begins again."""


def section(photo: gr.Image, network: gr.Radio) -> None:
    """Put the section into the tab that is being built; nothing is computed before it is shown."""
    gr.Markdown(ABOUT, elem_classes="about-section")
    computed.running(show, [photo], "learn")


def lessons(left_out: str) -> list[Lesson]:
    """The offered examples but the one called ``left_out``, as both networks see them."""
    found = []
    for name in OFFERED:
        if name != left_out:
            timeouts.check()
            found += _lessons.get(name, partial(_seen, name))
    return found


def _seen(name: str) -> list[Lesson]:
    return Lesson.all_of(cache.segmenter(FCN), cache.segmenter(TEACHER), read_photo(PHOTOS[name]).image)


def show(path: str, asked: Any) -> dict[str, Any]:
    """Go on with a run, if it is on, and show the photo as its skips see it now."""
    name, on = checked(asked)
    left_out = named({"path": path})
    key = name, left_out
    if not on and key not in _runs:  # what it learns from is looked at when it begins
        return {"html": {"": _figure(path, None)}}
    run = _runs.get(key, lambda: Run(left_out, int(name[:8], 16)))
    if on:
        run.go_on()
    return {"html": {"": _figure(path, run.training)}, "done": run.training.done}


def checked(asked: Any) -> tuple[str, bool]:
    """The name of a run, and whether it goes on. Raises ValueError for anything that the page would not ask."""
    name, on = (asked.get("run"), asked.get("on")) if isinstance(asked, dict) else (None, None)
    if not isinstance(name, str) or not re.fullmatch("[0-9a-f]{32}", name) or not isinstance(on, bool):
        raise ValueError(NOT_A_QUESTION)
    return name, on


def _figure(path: str, training: SkipTraining | None) -> str:
    photo = small_photo(path)
    size = (photo.height, photo.width)
    features = cache.features(path, FCN, None)
    inputs = _inputs.get(path, lambda: SkipInputs.of(cache.segmenter(FCN), features))
    start = label_map(inputs.scores[0], size, None, features.aligned_size)
    now = start if training is None else label_map(training.logits(inputs), size, None, features.aligned_size)
    losses = [] if training is None else training.losses
    target = _targets.get(path, lambda: _target(path, size))
    made = len(losses)
    panels = [
        _picture("FCN-32s: no skips", start, target),
        _picture(f"With both skips, after {made} steps", now, target),
        panel("The target: Google's, stride 8", _layer("The target", target)),
        panel(
            "How far from the target",
            curve(losses),
            "Kullback-Leibler divergence, nats a cell",
        ),
    ]
    near = near_edges(target)
    words = Markup(
        "Step {} of {}. Near the target's edges {} of the pixels had the target's class without skips, <b>{}</b> have it now"
    ).format(made, STEPS, _share(start == target, near), _share(now == target, near))
    over = photo_overlay.photo_attributes(path, cache.display(path), registry.card(FCN).class_list)
    return figure("skips-that-learn", panels, words, over)


def _share(same: NDArray[np.bool_], near: NDArray[np.bool_]) -> str:
    return f"{same[near].mean():.1%}" if near.any() else "all"


def _target(path: str, size: tuple[int, int]) -> Labels:
    seen = cache.features(path, TEACHER, 8)
    return label_map(cache.segmenter(TEACHER).logits(seen), size, None, seen.aligned_size)


def _picture(name: str, labels: Labels, target: Labels) -> str:
    same = float((labels == target).mean())
    return panel(name, _layer(name, labels), f"{same:.1%} of the pixels have the target's class")


def _layer(name: str, labels: Labels) -> str:
    return photo_overlay.picture(
        f"{name}: {(labels > 0).mean():.0%} of it is no background", photo_overlay.layer(labels)
    )


def curve(losses: Collection[float]) -> str:
    """The loss of every step, and its running mean."""
    left, bottom, right = 34, 24, PANEL - 4
    most = max([*losses, 0.1])
    smooth = np.array([np.mean(list(losses)[max(at - 4, 0) : at + 1]) for at in range(len(losses))])
    points = " ".join(
        f"{left + (right - left) * (at + 1) / STEPS:.1f},{8 + (HEIGHT - bottom - 8) * (1 - value / most):.1f}"
        for at, value in enumerate(smooth)
    )
    last = f"{smooth[-1]:.3f} after {len(losses)} steps" if len(losses) else "no step yet"
    return svg(
        HEIGHT,
        f"The loss: {last}",
        rect(left, 8, right - left, HEIGHT - bottom - 8, "frame"),
        Markup('<polyline class="curve" points="{}"/>').format(points),
        text(17, 18, f"{most:.1f}"),
        text(17, HEIGHT - bottom, "0"),
        text((left + right) / 2, HEIGHT - 6, last),
    )
