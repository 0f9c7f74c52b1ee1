"""How the compact zoo was made: one recipe for every network.

A run is a function of its arguments: the crops of step n are the same whether the run was stopped before or not, and
``--resume`` goes on from the last checkpoint as if nothing had happened.
"""

import copy
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tqdm import tqdm

from .. import zoo
from ..labels import VOC_CLASSES
from ..loading import bundled_backbone
from ..networks.network import SegmentationNetwork
from ..record import Record, backbone_hash
from ..segmenter import Segmenter
from ..weights import save_state
from ..zoo import Card
from .data import SegmentationFolder, common_classes
from .evaluate import evaluate
from .recipe import Recipe
from .results import plot
from .run import Run
from .start import as_trained, normaliser, prepare, start_from
from .team import joined_team

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
) -> None:
    """Train the network of ``card`` and write ``out`` (half precision safetensors), with a log and a plot beside it.

    The classes are those of the folders. ``start`` is what ``start_from`` takes. Weights trained on a frozen backbone
    that is the network's bundled one are written without it. Under ``torchrun`` the processes share every batch; the
    first of them writes, and a checkpoint to resume from must lie where all can read it.

    Every ``CHECKPOINT_STEPS`` steps and at the end of every epoch a checkpoint is written beside ``out``; ``resume``
    goes on from it. The weights written are the exponential moving average.

    Raises:
        ValueError: if ``out`` is no ``.safetensors`` file, the folders' classes differ, the data is faulty, or the
            checkpoint belongs to another run.
        OSError: if the weights cannot be written; the last checkpoint is left as it is.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"the weights are written as .safetensors, so --out cannot be {out.name}")
    classes = common_classes([*folders, *([validation] if validation else [])])
    card = as_trained(replace(card, class_list=classes), recipe)
    out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = out.with_suffix(".checkpoint.pt")
    torch.manual_seed(recipe.seed)
    network = card.builder(len(card.classes))
    started_from = start_from(network, card, start)
    prepare(network, card, recipe)
    with joined_team() as team:
        run = Run(network, folders, recipe, len(card.classes), normaliser(card), team)
        run.identity["start"] = started_from
        if resume and checkpoint.exists():
            run.load(checkpoint)
        if not team.leads:
            torch.manual_seed(recipe.seed + team.rank + team.size * run.step)  # each its own dropout
        _run_to_the_end(run, card, out, checkpoint, validation, workers)
        if not team.leads:
            return
    data = {folder.root.name: len(folder) for folder in folders}
    write_weights(run, card, out, started_from, data)
    log = {
        "model": card.name,
        "out": out.name,
        "start": started_from,
        "data": data,
        "recipe": asdict(recipe),
        "history": run.history,
    }
    out.with_suffix(".log.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")


def write_weights(run: Run, card: Card, out: Path, start: str, data: Mapping[str, int]) -> None:
    """Write the averaged weights with their record: the decoder alone if its backbone is the bundled one."""
    network = cast(SegmentationNetwork, run.averaged.module)
    part, backbone = "", None
    if not run.recipe.backbone_rate and zoo.card(card.name).source == "bundled":
        own = backbone_hash(network.state_dict())
        if own == backbone_hash(bundled_backbone(zoo.card(card.name))):
            part, backbone = "decoder.", own
    save_state(network, out, part, Record.of(card, start, data, backbone))


def validate(run: Run, card: Card, folder: SegmentationFolder) -> dict[str, float]:
    """Score the averaged weights on every photo of ``folder``, at the settings of ``card``, as they will be loaded."""
    network = copy.deepcopy(cast(SegmentationNetwork, run.averaged.module))
    segmenter = Segmenter(network, card, run.team.device, "float32")
    scores = evaluate(lambda photo: segmenter(photo).labels, folder, len(card.classes))
    seven = {"miou7": scores.miou7} if card.classes == VOC_CLASSES else {}
    return {**seven, "miou": scores.miou(), "pixel_accuracy": scores.pixel_accuracy}


def _run_to_the_end(
    run: Run, card: Card, out: Path, checkpoint: Path, validation: SegmentationFolder | None, workers: int
) -> None:
    """All steps that are left. The process that leads its team scores, plots and writes checkpoints on the way."""
    leads = run.team.leads
    with tqdm(
        total=run.steps, initial=run.step, desc=card.name, unit="step", mininterval=1, disable=not leads
    ) as progress:
        for photos, labels in run.batches(workers):
            run.train_step(photos, labels)
            progress.update()
            progress.set_postfix(loss=f"{np.mean(run.losses[-50:]):.3f}", refresh=False)
            ends_epoch = run.step % run.steps_per_epoch == 0
            if ends_epoch:
                row = {"step": run.step, "loss": float(np.mean(run.losses))}
                if validation is not None and leads:
                    row |= validate(run, card, validation)
                run.history.append(row)
                run.losses.clear()
            if leads and ends_epoch:
                progress.write("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
            if leads and (ends_epoch or run.step % CHECKPOINT_STEPS == 0):
                _keep(run, card, out, checkpoint, progress)


def _keep(run: Run, card: Card, out: Path, checkpoint: Path, progress: "tqdm[Any]") -> None:
    """Write checkpoint and curve. A disk that is full now may not be later: the run goes on, and says so."""
    try:
        run.save(checkpoint)
        if run.history:
            plot(run.history, card.title).savefig(out.with_suffix(".png"))
    except OSError as error:
        progress.write(f"{error}; the run goes on, and the checkpoint before this one is kept", file=sys.stderr)
