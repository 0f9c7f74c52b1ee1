"""What several commands ask for: which network, on which device, at which settings."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch

from ..inference.loading import load, resolve_name
from ..inference.segmenter import Segmenter
from ..inference.settings import check_settings
from ..kernels.precision import PRECISIONS
from ..models import registry

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["Parser"]
    """The subcommands that each command adds itself to."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and exits with status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


RateStrideSize = tuple[int | None, int | None, int | None]
"""Atrous rate, output stride and working size; None is what the network was trained at."""


def add_model(command: argparse.ArgumentParser) -> None:
    """The options of every command that runs a network on photos."""
    command.add_argument(
        "--model",
        default=registry.DEFAULT_MODEL,
        metavar="NAME",
        help="one of `segmodels list`, or a weights file written by `train` (default: %(default)s)",
    )
    command.add_argument("--weights", type=Path, metavar="FILE", help="other weights for it")
    command.add_argument("--atrous-rate", type=int, metavar="R", help="DeepLab: the ASPP looks at R, 2R and 3R")
    command.add_argument("--output-stride", type=int, metavar="S", help="DeepLab: 8, 16 or 32")
    command.add_argument("--working-size", type=int, metavar="PIXELS", help="longer side the network sees")
    command.add_argument(
        "--precision", choices=PRECISIONS, help="in place of what suits the machine; float16 on graphics cards"
    )
    command.add_argument(
        "--device", type=device, metavar="NAME", help="cpu, cuda, cuda:1 or mps, in place of the machine's best"
    )


def add_crf(command: argparse.ArgumentParser) -> None:
    """The option of every command that can run the fully connected CRF."""
    command.add_argument(
        "--crf", action="store_true", help="DeepLab's fully connected CRF: edges where the photo's colours change"
    )


def resolve_model(arguments: argparse.Namespace) -> None:
    """Where a weights file stands for its network, name both.

    Raises:
        ValueError: if the file does not say which network it is for.
        FileNotFoundError: if there is no such file.
    """
    arguments.model, arguments.weights = resolve_name(arguments.model, arguments.weights)


def load_segmenter(arguments: argparse.Namespace) -> tuple[Segmenter, RateStrideSize]:
    """The network and its settings, which are checked first: weights may have to be fetched."""
    settings = checked_settings(arguments)
    return load(arguments.model, arguments.weights, arguments.device, arguments.precision), settings


def checked_settings(arguments: argparse.Namespace) -> RateStrideSize:
    """The settings that were asked for.

    Raises:
        ValueError: if the network cannot have them, or there is no such network.
    """
    settings = (arguments.atrous_rate, arguments.output_stride, arguments.working_size)
    check_settings(registry.card(arguments.model), *settings)
    return settings


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def device(text: str) -> str:
    """A device that this machine has, for argparse."""
    kind, _, index = text.partition(":")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind not in counts or not (index or "0").isdecimal():
        raise argparse.ArgumentTypeError(f"a device is cpu, cuda, cuda:1 or mps, not {text!r}")
    if int(index or "0") >= counts[kind]:
        raise argparse.ArgumentTypeError(f"this machine has no {text}")
    return text
