"""Average the weights of training runs: ``python -m tools.weights.average OUT 0.3=RUN 0.3=OTHER 0.4=RUN/beginning``.

The folders are those of ``tools.weights.train_zoo``. Runs that began with the same weights lie in one valley of the loss, and a
point between them is better on photos of another kind than any of them (Wortsman et al. 2022: arXiv 2109.01903 and
2203.05482). ``--held NAME=F`` takes the decoder of one network only F of the way from the last folder to that point: what
a decoder can take without losing what it began with differs, and only the backbone has to be the same. OUT gets the four networks' files and ``compact.log.json``, what the runs say of themselves.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from segmodels.checkpoints.files import load_state, read_state, save_state
from segmodels.models import registry

from .command_line import typed
from .train_zoo import PUBLIC


def average(files: dict[Path, float]) -> dict[str, Tensor]:
    """The weighted mean of the floating-point weights in ``files``; the rest is the first one's."""
    states = [read_state(file) for file in files]
    shares = torch.tensor(list(files.values()))
    return {
        name: torch.tensordot(shares, torch.stack([state[name].float() for state in states]), 1)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[0].items()
    }


def held_back(shares: dict[Path, float], part: float) -> dict[Path, float]:
    """``part`` of all shares but the last, which gets the rest."""
    *learned, last = shares
    kept = {folder: part * shares[folder] for folder in learned}
    return kept | {last: 1 - sum(kept.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("parts", nargs="+", metavar="SHARE=FOLDER")
    parser.add_argument("--held", nargs="+", default=[], metavar="NAME=F")
    parser.add_argument("--note", default="", help="what else is to be said on the cards")
    arguments = parser.parse_args()
    parts = {Path(folder): float(share) for share, _, folder in (part.partition("=") for part in arguments.parts)}
    if abs(sum(parts.values()) - 1) > 1e-6:
        parser.error(f"the shares add up to {sum(parts.values()):g}, not to 1")
    arguments.out.mkdir(parents=True, exist_ok=True)
    runs = [json.loads((folder / "log.json").read_text()) for folder in parts if (folder / "log.json").is_file()]
    data = {name: count for run in runs for name, count in run["data"].items()}
    held = {name: float(part) for name, _, part in (each.partition("=") for each in arguments.held)}
    for name in registry.COMPACT:
        network = registry.build(name)
        backbone, decoder = (
            average({folder / f"{name}.safetensors": share for folder, share in shares.items()})
            for shares in (parts, held_back(parts, held.get(name, 1.0)))
        )
        load_state(network, decoder | {key: tensor for key, tensor in backbone.items() if key.startswith("backbone.")})
        save_state(network, arguments.out / f"{name}.safetensors", record=registry.card(name).metadata(PUBLIC, data))
    shares = ", ".join(f"{share:.0%} of {folder.name}" for folder, share in parts.items())
    log = {
        "command": typed("average"),
        "note": f"All four networks of the compact zoo learned in the same runs, on one backbone; averaged: {shares}{', the decoders held back: ' if held else ''}{', '.join(f'{part:g} of the way for {name}' for name, part in held.items())}. "
        + arguments.note,
        "runs": runs,
    }
    (arguments.out / "compact.log.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
