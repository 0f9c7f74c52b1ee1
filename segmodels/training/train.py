"""Train one network: one recipe for all of them, and what ``segmodels train`` runs.

The decoders of the compact zoo were made by ``tools.weights.train_zoo`` (``segmodels.training.decoders``).

A run is a function of its arguments: the crops of step n are the same whether the run was stopped before or not, and
``--resume`` goes on from the last checkpoint as if nothing had happened.
"""

import copy
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ..checkpoints.files import save_state
from ..checkpoints.metadata import backbone_hash
from ..files import display_path
from ..inference.loading import bundled_backbone
from ..inference.segmenter import Segmenter
from ..models import registry
from ..models.base import SegmentationNetwork
from ..models.card import Card
from ..models.pretrained import start_from
from .data import SegmentationFolder, common_classes, photos_by_folder, usual_side
from .evaluate import evaluate
from .forecast import forecast
from .look_over import look_over
from .metrics import Scores
from .process_group import joined_team
from .recipe import Recipe
from .results import (
    checkpoint_file,
    keep_previous,
    results_folder,
    what_is_next,
    write_curve,
    write_log,
    write_predictions,
    write_scores,
)
from .run import Run
from .start import as_trained, fitted_to, normaliser, prepare, start_from_weights

CHECKPOINT_STEPS = 200


