"""Train DeepLab v3's decoder at other atrous rates: ``python -m tools.weights.train_rates VOC [--photos N]``.

The decoders of ``segmodels.training.rates`` start from random weights on the frozen backbone of the bundled network. Those
at one output stride learn side by side on the same features, so they see the same crops. Score them afterwards with
``python -m tools.weights.rates VOC``.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import cast

import torch
from torch import nn
from tqdm import tqdm

from segmodels.checkpoints.files import load_state, read_state, save_state
from segmodels.checkpoints.metadata import backbone_hash
from segmodels.kernels import malloc
from segmodels.models import registry
from segmodels.models.base import SegmentationNetwork
from segmodels.training import rates
from segmodels.training.data import SegmentationFolder
from segmodels.training.process_group import joined_team
from segmodels.training.recipe import Recipe
from segmodels.training.run import Run
from segmodels.training.start import normaliser, prepare
from segmodels.training.together import Together, apart

from .command_line import typed
from .train_zoo import photos_by_folder

RECIPE = Recipe(epochs=1, backbone_rate=0.0, lovasz_weight=0.0, most_often=2.0, warmup=30, ema_decay=0.98)


def untrained(settings: Sequence[tuple[int, int]]) -> Together:
    """A random decoder for each rate and stride, all on the bundled network's backbone."""
    bundled = read_state(registry.card(rates.NETWORK).weights_file())
    networks: dict[str, SegmentationNetwork] = {}
    for rate, stride in settings:
        torch.manual_seed(0)  # all alike
        network = registry.build(rates.NETWORK)
        load_state(network, {**network.state_dict(), **{k: v for k, v in bundled.items() if k.startswith("backbone.")}})
        networks[_name(rate, stride)] = network
        prepare(network, replace(registry.card(rates.NETWORK), atrous_rate=rate, output_stride=stride), RECIPE)
    together = Together(networks)
    cast(nn.Module, together.backbone).eval()
    return together


def _name(rate: int, stride: int) -> str:
    return f"rate{rate}_stride{stride}"


def train(settings: Sequence[tuple[int, int]], folder: SegmentationFolder) -> None:
    """Train the decoders for ``settings``, of one output stride, and write their files and logs."""
    network, card = untrained(settings), registry.card(rates.NETWORK)
    with joined_team() as team:
        run = Run(network, [folder], RECIPE, len(card.classes), normaliser(card), team)
        for photos, labels in tqdm(run.batches(0), total=run.steps, mininterval=10):
            run.train_step(photos, labels)
    for rate, stride in settings:
        own = registry.build(rates.NETWORK)
        load_state(own, apart(run.averaged.module.state_dict(), _name(rate, stride)))
        file = rates.weights_file(rate, stride)
        data = photos_by_folder([folder])
        as_trained = replace(card, atrous_rate=rate, output_stride=stride)
        record = as_trained.metadata(card.name, data, backbone_hash(own.state_dict()))
        save_state(own, file, "decoder.", record)
        log = {
            "model": card.name,
            "out": file.name,
            "start": card.name,
            "data": data,
            "recipe": asdict(RECIPE) | {"atrous_rate": rate, "output_stride": stride},
            "history": [{"step": run.step}],
            "command": typed("train_rates"),
        }
        file.with_suffix(".log.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("voc", type=Path)
    parser.add_argument("--photos", type=int, default=1000, help="of the train list, evenly")
    arguments = parser.parse_args()
    malloc.keep_freed_memory()
    folder = SegmentationFolder(arguments.voc, "train")
    folder.stems = folder.stems[:: max(len(folder) // arguments.photos, 1)]
    for _, group in groupby(sorted(rates.FITTED, key=lambda setting: -setting[1]), key=lambda setting: setting[1]):
        train(list(group), folder)


if __name__ == "__main__":
    main()
