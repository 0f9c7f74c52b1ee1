"""Train a network to tell objects that touch apart: what ``segmodels train`` does with a folder of numbered objects.

The recipe is that of U-Net's paper (arXiv 1505.04597): random weights, borders that weigh more, elastic deformation.
"""

import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from ..checkpoints.files import load_state, read_state, save_state
from ..inference.segmenter import Segmenter
from ..kernels.precision import memory_format, training_precision
from ..models.base import SegmentationNetwork
from ..models.card import Card
from ..models.pretrained import start_from
from .instance_scores import InstanceScores, score_instances
from .instances import InstanceFolder, Sample, Varied, draw, how_often
from .start import normaliser

WRITE_SECONDS = 300
"""How often the weights so far are written, so that a run that is broken off leaves something."""

TOLD_STEPS = 50
"""How often the loss is told."""


@dataclass(frozen=True)
class InstanceRecipe:
    """The settings of a run; the defaults are those of ``segmodels train`` on a folder of numbered objects.

    Raises:
        ValueError: with a sentence, for a value that no run can have.
    """

    epochs: int = 14
    minutes: float = 0  # where set, the run goes by the clock, and ``epochs`` does not count
    pictures: int = 0  # the first so many of the list; 0 for all
    batch: int = 6
    crop: int = 256  # pixels
    rate: float = 3e-3  # of AdamW, falling to 0 by half a cosine
    weight_decay: float = 1e-3
    ema_decay: float = 0.99
    elastic: int = 1  # 0 leaves crops undeformed
    border_weight: int = 1  # 0 weighs all pixels alike
    seed: int = 1

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch) < 1 or min(self.minutes, self.pictures, self.seed) < 0:
            raise ValueError("epochs and batch must be at least 1; minutes, pictures and seed not negative")
        if self.crop < 32 or self.crop % 16:
            raise ValueError(f"crop must be a multiple of 16, from 32 on, not {self.crop}")
        if not 0 < self.rate <= 1 or not 0 <= self.weight_decay <= 1 or not 0 <= self.ema_decay < 1:
            raise ValueError("rate, weight_decay and ema_decay must be from 0 to 1")

    @classmethod
    def of(cls, settings: Sequence[str]) -> Self:
        """Return the defaults, but for ``settings`` such as ``"batch=4"``.

        Raises:
            ValueError: for a name that there is not, or a value that is not of its kind.
        """
        kinds = {field.name: type(getattr(cls, field.name)) for field in fields(cls)}
        chosen: dict[str, Any] = {}
        for setting in settings:
            name, _, value = setting.partition("=")
            if name not in kinds:
                raise ValueError(f"the recipe for numbered objects has no {name!r}; it has {', '.join(kinds)}")
            try:
                chosen[name] = float(value) if name == "minutes" else kinds[name](value)
            except ValueError:
                raise ValueError(f"{name} must be a number like {getattr(cls, name)}, not {value!r}") from None
        return cls(**chosen)


def train_instances(
    card: Card,
    folder: InstanceFolder,
    out: Path,
    recipe: InstanceRecipe,
    validation: InstanceFolder | None = None,
    start: str | Path | None = None,
) -> InstanceScores | None:
    """Train the network of ``card`` on numbered objects and write the averaged weights to ``out``.

    Beside it, in a folder of results, are a log and the curve of the loss.

    Args:
        card: the network; it gets the classes of the folder, and sees pictures as from a microscope.
        folder: pictures and objects to learn from.
        out: a ``.safetensors`` file, half precision; written every few minutes and at the end.
        recipe: the settings.
        validation: scored at the end, if given.
        start: a file of weights of the same network and classes, ``"zoo"`` or ``"imagenet"`` (see ``start_from``); random
            weights if None or ``"scratch"``.

    Returns:
        The scores on ``validation``.

    Raises:
        ValueError: if ``out`` is no ``.safetensors`` file, or a picture cannot be read.
        OSError: if the weights cannot be written.
    """

    from .results import keep_previous, results_folder, write_curve, write_log  # loads matplotlib: half a second

    if out.suffix != ".safetensors":
        raise ValueError(f"the weights are written as .safetensors, so --out cannot be {out.name}")
    card = replace(card, class_list=folder.class_list, microscopy=True)
    torch.manual_seed(recipe.seed)
    network = card.builder(len(card.classes))
    began_from = _begin(network, card, start)
    record = card.metadata(began_from, {folder.name: len(folder)})
    if kept := keep_previous(out):
        print(kept, file=sys.stderr)
    results_folder(out).mkdir(parents=True, exist_ok=True)
    began = written = time.monotonic()
    losses: list[float] = []
    history: list[dict[str, float]] = []
    averaged = network

    def tell() -> None:
        history.append({"step": len(losses), "loss": round(float(np.mean(losses[-TOLD_STEPS:])), 4)})
        tqdm.write("  ".join(f"{name} {value:.4g}" for name, value in history[-1].items()), file=sys.stderr)
        write_curve(out, history, card.title)

    for averaged, loss in _steps(network, card, folder, recipe):
        losses.append(loss)
        if len(losses) % TOLD_STEPS == 0:
            tell()
        if time.monotonic() - written > WRITE_SECONDS:
            save_state(averaged, out, record=record)
            written = time.monotonic()
    if len(losses) % TOLD_STEPS:  # a short run leaves a curve too
        tell()
    save_state(averaged, out, record=record)
    log = {
        "model": card.name,
        "out": out.name,
        "start": began_from,
        "data": {folder.name: len(folder)},
        "recipe": asdict(recipe),
        "steps": len(losses),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "history": history,
    }
    write_log(out, log)
    if validation is None:
        return None
    return score_instances(Segmenter(averaged, card, "cpu", "float32"), validation)


