"""Check atrous rate, output stride and working size: for Python, the command line and the page alike."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..models.backbones import OUTPUT_STRIDES
from ..models.registry import Card

LARGEST_ATROUS_RATE = 64
"""Beyond this every outer tap of every branch is off the map of the compact zoo at its working size, 65 cells long at
output stride 8: its networks no longer change."""

WORKING_SIZES = (64, 2048)
"""The least and the largest working size, in pixels of the longer side."""


@dataclass(frozen=True)
class Settings:
    """The complete settings that a network runs at."""

    atrous_rate: int | None
    """None for a network without an ASPP."""
    output_stride: int
    """The backbone's, also where there is but one."""
    working_size: int | None
    """The longer side in pixels; None for what the card says, which may be a shorter side instead."""


def check_settings(
    card: Card, atrous_rate: Any = None, output_stride: Any = None, working_size: Any = None
) -> Settings:
    """Return the settings that a network runs at if these are asked for. None stands for the network's own.

    If only the stride is given, the rate is the one that keeps the trained field of view.

    Args:
        card: the network's card.
        atrous_rate: the rate of the ASPP's first branch, from 1 to 64.
        output_stride: 8, 16 or 32.
        working_size: the longer side at which the network sees the photo, in pixels, from 64 to 2048.

    Raises:
        ValueError: if the network does not have this setting, or it is out of range.
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
    """Return the atrous rate at ``output_stride`` that covers the same part of the photo as the trained rate at the
    trained stride.

    Args:
        card: the network's card.
        output_stride: 8, 16 or 32.

    Returns:
        The rate, at least 1; None for a network without an ASPP.
    """
    if card.atrous_rate is None:
        return None
    return max(card.atrous_rate * card.output_stride // output_stride, 1)


def check_integer(name: str, value: Any, least: int, most: int) -> int:
    """Return a whole number, which may arrive as a float, as numbers in JSON do.

    Args:
        name: what the number is, for the message.
        value: the number.
        least: the smallest allowed value.
        most: the largest allowed value.

    Raises:
        ValueError: for anything else, or a number out of range.
    """
    number = isinstance(value, int | float | np.integer) and not isinstance(value, bool)
    if not number or not least <= value <= most or value != int(value):
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {str(value)[:40]!r}")
    return int(value)


def check_choice(name: str, value: Any, choices: tuple[int, ...]) -> int:
    """Return ``value`` if it is one of ``choices``.

    Args:
        name: what the number is, for the message.
        value: the number.
        choices: the allowed values.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer) or value not in choices:
        *first, last = map(str, choices)
        raise ValueError(f"{name} must be {', '.join(first)} or {last}, not {str(value)[:40]!r}")
    return int(value)
