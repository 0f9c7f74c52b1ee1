"""Make the DeepLabs' answer depend on the atrous rate: ``python -m tools.weights.train_atrous OUT START VOC [--unlabelled FOLDER ...]``.

Both begin at their weights in START, a folder of ``tools.weights.average``, where the 1x1 branch of the ASPP has the whole answer, and hand shares of it over
to the atrous branches (``segmodels.training.handover``). The backbone stays as it is, so its features of a fixed set of
crops are computed once. OUT gets both weights files, and ``compact.log.json`` with a word about it.
"""

import argparse
import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from segmodels.checkpoints.files import save_state
from segmodels.kernels import malloc
from segmodels.kernels.precision import best_precision, optimise
from segmodels.models import registry
from segmodels.models.base import SegmentationNetwork
from segmodels.models.deeplab import DeepLabV3Decoder
from segmodels.models.heads import ASPP
from segmodels.training.data import Batches, SegmentationFolder, TrainingCrops, class_presence, sampling_weights
from segmodels.training.handover import hand_over, hint_loss, rareness
from segmodels.training.loss import distillation_loss
from segmodels.training.recipe import Recipe
from segmodels.training.run import learning_rate_factor
from segmodels.training.start import normaliser
from segmodels.training.together import Unlabelled

from .command_line import typed
from .train_zoo import PUBLIC, photos_by_folder, public_network, trained

NAMES = ("deeplabv3_mobilenetv2", "deeplabv3plus_mobilenetv2")
RECIPE = Recipe(decoder_rate=1e-3, warmup=50, ema_decay=0.985, weight_decay=0.0, backbone_rate=0.0)


class Handover:
    """One network on its way: its pyramid as it was, as it is, and averaged over the last steps."""

    def __init__(self, network: SegmentationNetwork, share: float) -> None:
        self.network = network
        self.aspp = cast(ASPP, self.network.decoder.aspp)
        self.before = copy.deepcopy(self.aspp)
        self.optimizer = torch.optim.Adam(hand_over(self.aspp, share), RECIPE.decoder_rate)
        self.averaged = AveragedModel(self.aspp, multi_avg_fn=get_ema_multi_avg_fn(RECIPE.ema_decay))
        self.losses: list[float] = []

    def step(self, features: Tensor, classifier: nn.Module, counts: Tensor, factor: float) -> None:
        """Come nearer to what the pyramid gave before, and to the classes that ``classifier`` reads in it.

        ``counts``, (classes,), says how much a cell of each class does.
        """
        with torch.no_grad():
            target = self.before(features)
            taught = classifier(target)
        weight = counts[taught.argmax(1)]
        maps = self.aspp(features)
        loss = hint_loss(maps, target, weight[:, None]) + distillation_loss(classifier(maps), taught, weight)
        for group in self.optimizer.param_groups:
            group["lr"] = RECIPE.decoder_rate * factor
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.averaged.update_parameters(self.aspp)
        self.losses.append(loss.item())


@torch.no_grad()
def features_of(network: SegmentationNetwork, folders: Sequence[SegmentationFolder], count: int) -> Tensor:
    """(count, C, h, w) float16: the backbone's last map of crops, those with thin classes drawn more often.

    The network is made ready to run, and cannot learn any more.
    """
    presence = class_presence(folders, len(registry.card(NAMES[0]).classes))
    batches = Batches(sampling_weights(presence, RECIPE.most_often), RECIPE.batch, 1, RECIPE.seed)
    batches.per_epoch = count // RECIPE.batch
    crops = DataLoader(TrainingCrops(folders, RECIPE.crop, RECIPE.smallest_window), batch_sampler=batches)
    normalise, device = normaliser(registry.card(NAMES[0])), torch.device("cpu")
    precision = best_precision(device)
    network = optimise(network, device, precision)
    dtype = getattr(torch, precision)
    maps = []
    for photos, _ in tqdm(crops, desc="features", unit="batch", mininterval=10):
        x = normalise(photos).contiguous(memory_format=torch.channels_last).to(dtype)
        maps.append(network.encode(x)[-1].half())
    return torch.cat(maps)


def learn(handovers: Sequence[Handover], features: Tensor, steps: int) -> None:
    """All hand over on the same crops, half of them mirrored."""
    decoder = cast(DeepLabV3Decoder, public_network().decoder)
    with torch.no_grad():
        seen = torch.cat([decoder([some.float()]).argmax(1) for some in features.split(RECIPE.batch)])
    counts = rareness(seen, decoder.classifier.out_channels)
    generator = torch.Generator().manual_seed(RECIPE.seed)
    order = torch.cat([torch.randperm(len(features), generator=generator) for _ in range(steps)])
    for step in tqdm(range(steps), desc="steps", mininterval=10):
        chosen = features[order[step * RECIPE.batch : (step + 1) * RECIPE.batch]].float()
        if torch.rand(1, generator=generator) < 0.5:
            chosen = chosen.flip(3)
        chosen = chosen.contiguous(memory_format=torch.channels_last)
        for handover in handovers:
            handover.step(chosen, decoder.classifier, counts, learning_rate_factor(step, steps, RECIPE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("start", type=Path, help="folder of the weights to begin at, and of compact.log.json")
    parser.add_argument("voc", type=Path)
    parser.add_argument("--unlabelled", type=Path, nargs="*", default=[], help="more folders of photos")
    parser.add_argument(
        "--share", type=float, nargs=2, default=(0.85, 0.65), help="of the 1x1 branch's say, in v3 and v3+"
    )
    parser.add_argument("--crops", type=int, default=6400)
    parser.add_argument("--steps", type=int, default=1800)
    arguments = parser.parse_args()
    malloc.keep_freed_memory()
    folders = [
        SegmentationFolder(arguments.voc, "train"),
        *(Unlabelled(each, "train") for each in arguments.unlabelled),
    ]
    begun = {name: trained(name, arguments.start).to(memory_format=torch.channels_last) for name in NAMES}
    handovers = {name: Handover(begun[name], share) for name, share in zip(NAMES, arguments.share, strict=True)}
    features = features_of(trained(NAMES[0], arguments.start), folders, arguments.crops)
    learn(list(handovers.values()), features, arguments.steps)
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = json.loads((arguments.start / "compact.log.json").read_text(encoding="utf-8"))
    data = photos_by_folder(folders)
    for name, handover in handovers.items():
        handover.aspp.load_state_dict(handover.averaged.module.state_dict())
        record = registry.card(name).metadata(PUBLIC, {**log["runs"][0]["data"], **data})
        save_state(handover.network, arguments.out / f"{name}.safetensors", record=record)
    log["handed_over"] = {
        "command": typed("train_atrous"),
        "networks": NAMES,
        "crops": RECIPE.batch * arguments.steps,
        "data": data,
        "losses": {name: [round(loss, 4) for loss in each.losses[::25]] for name, each in handovers.items()},
    }
    (arguments.out / "compact.log.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
