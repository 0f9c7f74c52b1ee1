"""The numbers of the fully connected CRF, by the papers' names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

REFERENCE_SIDE = 513
"""Lengths of the CRF are in pixels of a photo whose longer side this is, so that they mean the same at any size."""

MOST_ITERATIONS = 50


@dataclass(frozen=True)
class CRF:
    """The parameters of the pairwise energy and of mean field (arXiv 1210.5644, equation 3; 1606.00915, equation 3).

    Two pixels with different classes pay ``w1 * exp(-d² / 2 theta_alpha² - c² / 2 theta_beta²) + w2 * exp(-d² / 2 theta_gamma²)``,
    where d is their distance in the photo and c that of their colours.

    Raises:
        ValueError: with a sentence, for a number that cannot be.
    """

    w1: float = 4.0
    """Weight of the bilateral kernel: pixels that are near and alike in colour."""
    theta_alpha: float = 60.0
    """How near, in pixels of a photo whose longer side is ``REFERENCE_SIDE``."""
    theta_beta: float = 6.0
    """How alike, in levels of 0 to 255 of red, green and blue."""
    w2: float = 3.0
    """Weight of the smoothness kernel: pixels that are near. It takes away small islands."""
    theta_gamma: float = 3.0
    """How near, in the same pixels."""
    iterations: int = 3
    """Updates of all pixels' probabilities; 0 leaves the network's answer as it is."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("w1", 0, 100),
            ("theta_alpha", 1, 1000),
            ("theta_beta", 1, 1000),
            ("w2", 0, 100),
            ("theta_gamma", 0.5, 100),
        ):
            object.__setattr__(self, name, _number(name, getattr(self, name), least, most))
        iterations = _number("iterations", self.iterations, 0, MOST_ITERATIONS)
        if iterations != int(iterations):
            raise ValueError(f"the CRF's iterations must be a whole number, not {iterations}")
        object.__setattr__(self, "iterations", int(iterations))


def _number(name: str, value: Any, least: float, most: float) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not least <= value <= most:
        raise ValueError(f"the CRF's {name} must be a number from {least:g} to {most:g}, not {str(value)[:40]!r}")
    return float(value)


def chosen_crf(crf: "CRF | Mapping[str, Any] | bool | None") -> CRF | None:
    """What ``crf=`` stands for: True is the usual CRF, False and None are none, a mapping has some parameters by name.

    Raises:
        ValueError: for anything else.
    """
    if crf is None or isinstance(crf, bool):
        return CRF() if crf else None
    if isinstance(crf, CRF):
        return crf
    if not isinstance(crf, Mapping):
        raise ValueError(f"crf is true, false or the CRF's parameters by name, not {str(crf)[:40]!r}")
    names = [field.name for field in fields(CRF)]
    for name in crf:
        if name not in names:
            raise ValueError(f"the CRF has no parameter {str(name)[:40]!r}; it has {', '.join(names)}")
    return CRF(**crf)
