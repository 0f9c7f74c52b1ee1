"""What a network can be asked to run at: the one place that checks it, for Python, the command line and the page."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..models.backbones import OUTPUT_STRIDES
from ..models.card import Card

LARGEST_ATROUS_RATE = 64
"""Beyond this every outer tap of every branch is off the map of the compact zoo at its working size, 65 cells long at
output stride 8: its networks no longer change."""

RATE_RANGE = (1, 24)
"""The atrous rates that sliders offer, on the page, in links and on exported pages; programs may ask for more."""

WORKING_SIZES = (64, 2048)
"""The least and the largest working size, in pixels of the longer side."""


@dataclass(frozen=True)
class Settings:
    """What a network runs at: nothing is left open that the network has."""

    atrous_rate: int | None
    """None for a network without an ASPP."""
    output_stride: int
    """The backbone's, also where there is but one."""
    working_size: int | None
    """The longer side in pixels; None for what the card says, which may be a shorter side instead."""


def check_settings(
    card: Card, atrous_rate: Any = None, output_stride: Any = None, working_size: Any = None
) -> Settings:
    """The settings that the network of ``card`` runs at if these are asked for; None stands for its own.

    Where no rate is given, it is the one that keeps the trained field of view at the stride.

    Raises:
        ValueError: with a sentence that says why, for a setting that the network cannot have.
    """
    if atrous_rate is not None and card.atrous_rate is None:
        raise ValueError(f"{card.name} has no atrous rate: it has no ASPP, so leave it out")
    if output_stride is not None and not card.chooses_stride:
        raise ValueError(
            f"{card.name} has no output stride to choose: it runs at {card.output_stride}, so leave it out"
        )
    stride = (
        card.output_stride
        if output_stride is None
        else check_choice("the output stride", output_stride, OUTPUT_STRIDES)
    )
    rate = equivalent_atrous_rate(card, stride)
    if atrous_rate is not None:
        rate = check_integer("the atrous rate", atrous_rate, 1, LARGEST_ATROUS_RATE)
    size = None if working_size is None else check_integer("the working size", working_size, *WORKING_SIZES)
    return Settings(rate, stride, size)


def equivalent_atrous_rate(card: Card, output_stride: int) -> int | None:
    """The atrous rate that covers, at ``output_stride``, the same field of the photo as the trained one did at its own."""
    if card.atrous_rate is None:
        return None
    return max(card.atrous_rate * card.output_stride // output_stride, 1)


def check_integer(name: str, value: Any, least: int, most: int) -> int:
    """A whole number that may have arrived as a float, as JSON's numbers do.

    Raises:
        ValueError: for anything else, or beyond ``least`` and ``most``.
    """
    number = isinstance(value, int | float | np.integer) and not isinstance(value, bool)
    if not number or not least <= value <= most or value != int(value):
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {quoted(value)}")
    return int(value)


def check_choice(name: str, value: Any, choices: tuple[int, ...]) -> int:
    """A whole number out of a few. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer) or value not in choices:
        *first, last = map(str, choices)
        raise ValueError(f"{name} must be {', '.join(first)} or {last}, not {quoted(value)}")
    return int(value)


def quoted(value: Any) -> str:
    """Return a short value as it stands, for a message, and of anything else what kind of thing it is."""
    plain = value is None or isinstance(value, str | int | float | np.number)
    return repr(str(value)[:40]) if plain else f"a {type(value).__name__}"
