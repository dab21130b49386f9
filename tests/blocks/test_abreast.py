"""Several pixels of a row in a beat: what offers them, what a plan may say of them, and what they are counted as."""

import re

import pytest

from hwgen.blocks.mac.mac_folding import PIXELS
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import S8, U8, FeatureMap
from hwgen.memory.abreast import widened
from hwgen.testing import check_unit

from .cases import abreast, conv
from .unit_of import unit_of

SAME, HALVING = Window((3, 3), pads=(1, 1, 1, 1)), Window((3, 3), (2, 2), pads=(0, 0, 1, 1))


def test_they_are_offered_where_one_pixel_is_not_fast_enough():
    offered = {n: [] for n in (1, *PIXELS)}
    for unit in conv(FeatureMap(6, 16, 2, U8), HALVING, 4).units():
        assert not unit.problems()
        offered[unit.folding.pixels].append(unit.interval)
    for fewer, more in zip(offered.values(), list(offered.values())[1:], strict=False):
        assert max(more) < min(fewer)


@pytest.mark.parametrize("window", [SAME, HALVING, Window((5, 5)), Window((1, 4), (1, 1), pads=(0, 1, 0, 2))])
@pytest.mark.parametrize("pixels", [2, 3, 4])
def test_each_window_takes_its_own_columns(window, pixels):
    source = FeatureMap(6, 12, 1, U8)
    rows, columns = window.output_size(source.height, source.width)
    wide = widened(source, window, FeatureMap(rows, columns, 1, U8), pixels)
    stride = window.strides[1]
    if wide is None:
        assert pixels % stride or columns % (pixels // stride)
        return
    for at in range(columns):
        beat, place = divmod(at, wide.abreast.positions)
        left = (beat * wide.window.strides[1] - wide.window.pads[1]) * pixels
        taps = [left + column for column in wide.abreast.columns[place]]
        assert taps == [at * stride - window.pads[1] + tap for tap in range(window.kernel[1])]


@pytest.mark.parametrize(("group", "more"), [(1, {}), (2, {"products": 2, "array": "dsp48e2"})])
def test_weights_that_are_loaded_serve_all_windows(group, more):
    op, folding = abreast(
        conv(FeatureMap(3, 4, 2, U8), SAME, 2, group=group).loadable(), 2, 9, 2 // group, 2 * group, **more
    )
    check_unit(unit_of(op, folding), frames=3)


def test_windows_that_share_a_weight_share_blocks():
    """Where one pixel is not fast enough, with half the blocks; what is offered is counted as it is built."""
    op = conv(FeatureMap(6, 8, 4, S8), SAME, 4, group=4)
    found = [group for group in op.offers() if group.slices == "dsp48e2" and group.moved is None]
    for group in found:
        for unit, count in zip(group, group.table.counts.sum(axis=0), strict=True):
            assert not unit.problems()
            assert sum(each.count for each in unit.products) == count
    paired, single = (
        {unit.multipliers: unit.products[0].count for unit in group if unit.folding.pixels == 2} for group in found
    )
    assert paired
    assert all(paired[count] * 2 == single[count] == count for count in paired)


def test_trees_have_no_such_pairs():
    op, folding = abreast(conv(FeatureMap(3, 4, 2, U8), SAME, 2, group=2), 2, 9, 1, 4, products=2)
    said = "products 2 needs two outputs that share an activation, or, in cascades, windows side by side that share a"
    assert unit_of(op, folding).problems()[0].startswith(said)


@pytest.mark.parametrize(
    ("width", "change", "said"),
    [
        (8, {"pixels": 3}, "pixels 3 abreast do not divide rows of 8 into beats with as many windows each; pixels 1"),
        (10, {"pixels": 4}, "pixels 4 abreast do not divide rows of 10 .*"),
        (8, {"window": "ring"}, "window must be 'sliding' with pixels 2, not 'ring'"),
        (8, {"lanes_in": 2}, "lanes_in must be 4 with pixels 2, not 2"),
        (8, {"parallel": 1}, "parallel must be 2 with pixels 2, not 1"),
    ],
)
def test_what_cannot_be_is_refused(width, change, said):
    op = conv(FeatureMap(4, width, 2, U8), SAME, 2)
    _, folding = abreast(op, 2, 9, 2, 2)
    problems = unit_of(op, type(folding)(**{**vars(folding), **change})).problems()
    assert any(re.fullmatch(said, problem) for problem in problems), problems
