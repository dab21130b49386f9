"""Width converter: the same elements in wider or narrower beats."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from math import lcm

import numpy as np
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.stream import Port, beat_layout, beat_stream, join
from hwgen.blocks.unit import Joint, UnitBlock
from hwgen.cost.actor import Actor, Give, Take, counting, ones
from hwgen.cost.logic import Logic, stepper
from hwgen.cost.needs import Cost
from hwgen.graph.types import FeatureMap
from hwgen.memory.queue import Outlet, behind, queue_depth, queue_logic
from hwgen.memory.ram import ram_need


@dataclass(frozen=True)
class WidthConverter(Joint):
    """Changes the number of elements in a beat to ``lanes``, which divide a pixel's channels. Where neither width
    divides the other, it goes over their least common multiple, at no loss of rate."""

    lanes: int

    def __str__(self) -> str:
        return f"{self.source.lanes}->{self.lanes}"

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (Port(self.source.map, self.lanes),)

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        return tuple(stage.actor for stage in self.stages)

    @cached_property
    def cost(self) -> Cost:
        stages = self.stages
        return self.costing(logic=sum((s.logic for s in stages), Logic()), memories=[s.memory for s in stages])

    def block(self) -> wiring.Component:
        return _Chain(self) if len(self.stages) > 1 else self.stages[0].block()

    @property
    def stages(self) -> list["_Stage"]:
        """Conversions by whole factors, one after the other."""
        path = [self.source.lanes, lcm(self.source.lanes, self.lanes), self.lanes]
        return [_Stage(self.source.map, a, b) for a, b in pairwise(path) if a != b]


@lru_cache(64)
def _widening(beats: int, ratio: int) -> tuple[np.ndarray, np.ndarray]:
    """Beats given, and those for which there must be room; the converters of a network are often alike."""
    give = counting(beats) // ratio
    return give, np.append(0, give[:-1]) + 1


@dataclass(frozen=True)
class _Stage:
    """One conversion by a whole factor."""

    map: FeatureMap
    lanes_in: int
    lanes_out: int

    @property
    def ratio(self) -> int:
        return max(self.lanes_in, self.lanes_out) // min(self.lanes_in, self.lanes_out)

    @property
    def up(self) -> bool:
        return self.lanes_out > self.lanes_in

    @property
    def queue(self) -> int:
        return queue_depth(2, 1, 1) if self.up else queue_depth(3, self.ratio, self.ratio)

    @property
    def actor(self) -> Actor:
        beats, more = self.map.elements // self.lanes_in, behind(self.queue)
        need = counting(beats)
        if self.up:
            give, reserve = _widening(beats, self.ratio)
            return Actor("widen", ones(beats), (Take(need),), (Give(give, 1 + more, self.queue, reserve),))
        gives = (Give(need * self.ratio, 3 - self.ratio + more, self.queue),)
        return Actor("narrow", np.full(beats, self.ratio), (Take(need),), gives)

    @property
    def logic(self) -> Logic:
        narrow, wide = (self.map.type.width * lanes for lanes in sorted((self.lanes_in, self.lanes_out)))
        count = self.ratio.bit_length()
        shift = Logic(register=wide - narrow) if self.up else Logic(mux=wide, register=wide)
        return shift + stepper(count) + Logic(logic=5) + queue_logic(self.queue, self.map.type.width * self.lanes_out)

    @property
    def memory(self):
        return ram_need("queue", self.map.type.width * self.lanes_out, self.queue)

    def block(self) -> wiring.Component:
        return _Widen(self) if self.up else _Narrow(self)


class _Converter(wiring.Component):
    def __init__(self, stage: _Stage):
        self.stage = stage
        type_ = stage.map.type
        super().__init__({"i": In(beat_stream(type_, stage.lanes_in)), "o": Out(beat_stream(type_, stage.lanes_out))})

    def _outlet(self, m: Module, beats: int) -> Outlet:
        layout = beat_layout(self.stage.map.type, self.stage.lanes_out)
        m.submodules.outlet = outlet = Outlet(layout, self.stage.queue, beats)
        join(m, outlet.o, wiring.flipped(self.o), "output")
        return outlet


class _Widen(_Converter):
    """Collects ``ratio`` beats into one."""

    def elaborate(self, platform):
        m = Module()
        ratio, width = self.stage.ratio, self.i.payload.shape().size
        outlet = self._outlet(m, 1)
        earlier, count = Signal(width * (ratio - 1)), Signal(range(ratio))
        full, take = count == ratio - 1, Signal()
        beat = Cat(earlier, self.i.payload.as_value())
        m.d.comb += [
            self.i.ready.eq(outlet.permit),
            take.eq(self.i.valid & self.i.ready),
            outlet.push.eq(take & full),
            outlet.debit.eq(take & full),
            outlet.payload.as_value().eq(beat),
        ]
        with m.If(take):
            m.d.sync += earlier.eq(beat >> width)
            m.d.sync += count.eq(count + 1)
            with m.If(full):
                m.d.sync += count.eq(0)
        return m


class _Narrow(_Converter):
    """Shifts a beat out in ``ratio`` parts."""

    def elaborate(self, platform):
        m = Module()
        ratio, width = self.stage.ratio, self.o.payload.shape().size
        outlet = self._outlet(m, ratio)
        hold, left, take = Signal(self.i.payload.shape().size), Signal(range(ratio + 1)), Signal()
        m.d.comb += [
            self.i.ready.eq(outlet.permit & (left <= 1)),
            take.eq(self.i.valid & self.i.ready),
            outlet.debit.eq(take),
            outlet.push.eq(left != 0),
            outlet.payload.as_value().eq(hold),
        ]
        with m.If(take):
            m.d.sync += [hold.eq(self.i.payload.as_value()), left.eq(ratio)]
        with m.Elif(left != 0):
            m.d.sync += [hold.eq(hold >> width), left.eq(left - 1)]
        return m


class _Chain(UnitBlock):
    unit: "WidthConverter"

    def elaborate(self, platform):
        m = Module()
        source = wiring.flipped(self.i)
        for stage in self.unit.stages:
            m.submodules[stage.actor.name] = block = stage.block()
            join(m, source, block.i, stage.actor.name)
            source = block.o
        join(m, source, self.sinks[0], "output")
        return m
