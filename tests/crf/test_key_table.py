"""Keys are found where they are, and nowhere else."""

import numpy as np
import pytest

from segmodels.crf.key_table import KeyTable


@pytest.mark.parametrize("count", [1, 2, 1000, 50_000])
def test_finds_every_key_and_no_other(count: int) -> None:
    numbers = np.unique(np.random.default_rng(count).integers(0, 2**45, 2 * count))
    keys, others = numbers[::2], numbers[1::2]
    table = KeyTable(keys)
    assert (table.find(keys) == np.arange(len(keys))).all()
    assert (table.find(others) == len(keys)).all()


def test_keys_in_a_row_are_told_apart() -> None:
    keys = np.arange(10_000, dtype=np.int64)
    assert (KeyTable(keys).find(keys[::-1].copy()) == keys[::-1]).all()
