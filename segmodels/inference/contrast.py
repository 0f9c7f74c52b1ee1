"""The contrast of a microscope's picture: stretched so that the network sees every picture alike.

A camera of 16 bits may use a hundredth of its range, and the exposure differs from picture to picture. So black becomes
the picture's own dark end and white its bright end.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .reading.display_range import NOTHING_VALID, usual_no_data, valid_values

PERCENTILES = (1.0, 99.8)
"""The ends of a picture's range. Single hot pixels lie above the upper one; a few small cells still lie below it."""

SAMPLED_VALUES = 4_000_000
"""Of a larger picture, every so many rows and columns are looked at."""

Range = tuple[float, float]


def contrast_range(pixels: NDArray[np.generic]) -> Range:
    """Return the values of ``pixels``, (H, W) or (H, W, 3), that become black and white; the same for all channels.

    As with photos, what is infinite or no number is left out, and so is what stands for "no data".

    Raises:
        ValueError: if no value is left.
    """
    step = max(int(np.ceil(np.sqrt(pixels.size / SAMPLED_VALUES))), 1)
    sample = pixels[::step, ::step]
    valid = valid_values(sample.reshape(-1), usual_no_data(sample))
    if not valid.size:
        raise ValueError(NOTHING_VALID)
    low, high = np.percentile(valid.astype(np.float32), PERCENTILES)
    return float(low), float(high)


def stretch_contrast(pixels: Tensor, limits: Range) -> Tensor:
    """Return ``pixels`` as float32 from 0 to 255: 0 where they are ``limits[0]`` or less, 255 at ``limits[1]`` or more.

    A picture of a single value becomes black, and so does what is no number.
    """
    low, high = limits
    if pixels.is_floating_point():
        pixels = pixels.nan_to_num(low)  # infinite ones become the largest there are
    return ((pixels.to(torch.float32) - low) * (255 / max(high - low, 1e-6))).clamp_(0, 255)
