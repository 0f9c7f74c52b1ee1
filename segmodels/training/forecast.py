"""What a run would take, measured before it starts."""

import copy
import time

import torch
from torch import Tensor

from ..kernels.device import synchronise
from ..kernels.precision import memory_format
from ..models.card import Card
from .data import SegmentationFolder
from .loss import segmentation_loss
from .run import Run, Supervised


def forecast(run: Run, card: Card, start: str, validation: SegmentationFolder | None) -> str:
    """Sentences about what is ahead: steps, time and disk, from a step and a photo that are tried on a copy."""
    recipe, left = run.recipe, run.steps - run.step
    step, photo = trial_seconds(run, card)
    epochs = -(-left // run.steps_per_epoch)
    scored = len(validation) if validation else 0
    scoring = f", {counted(scored, 'validation photo')} after each" if scored else ""
    tensors = list(run.network.state_dict().values())
    trained = [parameter for parameter in run.network.parameters() if parameter.requires_grad]
    checkpoint = 2 * sum(tensor.nbytes for tensor in tensors) + 2 * sum(tensor.nbytes for tensor in trained)
    going_on = f"Going on at step {run.step} of {run.steps}. " if run.step else ""
    return (
        f"{card.name}: {len(card.classes)} classes, {counted(len(run.crops), 'photo')}, start: {start}. {going_on}"
        f"{counted(epochs, 'epoch')} of {counted(run.steps_per_epoch, 'step')} of {recipe.batch} crops of {recipe.crop} x {recipe.crop} pixels"
        f"{scoring}: about {duration(left * step + epochs * scored * photo)} here. "
        f"Checkpoints take {checkpoint / 1e6:.0f} MB, twice that while they are written."
    )


def trial_seconds(run: Run, card: Card) -> tuple[float, float]:
    """What a step takes, and the scoring of a photo; the run and the random numbers are left as they are."""
    with torch.random.fork_rng(devices=[]):
        supervised = Supervised(copy.deepcopy(run.network), run.recipe.backbone_rate > 0)
        share = run.recipe.batch // run.team.size
        photos = torch.randint(256, (share, 3, run.recipe.crop, run.recipe.crop), dtype=torch.uint8)
        labels = torch.randint(len(card.classes), (share, run.recipe.crop, run.recipe.crop))
        step = min(_step_seconds(run, supervised, photos, labels) for _ in range(2))  # the first one is slower
        network = supervised.network.eval()
        x = run.normalise(torch.zeros(1, 3, card.working_size * 3 // 4, card.working_size, device=run.team.device))
        started = time.perf_counter()
        with torch.inference_mode():
            network(x)
        synchronise(run.team.device)
        return step, time.perf_counter() - started


def _step_seconds(run: Run, supervised: Supervised, photos: Tensor, labels: Tensor) -> float:
    started = time.perf_counter()
    device = run.team.device
    x = run.normalise(photos.to(device)).contiguous(memory_format=memory_format(device))
    with torch.autocast(device.type, torch.bfloat16, enabled=run.mixed):
        outputs = supervised(x)
    labels = labels.to(device)
    recipe = run.recipe
    losses = [segmentation_loss(out.float(), labels, recipe.label_smoothing, recipe.lovasz_weight) for out in outputs]
    torch.stack(losses).mean().backward()
    synchronise(device)
    return time.perf_counter() - started


def counted(count: int, noun: str) -> str:
    """A number with its noun, in the plural but for 1."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time for people: to the second, the minute or the tenth of an hour."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 90 * 60 else f"{seconds / 3600:.1f} hours"
