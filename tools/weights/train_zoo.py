"""Train the decoders of the compact zoo: ``python -m tools.weights.train_zoo OUT VOC [--unlabelled FOLDER ...] [--only NAME ...]``.

All stand on the public network's backbone, which stays as it is. So its maps of every photo are computed once and kept in
OUT/features; after that a decoder takes minutes. OUT gets a weights file and a log of each network.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from segmodels import load
from segmodels.checkpoints.files import load_state, read_state, save_state
from segmodels.checkpoints.metadata import backbone_hash
from segmodels.kernels import malloc
from segmodels.models import registry
from segmodels.models.base import SegmentationNetwork, configure
from segmodels.models.card import Card
from segmodels.training.cached_features import CachedFeatures, cache_features
from segmodels.training.data import SegmentationFolder
from segmodels.training.decoders import DecoderRecipe, begin, take_pyramid, train_decoder
from segmodels.training.results import plot

from .command_line import typed

PUBLIC = "deeplabv3_mobilenetv2_google"
PYRAMID, PLUS = "deeplabv3_mobilenetv2", "deeplabv3plus_mobilenetv2"
"""The second has the ASPP of the first, so that the two differ in their decoders alone."""
RECIPES = {
    "fcn_mobilenetv2": DecoderRecipe(steps=1500, seed=1),
    "unet_mobilenetv2": DecoderRecipe(steps=1800, batch=6, edge_weight=5.0, seed=2),
    "deeplabv3_mobilenetv2": DecoderRecipe(steps=1500, weight_decay=0.3, seed=3),
    "deeplabv3plus_mobilenetv2": DecoderRecipe(steps=1000, edge_weight=8.0, moved=4, seed=4),
}
LOGGED_STEPS = 50
"""The log has the mean loss of so many steps."""
LABELLED_SIDE, UNLABELLED_SIDE = 513, 385
"""The longer side of the photos, in pixels: those without labels are smaller."""


def cached(out: Path, voc: Path, unlabelled: Sequence[Path], output_stride: int = 16) -> list[CachedFeatures]:
    """Return the maps of all photos at ``output_stride``, after computing those that are not there yet."""
    sources = [(voc, LABELLED_SIDE, True), *((folder, UNLABELLED_SIDE, False) for folder in unlabelled)]
    found = []
    for seed, (folder, side, labelled) in enumerate(sources, start=1):
        path = out / "features" / f"{folder.name}_stride{output_stride}"
        if not path.with_suffix(".json").is_file():
            photos = SegmentationFolder(folder, "train")
            cache_features(load(PUBLIC, precision="float32"), photos, path, side, output_stride, labelled, seed)
        found.append(CachedFeatures(path))
    return found


def public_network() -> SegmentationNetwork:
    """Return Google's network, to begin with and to be taught by."""
    network = registry.build(PUBLIC)
    load_state(network, read_state(registry.WEIGHTS / f"{PUBLIC}.safetensors"))
    return network.eval().requires_grad_(False)


def train(
    card: Card, sources: Sequence[CachedFeatures], recipe: DecoderRecipe, file: Path, start: Path | None = None
) -> dict[str, Any]:
    """Train the decoder of ``card`` at its rate and stride, write ``file`` and return its log.

    Args:
        card: the network.
        sources: features at its output stride, or at half of it.
        recipe: the settings.
        file: where the weights go; the decoder alone if it has a ``start``.
        start: weights of this network that the decoder goes on from; random ones if None.
    """
    torch.manual_seed(recipe.seed)
    network = card.builder(len(card.classes))
    if start is not None:
        load_state(network, read_state(start))
    begin(network, public_network())
    if card.name == PLUS:
        other = registry.build(PYRAMID)
        load_state(other, read_state(file.with_name(f"{PYRAMID}.safetensors")))
        take_pyramid(network, other)
    configure(network, card.atrous_rate, card.output_stride)
    losses = train_decoder(network, sources, recipe, len(card.classes))
    data = {source.name: len(source.entries) for source in sources}
    part, backbone = ("", None) if start is None else ("decoder.", backbone_hash(network.state_dict()))
    save_state(network, file, part, card.metadata(PUBLIC if start is None else start.stem, data, backbone))
    return {
        "model": card.name,
        "start": PUBLIC if start is None else start.stem,
        "data": data,
        "steps": recipe.steps,
        "recipe": asdict(recipe) | {"atrous_rate": card.atrous_rate, "output_stride": card.output_stride},
        "losses": [round(fmean(losses[at : at + LOGGED_STEPS]), 4) for at in range(0, len(losses), LOGGED_STEPS)],
    }


def write_log(file: Path, log: dict[str, Any]) -> None:
    """Write ``log`` beside the weights ``file``, and a plot of its losses."""
    file.with_suffix(".log.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    history = [{"step": LOGGED_STEPS * (at + 1), "loss": loss} for at, loss in enumerate(log["losses"])]
    plot(history, log["model"]).savefig(file.with_suffix(".png"))


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return what this process is asked for, with the data that all training tools take."""
    parser.add_argument("out", type=Path)
    parser.add_argument("voc", type=Path)
    parser.add_argument("--unlabelled", type=Path, nargs="*", default=[], help="folders whose labels do not count")
    parser.add_argument("--steps", type=int, help="in place of the recipe's")
    return parser.parse_args()


def main() -> None:
    """Train every network that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    arguments = arguments_of(parser)
    malloc.keep_freed_memory()
    sources = cached(arguments.out, arguments.voc, arguments.unlabelled)
    for name in arguments.only:
        recipe = RECIPES[name] if arguments.steps is None else replace(RECIPES[name], steps=arguments.steps)
        file = arguments.out / f"{name}.safetensors"
        write_log(file, train(registry.card(name), sources, recipe, file) | {"command": typed("train_zoo")})


if __name__ == "__main__":
    main()
