"""What each process of a team runs: ``torchrun -m tests.training.train_together DATA OUT``."""

import sys
from dataclasses import replace
from pathlib import Path

from torch import nn

from segmodels.models import pretrained, registry
from segmodels.models.fcn import FCN, fcn_mobilenetv2, skip_scores
from segmodels.training import run
from segmodels.training.data import SegmentationFolder
from segmodels.training.recipe import Recipe
from segmodels.training.train import train

RECIPE = Recipe(epochs=2, batch=4, crop=64, warmup=2, lovasz_weight=0)


def without_dropout(num_classes: int) -> FCN:
    """An FCN in which nothing is drawn at random, so that a team of two can be compared with one."""
    network = fcn_mobilenetv2(num_classes)
    channels = {"16": 96, "8": 32}  # 1x1 skips: before a batch norm Adam makes much of gradients that are all but zero
    network.decoder.skip_scores = nn.ModuleDict({name: skip_scores(n, num_classes) for name, n in channels.items()})
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0
    return network


def main(data: Path, out: Path) -> None:
    """Train on ``data`` and write ``out``, from the same random weights in every process, in float32 on any machine."""
    pretrained._start_from_imagenet = lambda *parts: "random"
    vars(run)["training_precision"] = lambda device: "float32"  # bfloat16 rounds a batch and its halves differently
    card = replace(registry.card("fcn_mobilenetv2"), builder=without_dropout)
    train(card, [SegmentationFolder(data, "train")], out, RECIPE, workers=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
