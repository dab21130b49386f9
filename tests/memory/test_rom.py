"""What a ROM holds: bits that never change, that are the same, that are bits of the address."""

import numpy as np
import pytest

from hwgen.memory.rom import Columns


def plain(values, widths):
    """The same by sets of columns."""
    columns = [
        tuple(row[n] >> bit & 1 for row in values.tolist()) for n in range(len(widths)) for bit in range(widths[n])
    ]
    changing = [column for column in columns if len(set(column)) > 1]
    address = {tuple(at >> bit & 1 for at in range(len(values))) for bit in range(10)}
    constant = {column[0] for column in columns if len(set(column)) == 1}
    return Columns(len(changing), len(set(changing)), len(set(changing) & address), 1 in constant)


@pytest.mark.parametrize("words", [1, 2, 5, 8, 9, 16, 17, 64, 70])
def test_columns_are_told_apart_as_sets_do(words):
    random = np.random.default_rng(words)
    for most in (3, 8, 17, 33):
        widths = random.integers(1, most, 4, endpoint=True).tolist()
        values = np.stack([random.integers(-(1 << width - 1), 1 << width - 1, words) for width in widths], axis=1)
        values[:, 0], values[:, 1] = np.arange(words), random.choice([0, -1])
        assert Columns.of(values, widths) == plain(values, widths)
        assert Columns.of(values, most) == plain(values, [most] * 4)
