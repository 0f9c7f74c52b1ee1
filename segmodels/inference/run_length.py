"""COCO's run-length codes of masks, as its API packs them into text."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Size = tuple[int, int]
"""(width, height) in pixels."""


def coco_rle(counts: Sequence[int] | str, size: Size) -> Mask:
    """Return the pixels of a run-length code of COCO's: runs go down the columns, the first of them is empty.

    Args:
        counts: the lengths, or the text that its API packs them into.
        size: (width, height).

    Raises:
        ValueError: if the runs do not fill the picture.
    """
    lengths = _unpacked(counts) if isinstance(counts, str) else [int(count) for count in counts]
    width, height = size
    if sum(lengths) != width * height or min(lengths, default=0) < 0:
        raise ValueError(f"a run-length code of {sum(lengths)} pixels is no shape in {width} x {height}")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def _unpacked(text: str) -> list[int]:
    """The lengths in COCO's text: five bits a character, from the third on as the difference from the one before last."""
    lengths: list[int] = []
    value = shift = 0
    for letter in text.encode("ascii"):
        code = letter - 48
        value |= (code & 0x1F) << shift
        shift += 5
        if not code & 0x20:
            if code & 0x10:
                value |= -1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    return lengths


def packed_rle(mask: Mask) -> dict[str, object]:
    """Return a mask as COCO's API packs it: ``{"size": [height, width], "counts": text}``."""
    flat = mask.T.reshape(-1)
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    lengths = np.diff(edges).tolist()
    if flat.size and flat[0]:
        lengths.insert(0, 0)
    letters = []
    for index, length in enumerate(lengths):
        value = length - (lengths[index - 2] if index > 2 else 0)
        more = True
        while more:
            code = value & 0x1F
            value >>= 5
            more = value != (-1 if code & 0x10 else 0)
            letters.append(chr((code | 0x20 if more else code) + 48))
    return {"size": list(mask.shape), "counts": "".join(letters)}
