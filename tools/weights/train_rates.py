"""Fit DeepLab v3's decoder to other rates: ``python -m tools.weights.train_rates OUT VOC [--unlabelled FOLDER ...]``.

OUT is the folder of ``tools.weights.train_zoo``. Each decoder begins with the network's own, which was trained at rate 6 and
stride 16, and goes on learning at its own setting, by the same recipe, for a few more steps. Score them afterwards
with ``python -m tools.weights.rates VOC``.
"""

import argparse
from dataclasses import replace

from segmodels.kernels import malloc
from segmodels.models import registry
from segmodels.training import rates

from .command_line import typed
from .train_zoo import RECIPES, arguments_of, cached, train, write_log

STEPS = 120


def main() -> None:
    """Train and write all decoders but the network's own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="RATE/STRIDE", help="train these alone, such as 12/16")
    arguments = arguments_of(parser)
    malloc.keep_freed_memory()
    card = registry.card(rates.NETWORK)
    recipe = replace(RECIPES[rates.NETWORK], steps=arguments.steps or STEPS, learning_rate=1e-3)
    for rate, stride in rates.FITTED:
        if (rate, stride) == rates.HOME or (arguments.only and f"{rate}/{stride}" not in arguments.only):
            continue
        sources = cached(arguments.out, arguments.voc, arguments.unlabelled, stride)
        file = arguments.out / rates.weights_file(rate, stride).name
        start = arguments.out / f"{rates.NETWORK}.safetensors"
        log = train(replace(card, atrous_rate=rate, output_stride=stride), sources, recipe, file, start)
        write_log(file, log | {"command": typed("train_rates")})


if __name__ == "__main__":
    main()
