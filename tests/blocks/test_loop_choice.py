"""The folding chosen for a loop: what is estimated, that it can be built, and that more multipliers are no slower."""

from fractions import Fraction

import pytest

from hwgen.blocks.loop import count
from hwgen.blocks.loop.choice import choose_folding, estimate
from hwgen.blocks.loop.looped import LoopedLayers
from hwgen.blocks.loop.unit import LoopUnit
from hwgen.dataflow.loops import alone
from hwgen.graph.errors import FitError
from hwgen.memory.dram.contract import Contract

from .test_loop import LAID_OUT, four_layers


@pytest.mark.parametrize("name", LAID_OUT)
def test_the_estimate_is_that_of_the_programme(name):
    unit = LAID_OUT[name]()
    programme, folding = unit.programme, unit.folding
    ends = unit.op.input.elements // folding.lanes_in + unit.op.output.elements // folding.lanes_out
    cycles, size = estimate(unit.op, folding)
    assert size == programme.read
    assert cycles >= ends + int(programme.holds.sum())
    alone = [LoopUnit(LoopedLayers((layer,)), folding) for layer in unit.op.layers if layer.macs]
    assert [own.programme.holds.sum() for own in alone] == [
        layer.holds.sum() for layer in programme.layers if not layer.pooled
    ]


def test_more_multipliers_are_no_slower_and_all_can_be_built():
    op, before = LoopedLayers(four_layers()), None
    for limit in (12, 60):
        folding = choose_folding(op, limit, 8, Contract(20, Fraction(8)))
        unit = LoopUnit(op, folding)
        assert unit.problems() == []
        assert sum(each.count for each in count.products(unit.programme)) <= limit
        cycles, _ = estimate(op, folding)
        assert before is None or cycles <= before
        assert folding.kept == 0 or unit.programme.read < int(unit.programme.beats[-1]) * folding.bus
        assert cycles <= alone(unit) <= 1.2 * cycles  # layers wait for the memory in turn
        before = cycles


def test_too_few_multipliers_are_told():
    with pytest.raises(FitError, match="a loop takes more than 1 multipliers"):
        choose_folding(LoopedLayers(four_layers()), 1, 8, Contract(20, Fraction(8)))
