"""Sums in blocks of frames and rows are those of the definition, whatever the size of a block."""

import numpy as np
import pytest

from hwgen.blocks.arith import sums
from hwgen.graph.semantics.window import Window

WINDOWS = (Window((1, 1)), Window((3, 3), pads=(1, 1, 1, 1)), Window((2, 3), (2, 1), (1, 2), (0, 3, 1, 0)))


@pytest.mark.parametrize("block", [1, 100, 700, 1 << 18])
@pytest.mark.parametrize("window", WINDOWS)
def test_blocks_do_not_show(window, block, monkeypatch):
    monkeypatch.setattr(sums, "BLOCK", block)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (3, 7, 8, 4)).astype(np.uint8)
    weights = rng.integers(-128, 128, (6, *window.kernel, 4))
    patches = window.patches(x.astype(np.int64), 9)
    expected = np.einsum("nhwklc,oklc->nhwo", patches, weights)
    for exact in (np.float32, np.float64):
        np.testing.assert_array_equal(sums.window_sums(x, weights, window, 9, exact), expected)
    each = rng.integers(-128, 128, (8, *window.kernel))
    expected = np.einsum("nhwklc,crkl->nhwcr", patches, each.reshape(4, 2, *window.kernel)).reshape(
        *expected.shape[:3], 8
    )
    np.testing.assert_array_equal(sums.channel_sums(x, each, window, 9, np.float32), expected)
