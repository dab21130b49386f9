"""A small operator whose constants come from DRAM: each beat of a frame plus a beat of the region."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.operator import LaneFolding, OperatorUnit
from hwgen.blocks.streamed import Hardware, Streamed, StreamedBlock, StreamedUnit
from hwgen.cost.actor import Actor, counting
from hwgen.cost.logic import Logic, adder
from hwgen.graph.types import FeatureMap
from hwgen.memory.dram.contract import Contract, Region
from hwgen.memory.dram.port import MemoryRead

FAST = Contract(20, Fraction(8))
SLOW = Contract(33, Fraction(5, 3))


@dataclass(frozen=True, eq=False)
class Shift(Streamed):
    """``x + constants``, modulo 256."""

    input: FeatureMap
    constants: np.ndarray
    contract: Contract = FAST
    places: int = 40

    @property
    def output(self) -> FeatureMap:
        return self.input

    def golden(self, x: np.ndarray) -> np.ndarray:
        return x + self.constants

    def units(self) -> Iterable[OperatorUnit]:
        return [ShiftUnit(self, folding) for folding in self.foldings() if folding.lanes.bit_count() == 1]


class ShiftUnit(StreamedUnit, computes=Shift):
    """Hardware for :class:`Shift`: a step takes a beat of both."""

    op: Shift
    depth = 1

    @cached_property
    def memory(self) -> MemoryRead:
        lanes = self.folding.lanes
        return MemoryRead(Region(self.op.input.elements, lanes, 64), self.op.contract, self.op.places)

    @property
    def memory_image(self) -> bytes:
        return self.op.constants.tobytes()

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        beats = counting(self.op.input.elements // self.folding.lanes)
        return self.direct([beats, beats], beats)

    @property
    def hardware(self) -> Hardware:
        return Hardware(self.folding.lanes * (adder(8) + Logic(register=8)) + Logic(logic=3, register=1))

    def block(self) -> wiring.Component:
        return _ShiftBlock(self)


class _ShiftBlock(StreamedBlock):
    unit: ShiftUnit

    def elaborate(self, platform):
        m = Module()
        outlet, step = self.outlet(m), Signal()
        m.d.comb += [
            step.eq(outlet.permit & self.i.valid & self.w.valid),
            self.i.ready.eq(outlet.permit & self.w.valid),
            self.w.ready.eq(outlet.permit & self.i.valid),
            outlet.debit.eq(step),
            outlet.push.eq(delay(m, step, 1, "push", reset_less=False)),
        ]
        for lane in range(self.folding.lanes):
            m.d.sync += outlet.payload[lane].eq(self.i.payload[lane] + self.w.payload[lane])
        return m


def shift(source: FeatureMap, seed: int = 0, **options) -> Shift:
    """One with random constants."""
    return Shift(source, np.random.default_rng(seed).integers(0, 256, source.shape, np.uint8), **options)


def shift_unit(source: FeatureMap, lanes: int, **options) -> ShiftUnit:
    """The same laid out."""
    return ShiftUnit(shift(source, **options), LaneFolding(lanes))


def slower(unit: ShiftUnit, contract: Contract, places: int) -> ShiftUnit:
    """``unit`` with another memory."""
    return replace(unit, op=replace(unit.op, contract=contract, places=places))
