"""Convolutions and pools that nobody thought of, with foldings that the search might choose."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwgen.blocks import AveragePool, GlobalMaxPool, MaxPool
from hwgen.blocks.array.arrays import ARRAYS
from hwgen.blocks.array.multiplier import PAIR, SINGLE
from hwgen.blocks.mac.mac_folding import MacFolding
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import S8, U8, FeatureMap, Quantization
from hwgen.testing import check_unit
from tests.blocks.unit_of import unit_of

from .cases import conv, edge_pool, pool

pytestmark = pytest.mark.slow

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def windowed(draw):
    """A map and a window that fits it."""
    pads = tuple(draw(st.integers(0, 2)) for _ in range(4))
    window = Window(draw(pairs), draw(pairs), draw(pairs), pads)
    source = FeatureMap(
        draw(st.integers(1, 6)),
        draw(st.integers(1, 6)),
        draw(st.sampled_from([1, 2, 3, 4])),
        draw(st.sampled_from([U8, S8])),
    )
    padded = window.padded_size(source.height, source.width)
    assume(all(size >= extent for size, extent in zip(padded, window.extent, strict=True)))
    return source, window


@st.composite
def arrays(draw, op):
    """Some hardware for ``op``, with products added up in any way, and one or two in a multiplier."""
    unit = draw(st.sampled_from(list(op.units())))
    products = draw(st.sampled_from([SINGLE, PAIR])) if unit.folding.outputs > 1 else SINGLE
    folding = replace(unit.folding, array=draw(st.sampled_from(sorted(ARRAYS))), products=products)
    other = replace(unit, folding=folding)
    return unit if other.problems() else other


@settings(max_examples=30)
@given(windowed(), st.data())
def test_convolutions(case, data):
    source, window = case
    target = Quantization(data.draw(st.sampled_from([U8, S8])), 0.05, data.draw(st.integers(0, 9)))
    op = conv(source, window, data.draw(st.integers(1, 6)), target, seed=data.draw(st.integers(0, 9)))
    check_unit(data.draw(arrays(op)), frames=3)


@settings(max_examples=25)
@given(windowed(), st.data())
def test_convolutions_in_groups(case, data):
    source, window = case
    group = data.draw(st.sampled_from([n for n in range(1, source.channels + 1) if source.channels % n == 0]))
    op = conv(source, window, group * data.draw(st.integers(1, 3)), group=group, seed=data.draw(st.integers(0, 9)))
    check_unit(data.draw(arrays(op)), frames=3)


@settings(max_examples=12)
@given(st.data())
def test_sets_of_channels_of_any_size(data):
    """Neither the channels nor the lanes of the requantiser divide a set, or are divided by it."""
    group = data.draw(st.integers(1, 2))
    channels = data.draw(st.sampled_from([6, 8, 9, 12, 15, 16]))
    outputs = data.draw(st.integers(1, channels))
    lanes = data.draw(st.sampled_from([n for n in range(1, outputs + 1) if channels % n == 0]))
    portion, in_luts, serial = data.draw(st.integers(1, 6)), data.draw(st.booleans()), data.draw(st.booleans())
    folding = MacFolding("sliding", portion, outputs, 1, lanes, serial and not in_luts, in_luts=in_luts)
    source, window = FeatureMap(3, 4, 2 * group, U8), Window((2, 3), pads=(1, 1, 0, 1))
    op = conv(source, window, group * channels, Quantization(U8, 0.05, 3), group=group)
    unit = unit_of(op, folding)
    assume(not unit.problems())
    check_unit(unit, frames=3)


@settings(max_examples=20)
@given(windowed(), st.sampled_from([MaxPool, AveragePool]), st.data())
def test_pools(case, kind, data):
    source, window = case
    target = Quantization(source.type, 0.02, 3) if kind is MaxPool else Quantization(U8, 0.03, 7)
    op = pool(kind, source, window, target)
    check_unit(data.draw(st.sampled_from(list(op.units()))), frames=3)


@settings(max_examples=20)
@given(windowed(), st.data())
def test_maxima_over_whole_maps(case, data):
    source, kind = case[0], case[0].type
    ends = st.integers(kind.min, kind.max)
    clamp = data.draw(st.sampled_from([(kind.min, kind.max), tuple(sorted((data.draw(ends), data.draw(ends))))]))
    op = GlobalMaxPool(source, clamp)
    check_unit(data.draw(st.sampled_from(list(op.units()))), frames=3)


@st.composite
def edged(draw):
    """A map and a window, with padding, of which some is on the map wherever it stands."""
    kernel, strides = draw(pairs), draw(pairs)
    pads = tuple(draw(st.integers(0, size - 1)) for size in kernel * 2)
    sizes = [draw(st.integers(size, 6)) for size in kernel]
    assume(any(pads))
    return FeatureMap(*sizes, draw(st.integers(1, 4)), draw(st.sampled_from([U8, S8]))), Window(
        kernel, strides, pads=pads
    )


@settings(max_examples=20)
@given(edged(), st.data())
def test_average_pools_that_leave_padding_out(case, data):
    op = edge_pool(*case, Quantization(U8, 0.03, 7))
    check_unit(data.draw(st.sampled_from(list(op.units()))), frames=3)
