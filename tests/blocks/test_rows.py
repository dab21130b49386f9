"""A convolution that hands its input on, and the chain of rows in front of it, are the convolution and the map."""

from dataclasses import replace

import numpy as np
import pytest

from hwgen.blocks.joints.rows import RowFork, WindowRows, row_ranges
from hwgen.blocks.mac.tapped import RowConv, TappedConv
from hwgen.blocks.stream import Port
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap
from hwgen.testing import random_frames

from .cases import CASES, conv


@pytest.mark.parametrize("unit", [unit for _, unit in CASES if isinstance(unit, RowConv)], ids=str)
def test_a_tapped_convolution(unit):
    conv, rows = unit.op, unit.rows
    assert not unit.problems()
    assert conv.hands_on
    x, source = random_frames(conv.input, 3), rows.source
    parts = RowFork(source, tuple(row_ranges(source.map.height, rows.rows, rows.top)), (16,) * rows.rows).golden(x)
    result, handed = unit.golden(*rows.golden(*parts))
    np.testing.assert_array_equal(result, conv.golden(x))
    np.testing.assert_array_equal(handed, x[:, : source.map.height - rows.top])


@pytest.mark.parametrize("unit", [unit for _, unit in CASES if isinstance(unit, RowConv)], ids=str)
def test_its_blocks_together_are_the_convolution_and_its_input(unit):
    whole = TappedConv(unit.op, replace(unit.folding, window="columns", lanes_in=unit.row_lanes), unit.depth)
    assert not whole.problems()
    x = random_frames(unit.op.input, 2)
    ends = {(-1, 0): x}
    for n, (_, block, sources) in enumerate(whole.blocks):
        given = block.golden(*(ends[source] for source in sources))
        ends |= {(n, port): values for port, values in enumerate(given)}
    for end, port, want in zip(whole.ends, whole.outputs, whole.golden(x), strict=True):
        np.testing.assert_array_equal(ends[end], want)
        assert want.shape[1:] == port.map.shape


def test_rows_side_by_side_are_those_of_the_window():
    source = Port(FeatureMap(4, 2, 2, U8), 1)
    x = np.arange(16, dtype=np.uint8).reshape(1, 4, 2, 2)
    join = WindowRows(source, 3, 1, 99)
    (got,) = join.golden(*RowFork(source, tuple(row_ranges(4, 3, 1)), (4, 4, 4)).golden(x))
    first, second = [99, 0, 4, 99, 1, 5], [0, 4, 8, 1, 5, 9]  # by word, row and lane
    np.testing.assert_array_equal(got[0, :2, 0], [first, second])


def test_what_cannot_be_tapped():
    source = FeatureMap(6, 6, 4, U8)
    for window in (Window((3, 3), (2, 2), pads=(1, 1, 1, 1)), Window((3, 3)), Window((1, 1))):
        assert not conv(source, window, 4).hands_on
    assert not conv(source, Window((3, 3), pads=(1, 1, 1, 1)), 4, group=4).hands_on
