"""A convolution that hands its input on, and the chain of rows in front of it: values, stalls, cycles, contract."""

import numpy as np
import pytest

from hwgen.blocks.fork import ForkFolding
from hwgen.blocks.mac import MacFolding
from hwgen.blocks.rows import SHORT_QUEUE, RowFork, WindowRows, row_ranges
from hwgen.blocks.stream import port_names
from hwgen.blocks.tapped import TappedConv
from hwgen.blocks.timing import run
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import S8, U8, FeatureMap
from hwgen.hdl.formal import prove_contract
from hwgen.simulate.bench import from_beats, to_beats
from hwgen.testing import check_cycles, random_frames, simulate

from .cases import conv

FRAMES = 3
#: Map, channels out, outputs of a pass, lanes, places of the tap's queue, rows of the window.
CASES = [
    (FeatureMap(6, 7, 4, U8), 6, 3, 2, 16, 3),
    (FeatureMap(6, 7, 4, S8), 6, 3, 4, 4, 3),
    (FeatureMap(5, 4, 2, U8), 5, 2, 1, 3, 3),
    (FeatureMap(7, 6, 4, U8), 10, 1, 2, 2, 3),
    (FeatureMap(8, 5, 2, U8), 4, 3, 2, 8, 5),
]


def check(op, folding, given, wanted, lanes):
    """``given`` and ``wanted`` are frames by stream, ``lanes`` those of the outputs."""
    sources, sinks = port_names(op.unit(folding).block())
    inputs = {
        name: to_beats(x, map_.type, folding.lanes_in) for name, x, map_ in zip(sources, given, op.inputs, strict=True)
    }
    counts = {name: want.size // n for name, want, n in zip(sinks, wanted, lanes, strict=True)}
    types = [op.output.type, *[op.inputs[0].type] * (len(sinks) - 1)]
    for stall in (None, 1, 2):
        taken, gave = simulate(op.unit(folding).block(), inputs, counts, stall=stall)
        for name, want, type_, n in zip(sinks, wanted, types, lanes, strict=True):
            np.testing.assert_array_equal(from_beats(gave[name].payloads, type_, n), want.ravel(), err_msg=name)
        if stall is None:
            check_cycles(run(op.unit(folding).actors, FRAMES), taken, gave)
    assert op.unit(folding).cost.cycles > 0
    prove_contract(op.unit(folding).block())


def made(source, channels, rows):
    side = rows // 2
    return conv(source, Window((rows, 3), pads=(side, 1, side, 1)), channels)


@pytest.mark.parametrize(("source", "channels", "outputs", "lanes", "depth", "rows"), CASES)
def test_a_tapped_convolution(source, channels, outputs, lanes, depth, rows):
    op = made(source, channels, rows)
    columns = MacFolding("columns", rows * lanes, outputs, lanes, 1, in_luts=True)
    assert not op.unit(columns).problems()
    assert not TappedConv.problems(op)
    tapped, x = TappedConv(op, lanes, depth), random_frames(source, FRAMES)
    side_by_side = tapped.rows.golden(*RowFork(source, tuple(row_ranges(source.height, rows, rows // 2))).golden(x))
    want = op.golden(x)
    np.testing.assert_array_equal(tapped.golden(side_by_side), want)
    handed = x[:, : source.height - rows // 2]
    assert handed.shape[1:] == tapped.tapped.shape
    check(tapped, TappedConv.folding(op, columns), [side_by_side], [want, handed], [1, lanes])


@pytest.mark.parametrize(
    ("source", "lanes", "rows"), [(FeatureMap(6, 5, 4, U8), 2, 3), (FeatureMap(7, 3, 2, S8), 2, 5)]
)
def test_rows_part_and_join(source, lanes, rows):
    x, side = random_frames(source, FRAMES), rows // 2
    fork = RowFork(source, tuple(row_ranges(source.height, rows, side)))
    parts = fork.golden(x)
    check(fork, ForkFolding(lanes, (SHORT_QUEUE,) * rows), [x], parts, [lanes] * rows)
    join = WindowRows.of(source, rows, side, -3 if source.type.signed else 3, lanes)
    (folding,) = join.foldings()
    check(join, folding, parts, [join.golden(*parts)], [folding.lanes_out])


def test_rows_side_by_side_are_those_of_the_window():
    source = FeatureMap(4, 2, 2, U8)
    x = np.arange(16, dtype=np.uint8).reshape(1, 4, 2, 2)
    join = WindowRows.of(source, 3, 1, 99, 1)
    got = join.golden(*RowFork(source, tuple(row_ranges(4, 3, 1))).golden(x))
    first, second = [99, 0, 4, 99, 1, 5], [0, 4, 8, 1, 5, 9]  # by word, row and lane
    np.testing.assert_array_equal(got[0, :2, 0], [first, second])


def test_what_cannot_be_tapped():
    source = FeatureMap(6, 6, 4, U8)
    for window in (Window((3, 3), (2, 2), pads=(1, 1, 1, 1)), Window((3, 3)), Window((1, 1))):
        assert TappedConv.problems(conv(source, window, 4))
    assert TappedConv.problems(conv(source, Window((3, 3), pads=(1, 1, 1, 1)), 4, group=4))
