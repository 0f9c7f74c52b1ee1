"""A hash table of whole numbers that is filled and asked with arrays."""

import numpy as np
from numpy.typing import NDArray

FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F)
"""Odd numbers of 64 bits for multiplicative hashing (Knuth, volume 3, section 6.4), one a level."""

SPARSE = 4
"""Slots for each key of a level, at least: few keys meet in one."""


class KeyTable:
    """Finds the places of keys in an array of different ones.

    Keys that meet in a slot of the first level, all but one, go to a second level with another hash, and so on.
    """

    def __init__(self, keys: NDArray[np.int64]) -> None:
        """``keys`` are all different and none is negative."""
        self._keys = np.append(keys, -1)
        self._missing = len(keys)
        self._levels: list[tuple[NDArray[np.int32], np.uint64, np.uint64]] = []
        left = np.arange(len(keys), dtype=np.int32)
        while len(left):
            bits = (SPARSE * len(left)).bit_length()
            factor = np.uint64(FACTORS[len(self._levels) % len(FACTORS)] + 2 * len(self._levels))
            level = (np.full(1 << bits, self._missing, np.int32), factor, np.uint64(64 - bits))
            slots = _slots(keys[left], level)
            level[0][slots] = left
            self._levels.append(level)
            left = left[level[0].take(slots) != left]

    @property
    def nbytes(self) -> int:
        return self._keys.nbytes + sum(table.nbytes for table, _, _ in self._levels)

    def find(self, keys: NDArray[np.int64]) -> NDArray[np.int32]:
        """The place of each of ``keys``; the number of keys in the table for one that is not there."""
        found = np.full(len(keys), self._missing, np.int32)
        asked: NDArray[np.intp] | None = None  # all
        for level in self._levels:
            wanted = keys if asked is None else keys[asked]
            places = level[0].take(_slots(wanted, level))
            hit = self._keys.take(places) == wanted
            if asked is None:
                np.copyto(found, places, where=hit)
                asked = np.flatnonzero(~hit & (places != self._missing))
            else:
                found[asked[hit]] = places[hit]
                asked = asked[~hit & (places != self._missing)]  # where a slot is empty, the key is nowhere
        return found


def _slots(keys: NDArray[np.int64], level: tuple[NDArray[np.int32], np.uint64, np.uint64]) -> NDArray[np.int64]:
    _, factor, shift = level
    return ((keys.view(np.uint64) * factor) >> shift).view(np.int64)
