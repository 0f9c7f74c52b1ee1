"""Which values of a picture are shown as black and as white, where it has more than eight bits a channel.

A 12-bit camera fills a sixteenth of the range of its 16-bit files, a microscope often less, and numbers with a decimal
point have no range at all. So the range of the type says little. One rule holds for the page, the command line,
training and export: the display range that the file itself gives; else robust percentiles of its valid values.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bounds import PhotoError

PERCENTILES = (0.2, 99.8)
"""One hot pixel, or five hundred in a megapixel, does not decide what is white. The upper one is StarDist's and CSBDeep's."""

NOTHING_VALID = "This picture holds no valid value: each is infinite or no number."

_SAMPLE = 2**22  # values that the percentiles of a larger picture are taken from, evenly spread
_NO_DATA = (-9999.0, -99999.0, -32767.0, -32768.0, float(np.finfo(np.float32).min))
_ROWS = 256


@dataclass(frozen=True)
class DisplayRange:
    """The values that are shown as black and as white."""

    low: float
    high: float
    source: str
    """Why these: a clause."""

    def __str__(self) -> str:
        return f"values {_number(self.low)} to {_number(self.high)} shown as black to white ({self.source})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"


def eight_bit(
    values: NDArray[Any], own: tuple[float, float] | None = None, no_data: float | None = None, inverted: bool = False
) -> tuple[NDArray[np.uint8], list[str]]:
    """Values of any real type as 0 to 255, and what was done to that end.

    Args:
        values: (H, W) grey or (H, W, C) colours, which share one range.
        own: the display range that the file gives.
        no_data: the value that stands for "nothing was measured here" in the file. Pixels with it are black.
        inverted: whether the file shows small values as white.

    Returns:
        An array of the shape of ``values``, and notes.

    Raises:
        PhotoError: if every value is infinite or no number.
    """
    own = own if own is not None and np.isfinite(own).all() and own[0] < own[1] else None
    if own is None and (values.dtype in (np.uint8, np.bool_) or _is_widened(values)):
        shown = values.astype(np.uint8) if values.dtype != np.uint16 else (values >> 8).astype(np.uint8)
        return (255 - shown if inverted else shown), []
    lost = np.count_nonzero(~np.isfinite(values)) if values.dtype.kind == "f" else 0
    if lost == values.size:
        raise PhotoError(NOTHING_VALID)
    if no_data is None:
        no_data = usual_no_data(values)
    chosen = DisplayRange(*own, "the file's own display range") if own else robust_range(values, no_data)
    shown = _scaled(values, chosen, inverted)
    notes = [str(chosen)]
    if lost:
        notes.append(f"{lost:,} of {values.size:,} values are infinite or no number")
    if no_data is not None:
        missing = values == values.dtype.type(no_data) if _fits(no_data, values.dtype) else np.zeros(1, dtype=bool)
        if missing.any():
            shown[missing] = 0
            notes.append("areas without data shown as black")
    return shown, notes


def robust_range(values: NDArray[Any], no_data: float | None = None) -> DisplayRange:
    """The range between two ``PERCENTILES`` of the values that are finite and not ``no_data``.

    Where these are one value, as in a picture that is empty but for a few spots, it is that of all values.
    """
    flat = values.reshape(-1)
    valid = valid_values(flat[:: max(flat.size // _SAMPLE, 1)], no_data)
    if not valid.size:
        valid = valid_values(flat, no_data)
    if not valid.size:
        return DisplayRange(0.0, 1.0, "there is no valid value")
    low, high = (float(value) for value in np.percentile(valid.astype(np.float64), PERCENTILES))
    if low < high:
        return DisplayRange(low, high, f"from the {PERCENTILES[0]:g}th to the {PERCENTILES[1]:g}th percentile")
    valid = valid_values(flat, no_data)
    low, high = float(valid.min()), float(valid.max())
    return DisplayRange(low, high if high > low else low + 1, "all of its values")


def valid_values(flat: NDArray[Any], no_data: float | None) -> NDArray[Any]:
    """Return those of (N,) values that are finite and not ``no_data``."""
    valid = flat if flat.dtype.kind in "iu" else flat[np.isfinite(flat)]
    if no_data is not None and _fits(no_data, flat.dtype):
        valid = valid[valid != flat.dtype.type(no_data)]
    return valid


def _fits(value: float, dtype: np.dtype[Any]) -> bool:
    """Whether a pixel of ``dtype`` can have the value."""
    if dtype.kind == "f":
        return True
    if dtype.kind not in "iu" or not float(value).is_integer():
        return False
    limits = np.iinfo(dtype)
    return limits.min <= value <= limits.max


def usual_no_data(values: NDArray[Any]) -> float | None:
    """Return the smallest value, if it is one that maps use for "no data" and lies far below all others; else None."""
    if values.dtype.kind not in "if":
        return None
    largest = np.inf if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    least = values.min(where=np.isfinite(values), initial=largest)
    if float(least) not in _NO_DATA:
        return None
    others = values.min(where=np.isfinite(values) & (values > least), initial=largest)
    return float(least) if others > float(least) / 10 else None


def _is_widened(values: NDArray[Any]) -> bool:
    """Whether 16-bit values are eight bits in other clothes: each byte twice, or with zeros below."""
    if values.dtype != np.uint16:
        return False
    some = values.reshape(-1)[:: max(values.size // 4096, 1)]
    return any(not (some % factor).any() and not (values % factor).any() for factor in (257, 256))


def _scaled(values: NDArray[Any], chosen: DisplayRange, inverted: bool) -> NDArray[np.uint8]:
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        limits = np.iinfo(values.dtype)
        table = _linear(np.arange(limits.min, limits.max + 1), chosen, inverted)
        return table[values.astype(np.int64) - limits.min] if limits.min else table[values]
    shown = np.empty(values.shape, dtype=np.uint8)
    for top in range(0, len(values), _ROWS):  # in float64, so not all at once
        shown[top : top + _ROWS] = _linear(values[top : top + _ROWS], chosen, inverted)
    return shown


def _linear(values: NDArray[Any], chosen: DisplayRange, inverted: bool) -> NDArray[np.uint8]:
    wide = np.nan_to_num(values.astype(np.float64), nan=chosen.low, posinf=chosen.high, neginf=chosen.low)
    share = (wide.clip(chosen.low, chosen.high) - chosen.low) / (chosen.high - chosen.low)
    return np.rint(255 * (1 - share if inverted else share)).astype(np.uint8)
