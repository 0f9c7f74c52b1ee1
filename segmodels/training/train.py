"""How the compact zoo was made: one recipe for every network.

A run is a function of its arguments: the crops of step n are the same whether the run was stopped before or not, and
``--resume`` goes on from the last checkpoint as if nothing had happened.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np
import torch
from tqdm import tqdm

from ..networks.network import SegmentationNetwork
from ..segmenter import Segmenter
from ..weights import save_state
from ..zoo import Card
from .data import SegmentationFolder
from .evaluate import evaluate
from .recipe import Recipe
from .results import plot
from .run import Run
from .start import normaliser, prepare, start_from
from .team import joined_team

CHECKPOINT_STEPS = 200


def validate(run: Run, card: Card, folder: SegmentationFolder) -> dict[str, float]:
    """Score the averaged weights on every photo of ``folder``, at the card's working size and the recipe's settings."""
    network = copy.deepcopy(cast(SegmentationNetwork, run.averaged.module))
    segmenter = Segmenter(network, card, run.team.device, "float32")
    settings = (run.recipe.atrous_rate or None, run.recipe.output_stride or None)
    scores = evaluate(lambda photo: segmenter(photo, *settings).labels, folder, len(card.classes))
    return {"miou7": scores.miou7, "miou": scores.miou(), "pixel_accuracy": scores.pixel_accuracy}


def train(
    card: Card,
    folders: Sequence[SegmentationFolder],
    out: Path,
    recipe: Recipe,
    validation: SegmentationFolder | None = None,
    start: Path | None = None,
    resume: bool = False,
    workers: int = 1,
) -> None:
    """Train the network of ``card`` and write ``out`` (half precision safetensors), with a log and a plot beside it.

    With a frozen backbone, ``out`` holds the decoder alone. Under ``torchrun`` the processes share every batch; the first
    of them writes, and a checkpoint to resume from must lie where all can read it.

    Every ``CHECKPOINT_STEPS`` steps and at the end of every epoch a checkpoint is written beside ``out``; ``resume``
    goes on from it. The weights written are the exponential moving average.

    Raises:
        ValueError: if ``out`` is no ``.safetensors`` file or the checkpoint belongs to another recipe.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"the weights are written as .safetensors, so --out cannot be {out.name}")
    out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = out.with_suffix(".checkpoint.pt")
    torch.manual_seed(recipe.seed)
    network = card.builder(len(card.classes))
    started_from = start_from(network, card, start)
    prepare(network, card, recipe)
    with joined_team() as team:
        run = Run(network.train(), folders, recipe, len(card.classes), normaliser(card), team)
        if resume and checkpoint.exists():
            run.load(checkpoint)
        if not team.leads:
            torch.manual_seed(recipe.seed + team.rank + team.size * run.step)  # each its own dropout
        _run_to_the_end(run, card, out, checkpoint, validation, workers)
        if not team.leads:
            return
    save_state(run.averaged.module, out, "" if recipe.backbone_rate else "decoder.")
    log = {
        "model": card.name,
        "out": out.name,
        "start": started_from,
        "data": {folder.root.name: len(folder) for folder in folders},
        "recipe": asdict(recipe),
        "history": run.history,
    }
    out.with_suffix(".log.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")


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
                if leads:
                    progress.write("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
                    plot(run.history, card.title).savefig(out.with_suffix(".png"))
            if leads and (ends_epoch or run.step % CHECKPOINT_STEPS == 0):
                run.save(checkpoint)