def train(
    card: Card,
    folders: Sequence[SegmentationFolder],
    out: Path,
    recipe: Recipe,
    validation: SegmentationFolder | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    workers: int = 1,
    weights: Path | None = None,
) -> None:
    """Train the network of ``card`` and write ``out`` (half precision safetensors), and a folder of results beside it.

    The classes are those of the folders; crops are no larger than their photos. ``start`` is what ``start_from`` takes;
    without it, all ``weights`` of a file may be what training goes on from.
    Weights trained on a frozen backbone that is the network's bundled one are written without it. Under ``torchrun`` the
    processes share every batch; the first of them writes, and a checkpoint to resume from must lie where all can read it.

    All validation photos, all label maps and all sizes are looked at before the first step. Every ``CHECKPOINT_STEPS`` steps
    and at the end of every epoch, before it is scored, a checkpoint is written beside ``out``; ``resume`` goes on from it,
    for as long as the recipe's epochs say now. A run that begins anew keeps what an earlier one wrote to ``out`` under another
    name (``keep_previous``). The weights written are the exponential moving average. What lies ahead is said on stderr first.

    Raises:
        ValueError: if ``out`` is no ``.safetensors`` file, the folders' classes differ, the data is faulty, or the
            checkpoint belongs to another run.
        OSError: if the weights cannot be written; the last checkpoint is left as it is.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"the weights are written as .safetensors, so --out cannot be {out.name}")
    classes = common_classes([*folders, *([validation] if validation else [])])
    for warning in look_over(folders, validation):
        print(warning, file=sys.stderr)
    card, recipe = fitted_to(usual_side(folders), as_trained(replace(card, class_list=classes), recipe), recipe)
    torch.manual_seed(recipe.seed)
    network = card.builder(len(card.classes))
    if weights is not None and start is None:
        started_from = start_from_weights(network, card, weights)
    else:
        started_from = start_from(network, card, start)
    prepare(network, card, recipe)
    with joined_team() as team:
        run = Run(network, folders, recipe, len(card.classes), normaliser(card), team)
        run.identity["start"] = started_from
        checkpoint = checkpoint_file(out)
        if resume and checkpoint.exists():
            run.load(checkpoint)
        if team.leads:
            print(forecast(run, card, started_from, validation), file=sys.stderr)
            if not run.step and (kept := keep_previous(out)):
                print(kept, file=sys.stderr)
            results_folder(out).mkdir(parents=True, exist_ok=True)
        else:
            torch.manual_seed(recipe.seed + team.rank + team.size * run.step)  # each its own dropout
        with explained(workers):
            scores = _run_to_the_end(run, card, out, checkpoint, validation, workers)
        if team.leads:
            _write(run, card, out, started_from, folders, validation, scores)
            print(what_is_next(out, validation.root if validation else None))


@contextmanager
def explained(workers: int) -> Iterator[None]:
    """Name the cause, and the option that helps, where the processes that read photos fail.

    Raises:
        OSError: if one of them was ended, or shared memory or the temporary folder is full.
        ValueError: if one of them met a faulty photo or label map.
    """
    try:
        yield
    except (RuntimeError, OSError, ValueError) as error:
        said = " ".join(str(error).split())
        if re.search(r"worker.*(killed|exited unexpectedly)|shared memory|/dev/shm|torch_shm|[Bb]us error", said):
            full = re.search(r"shared memory|shm|[Bb]us error", said)
            cause = "there is not enough shared memory (/dev/shm) for them" if full else "one of them was ended"
            raise OSError(
                f"the {workers} processes that read photos failed, since {cause}: --workers 0 does without them, and "
                "--resume goes on from the last checkpoint"
            ) from error
        if match := re.search(r"in DataLoader worker process.*\b\w+Error: (.*)$", said):
            raise ValueError(match[1]) from error
        raise


def validate(run: Run, card: Card, folder: SegmentationFolder) -> Scores:
    """Score the averaged weights on every photo of ``folder``."""
    return evaluate(labeller(run, card), folder, len(card.classes))


def labeller(run: Run, card: Card) -> Callable[[Image.Image], NDArray[np.uint8]]:
    """What the averaged weights make of a photo, at the settings of ``card``, as they will be loaded."""
    network = copy.deepcopy(cast(SegmentationNetwork, run.averaged.module))
    segmenter = Segmenter(network, card, run.team.device, "float32")
    return lambda photo: segmenter(photo).labels


def _run_to_the_end(
    run: Run, card: Card, out: Path, checkpoint: Path, validation: SegmentationFolder | None, workers: int
) -> Scores | None:
    """All steps that are left; the last scores. The process that leads its team scores and writes on the way."""
    leads, scores = run.team.leads, None
    with tqdm(
        total=run.steps, initial=run.step, desc=card.name, unit="step", mininterval=1, disable=None if leads else True
    ) as progress:
        for photos, labels in run.batches(workers):
            run.train_step(photos, labels)
            progress.update()
            progress.set_postfix(loss=f"{np.mean(run.losses[-50:]):.3f}", refresh=False)
            ends_epoch = run.step % run.steps_per_epoch == 0
            if ends_epoch:
                row = {"step": run.step, "loss": float(np.mean(run.losses))}
                run.history.append(row)
                run.losses.clear()
            elif leads and progress.disable and run.step % CHECKPOINT_STEPS == 0:  # a log file, where no bar is drawn
                progress.write(f"step {run.step} of {run.steps}  loss {np.mean(run.losses):.4g}")
            if leads and (ends_epoch or run.step % CHECKPOINT_STEPS == 0):
                _keep(run, card, out, checkpoint, progress)
            if leads and ends_epoch:
                if validation is not None:
                    scores = validate(run, card, validation)
                    row |= scores.measures(card.classes)
                    _keep(run, card, out, checkpoint, progress)
                progress.write("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
    return scores


def _keep(run: Run, card: Card, out: Path, checkpoint: Path, progress: "tqdm[Any]") -> None:
    """Write checkpoint and curve. A disk that is full now may not be later: the run goes on, and says so."""
    try:
        run.save(checkpoint)
        if run.history:
            write_curve(out, run.history, card.title)
    except OSError as error:
        progress.write(f"{error}; the run goes on, and the checkpoint before this one is kept", file=sys.stderr)


def _write(
    run: Run,
    card: Card,
    out: Path,
    start: str,
    folders: Sequence[SegmentationFolder],
    validation: SegmentationFolder | None,
    scores: Scores | None,
) -> None:
    """The weights first, then the results."""
    data = photos_by_folder(folders)
    try:
        write_weights(run, card, out, start, data)
    except OSError as error:
        raise OSError(f"{error}; make room, and --resume goes on from the last checkpoint") from error
    log = {
        "model": card.name,
        "out": out.name,
        "start": start,
        "data": data,
        "recipe": asdict(run.recipe),
        "history": run.history,
    }
    try:
        write_log(out, log)
        if validation is not None:
            scores = scores or validate(run, card, validation)  # nothing was left of a resumed run
            write_scores(out, scores, card.class_list, f"{validation.name}/{validation.split}")
            write_predictions(out, labeller(run, card), validation)
    except OSError as error:
        raise OSError(f"{error}; the weights are there, in {display_path(out)}") from error


def write_weights(run: Run, card: Card, out: Path, start: str, data: Mapping[str, int]) -> None:
    """Write the averaged weights with their record: the decoder alone if its backbone is the bundled one."""
    network = cast(SegmentationNetwork, run.averaged.module)
    part, backbone = "", None
    if not run.recipe.backbone_rate and registry.card(card.name).source == "bundled":
        own = backbone_hash(network.state_dict())
        if own == backbone_hash(bundled_backbone(registry.card(card.name))):
            part, backbone = "decoder.", own
    save_state(network, out, part, card.metadata(start, data, backbone))
