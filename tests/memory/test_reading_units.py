"""Pipelines of units that read from DRAM: right whatever the memory does, in time with one that keeps its contract."""

from dataclasses import replace

import numpy as np
import pytest

from hwgen.blocks import MaxPool
from hwgen.blocks.joints.memory import MemorySource
from hwgen.dataflow.fit import check_dram
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.queues import size_queues
from hwgen.dataflow.schedule import schedule
from hwgen.device.targets import device
from hwgen.graph.errors import FitError, InputError
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap
from hwgen.hdl.formal import prove_contract
from hwgen.simulate.dram import BROKEN, RANDOM, WORST, Bank, Memory, MemoryFault
from hwgen.simulate.simulation import simulate
from hwgen.simulate.verilated import CompiledDesign
from hwgen.simulate.verilated_memory import CompiledMemory
from hwgen.testing import check_unit, random_frames
from hwgen.tools.verilator import QUICK, available
from tests.blocks.cases import conv, pool
from tests.dataflow.nets import chain
from tests.dataflow.watched import faults

from .reading import FAST, SLOW, shift, shift_unit

FRAMES = 3


def plan(contract=FAST, places=40) -> Plan:
    """Two units that read, with a pooling between them and a convolution behind."""
    first = shift(FeatureMap(4, 6, 8, U8), contract=contract, places=places)
    middle = pool(MaxPool, first.output, Window((2, 2), (2, 2)))
    second = shift(middle.output, 1, contract=contract, places=places)
    network = chain(first, middle, second, conv(second.output, Window((1, 1)), 4))
    units = [list(layer.op.units())[-1] for layer in network.layers]
    return size_queues(Plan.of(network, units), 1)


PLANS = {"fast": plan(), "slow": plan(SLOW), "few places": plan(SLOW, 8)}
each = pytest.mark.parametrize("planned", PLANS.values(), ids=PLANS)


def run(planned: Plan, engine: str, memory: Memory, **options):
    frames = random_frames(planned.network.input.map, FRAMES)
    return simulate(planned.network, planned, frames, engine, memory=memory, **options)


def test_the_unit_alone():
    unit = shift_unit(FeatureMap(3, 4, 8, U8), 4)
    check_unit(unit)
    prove_contract(unit.block())


@each
def test_every_stream_and_every_queue_is_as_scheduled(planned):
    assert faults(planned) == []


@each
def test_the_slowest_memory_is_the_one_that_is_scheduled(planned):
    result = run(planned, "amaranth", Memory(WORST))
    assert result.equal
    timing = schedule(planned, FRAMES)
    assert result.timing.done == tuple(timing.run.frame_ends)
    assert result.traffic.equal
    assert result.traffic.read == FRAMES * (4 * 6 * 8 + 2 * 3 * 8)
    assert str(result.traffic) == "DRAM        720 bytes read, as planned"
    assert result.traffic.late == 0


@each
def test_no_memory_within_the_contract_is_later(planned):
    result = run(planned, "amaranth", Memory(RANDOM, 1))
    assert result.equal
    assert result.traffic.equal
    assert (np.array(result.timing.done) <= schedule(planned, FRAMES).run.frame_ends).all()
    assert result.traffic.late == 0


@each
def test_values_are_right_from_a_broken_memory(planned):
    result = run(planned, "amaranth", Memory(BROKEN, 1), stall=3)
    assert result.equal
    assert result.traffic.equal
    assert result.traffic.late > 0
    assert result.traffic.errors == 0


def test_what_reads_has_the_places_that_were_planned():
    """Queues are chosen in a run in which others have no end."""
    fast, few = (schedule(PLANS[name]).interval for name in ("slow", "few places"))
    assert fast < few


def test_a_design_without_dram_has_no_memory_to_choose():
    network = chain(conv(FeatureMap(2, 2, 2, U8), Window((1, 1)), 2))
    planned = Plan.of(network, [next(iter(layer.op.units())) for layer in network.layers])
    with pytest.raises(InputError, match="reads nothing from DRAM"):
        run(planned, "amaranth", Memory())
    with pytest.raises(InputError, match="has no memory"):
        run(PLANS["fast"], "golden", Memory())
    with pytest.raises(InputError, match="worst, random, broken, not 'late'"):
        Memory("late")


@pytest.mark.slow
@pytest.mark.skipif(not available(), reason="no Verilator or no C++ compiler")
def test_the_compiled_memory_is_the_same():
    first = shift(FeatureMap(4, 6, 8, U8), contract=SLOW)
    network = chain(first, shift(first.output, 1, contract=SLOW))
    planned = Plan.of(network, [list(layer.op.units())[at] for layer, at in zip(network.layers, (3, 2), strict=True)])
    compiled = run(planned, "compiled", Memory(WORST))
    assert compiled.timing == run(planned, "amaranth", Memory(WORST)).timing
    for memory in (Memory(WORST), Memory(RANDOM, 2), Memory(BROKEN, 3)):
        for stall in (None, 1):
            result = run(planned, "compiled", memory, stall=stall)
            assert result.equal
            assert result.traffic.equal
            assert (result.traffic.late > 0) == (memory.mode == BROKEN)
            if stall is None and memory.mode != BROKEN:
                assert (np.array(result.timing.done) <= compiled.timing.done).all()


@pytest.mark.slow
@pytest.mark.skipif(not available(), reason="no Verilator or no C++ compiler")
def test_the_compiled_memory_notices_reads_beside_the_image():
    unit = shift_unit(FeatureMap(3, 4, 8, U8), 8)
    design = CompiledDesign(MemorySource(unit).block(), QUICK)
    short = Bank(unit.memory_image[:64], unit.memory.region, unit.memory.contract, page=2)
    with pytest.raises(MemoryFault, match="leaves the image"):
        design.run({}, {"o": 12}, memories=[CompiledMemory(short)])


def test_what_has_no_room_in_dram_is_told():
    planned = PLANS["fast"]  # two regions of less than a page, and the header
    check_dram(planned, device("k26"))
    with pytest.raises(
        FitError, match=r"12,288 bytes of weights in DRAM, and that of gw1nr-9c is not known to be there"
    ):
        check_dram(planned, device("gw1nr-9c"))
    with pytest.raises(FitError, match=r"that of xck26 is not known to be there; take .*xcu250"):
        check_dram(planned, replace(device("k26"), dram_mb=0))
