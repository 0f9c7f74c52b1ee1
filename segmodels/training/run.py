"""One training run: its steps, and the checkpoint from which it goes on."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from ..files import atomic_write, display_path
from ..kernels.precision import keep_depthwise_in_float32, memory_format, training_precision
from ..models.base import SegmentationNetwork
from ..models.heads import ASPP
from ..models.pretrained import PRETRAINED
from .data import Batches, SegmentationFolder, TrainingCrops, class_presence, fingerprint, sampling_weights
from .loss import segmentation_loss
from .process_group import Team
from .recipe import Recipe


def learning_rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    """Linear warm-up, of a fifth of the run at most, then poly decay (DeepLab v3, section 4.1) to zero."""
    return min((step + 1) / max(min(recipe.warmup, steps // 5), 1), 1.0) * (1 - step / steps) ** recipe.poly_power


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


def _difference(then: Any, now: Any, epochs: int) -> str | None:
    """Say how a fact of a checkpoint differs from that of this run; None if a run may go on all the same.

    Of recipes, the settings that differ. The number of epochs may be another, if it is not under the ``epochs`` made.
    """
    if then == now:
        return None
    if isinstance(then, str) and isinstance(now, str) and len(then + now) < 300:
        return f" ({then} there, {now} here)"
    if not (isinstance(then, dict) and isinstance(now, dict) and "epochs" in now):
        return ""
    differ = [name for name in now if then.get(name) != now[name]]
    if differ == ["epochs"] and now["epochs"] >= epochs:
        return None
    return f" ({', '.join(f'{name} {then.get(name)} there, {now[name]} here' for name in differ)})"


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


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
        if recipe.batch == team.size and any(isinstance(module, ASPP) for module in network.decoder.modules()):
            raise ValueError(
                "the ASPP normalises one number a photo over the batch: make the batch 2 or more a process"
            )
        layout = memory_format(team.device)
        self.network = network.to(team.device, memory_format=layout)  # type: ignore[call-overload]
        self.recipe = recipe
        self.normalise = normalise
        self.team = team
        self.crops = TrainingCrops(folders, recipe.crop, recipe.smallest_window)
        presence = class_presence(folders, num_classes)
        self.weights = sampling_weights(presence, recipe.most_often, background=folders[0].class_list.background)
        self.identity = {"recipe": asdict(recipe), "data": fingerprint(folders), "shapes": _shapes(network)}
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
        x = self.normalise(photos.to(device)).contiguous(memory_format=memory_format(device))
        with torch.autocast(device.type, torch.bfloat16, enabled=self.mixed):
            outputs = self.supervised(x)
        labels = labels.to(device)
        smoothing, lovasz_weight = self.recipe.label_smoothing, self.recipe.lovasz_weight
        align_corners = self.network.align_corners
        losses = [
            segmentation_loss(logits.float(), labels, smoothing, lovasz_weight, align_corners) for logits in outputs
        ]
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
            **self.identity,
        }
        with atomic_write(path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same network, recipe, data and start; the recipe may have more epochs now.

        Raises:
            ValueError: if the checkpoint was made by another run, or is damaged.
        """
        try:
            state = torch.load(path, map_location=self.team.device, weights_only=True)
            found, done = {name: state[name] for name in self.identity}, state["step"] // self.steps_per_epoch
        except Exception as error:  # what a broken file does to a decoder has many names
            raise ValueError(
                f"{display_path(path)} is no checkpoint that can be read; delete it to start anew"
            ) from error
        for name, what in (("shapes", "network"), ("recipe", "recipe"), ("data", "data set"), ("start", "start")):
            told = _difference(found.get(name), self.identity.get(name), done)
            if told is not None:
                raise ValueError(f"{display_path(path)} belongs to another {what}{told}; delete it to start anew")
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.losses, self.history = state["step"], state["losses"], state["history"]
        torch.set_rng_state(state["random"].cpu())