def _begin(network: SegmentationNetwork, card: Card, start: str | Path | None) -> str:
    """Give the network its starting weights, and say which."""
    if start is None or start == "scratch":
        return "random weights"
    if start in ("zoo", "imagenet"):
        return start_from(network, card, start)
    file = Path(start)
    load_state(network, read_state(file))
    return file.name


def _steps(
    network: SegmentationNetwork, card: Card, folder: InstanceFolder, recipe: InstanceRecipe
) -> Iterator[tuple[SegmentationNetwork, float]]:
    """Do the steps of a run; after each, the averaged network as it is, and the step's loss."""
    samples = [
        Sample.of(*folder[index])
        for index in tqdm(range(len(folder)), "weighing borders", unit="picture", leave=False, disable=None)
    ]
    rng = np.random.default_rng(recipe.seed)
    chances, normalise = how_often(samples), normaliser(card)
    varied = Varied(recipe.crop, bool(recipe.elastic), bool(recipe.border_weight))
    optimizer = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=recipe.weight_decay)
    averaged = AveragedModel(network, multi_avg_fn=_ema(recipe.ema_decay), use_buffers=True)
    steps = max(recipe.epochs * len(samples) // recipe.batch, 1)
    network.train()
    known = None if recipe.minutes else steps
    for number, done in enumerate(
        tqdm(_progress(steps, recipe.minutes), card.name, known, unit="step", mininterval=1, disable=None)
    ):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * rate_factor(done, number)
        picks = rng.choice(len(samples), recipe.batch, p=chances)
        crops = [draw(samples[pick], rng, varied) for pick in picks]
        pixels, classes, weights = (torch.stack(parts) for parts in zip(*crops, strict=True))
        loss = weighted_cross_entropy(_logits(network, normalise(pixels * 255)), classes, weights)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        averaged.update_parameters(network)
        yield cast("SegmentationNetwork", averaged.module), loss.item()


def _logits(network: SegmentationNetwork, x: Tensor) -> Tensor:
    """The logits at the size of ``x``; under autocast where training gains by it."""
    device = torch.device("cpu")
    with torch.autocast("cpu", torch.bfloat16, enabled=training_precision(device) == "bfloat16"):
        logits: Tensor = network(x.contiguous(memory_format=memory_format(device)))
    return logits.float()


def _progress(steps: int, minutes: float) -> Iterator[float]:
    """How much of the run is done before each step, 0 to 1: by steps, or by the clock."""
    if not minutes:
        yield from (step / steps for step in range(steps))
        return
    started = time.monotonic()
    yield 0.0
    while (done := (time.monotonic() - started) / (60 * minutes)) < 1:
        yield done


def rate_factor(done: float, step: int) -> float:
    """Return the part of the learning rate to use: forty steps of warm-up, then half a cosine over the run."""
    return min((step + 2) / 40, 1.0) * (1 + math.cos(math.pi * done)) / 2


def weighted_cross_entropy(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Return the mean cross entropy of (N, C, H, W) logits, each pixel counting as its weight says (section 3, equation 1)."""
    losses = nn.functional.cross_entropy(logits, classes, reduction="none")
    return (weights * losses).sum() / weights.sum()


def _ema(decay: float) -> Any:
    """The exponential moving average; a short memory at first, so that it soon forgets the random start."""

    def average(averaged: Any, current: Any, count: Any) -> None:
        get_ema_multi_avg_fn(min(decay, (1 + float(count)) / (10 + float(count))))(averaged, current, count)

    return average
