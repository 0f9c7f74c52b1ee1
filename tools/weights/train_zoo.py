"""Train the compact zoo: ``python -m tools.weights.train_zoo VOC OUT [--unlabelled FOLDER ...] [--resume]``.

Needs ``deeplabv3_mobilenetv2_google.safetensors`` among the bundled weights: all four decoders begin where it stands
(``segmodels.training.beginning``), learn together on one backbone, and are held to its soft scores on the way. OUT is a
folder for the checkpoint, the log and the four networks' files; ``OUT/beginning`` holds them as they were before the first
step. ``python -m tools.weights.average`` makes the bundled weights of such folders.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from segmodels.checkpoints.files import load_state, read_state, save_state
from segmodels.kernels import malloc
from segmodels.models import registry
from segmodels.models.base import SegmentationNetwork
from segmodels.training.beginning import begin_at
from segmodels.training.data import SegmentationFolder
from segmodels.training.process_group import joined_team
from segmodels.training.recipe import Recipe
from segmodels.training.run import Run
from segmodels.training.start import normaliser, prepare
from segmodels.training.together import Together, Unlabelled, apart, freeze_norms, photos_to_calibrate_by

from .command_line import typed

PUBLIC = "deeplabv3_mobilenetv2_google"
RECIPE = Recipe(
    epochs=1,
    backbone_rate=1e-5,
    decoder_rate=3e-4,
    most_often=2.0,
    label_smoothing=0.0,
    lovasz_weight=0.0,
    teacher_weight=1.0,
    trusted=1,
    warmup=50,
)
SAVE_STEPS = 50


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What ``arguments`` ask for, or this process's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("voc", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--unlabelled", type=Path, nargs="*", default=[], help="folders of photos that the teacher labels"
    )
    parser.add_argument("--every", type=int, default=3, help="of those photos, take one in so many")
    parser.add_argument("--stop", type=int, help="at this step, before the schedule's end")
    parser.add_argument("--set", action="append", default=[], help="a setting of the recipe, such as epochs=1")
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args(arguments)


def main() -> None:
    """Train from the beginning, or go on."""
    options = options_of()
    malloc.keep_freed_memory()
    chosen = asdict(Recipe.of(options.set))
    recipe = replace(RECIPE, **{name: chosen[name] for name in (each.partition("=")[0] for each in options.set)})
    options.out.mkdir(parents=True, exist_ok=True)
    voc = SegmentationFolder(options.voc, "train")
    folders = [voc, *(Unlabelled(folder, "train", options.every) for folder in options.unlabelled)]
    data = photos_by_folder(folders)
    network = begun(voc, recipe)
    write(network.state_dict(), options.out / "beginning", data)
    with joined_team() as team:
        card = registry.card(registry.COMPACT[0])
        run = Run(network, folders, recipe, len(card.classes), normaliser(card), team, public_network())
        checkpoint = options.out / "zoo.checkpoint.pt"
        if options.resume and checkpoint.exists():
            run.load(checkpoint)
        for photos, labels in tqdm(run.batches(0), total=run.steps, initial=run.step, mininterval=10):
            run.train_step(photos, labels)
            if run.step % SAVE_STEPS == 0:
                run.save(checkpoint)
            if run.step == options.stop:
                break
        run.save(checkpoint)
    write(run.averaged.module.state_dict(), options.out, data)
    log = {
        "command": typed("train_zoo"),
        "start": PUBLIC,
        "data": data,
        "steps": run.step,
        "recipe": asdict(recipe),
        "losses": [round(float(np.mean(run.losses[at : at + 50])), 4) for at in range(0, run.step, 50)],
    }
    (options.out / "log.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")


def public_network() -> SegmentationNetwork:
    """Google's network, to begin at and to be taught by."""
    return trained(PUBLIC, registry.WEIGHTS)


def begun(voc: SegmentationFolder, recipe: Recipe) -> Together:
    """The four networks at their beginning, ready to train."""
    torch.manual_seed(recipe.seed)
    networks = {name: registry.build(name) for name in registry.COMPACT}
    photos = photos_to_calibrate_by(voc, registry.card(PUBLIC))
    for network in networks.values():
        begin_at(network, public_network(), photos)
    together = Together(networks)
    prepare(together, registry.card(registry.COMPACT[0]), recipe)
    freeze_norms(together)
    return together


def photos_by_folder(folders: Sequence[SegmentationFolder]) -> dict[str, int]:
    """How many photos of each folder a run is given."""
    return {folder.name: len(folder) for folder in folders}


def trained(name: str, folder: Path) -> SegmentationNetwork:
    """A network with its weights as they are in ``folder``, frozen."""
    network = registry.build(name)
    load_state(network, read_state(folder / f"{name}.safetensors"))
    return network.eval().requires_grad_(False)


def write(state: Mapping[str, Tensor], out: Path, data: Mapping[str, int]) -> None:
    """Each network's file, in half precision."""
    out.mkdir(parents=True, exist_ok=True)
    for name in registry.COMPACT:
        network = registry.build(name)
        load_state(network, apart(state, name))
        save_state(network, out / f"{name}.safetensors", record=registry.card(name).metadata(PUBLIC, data))


if __name__ == "__main__":
    main()
