"""Stream queue: decouples two blocks whose rates differ from moment to moment."""

from dataclasses import dataclass
from functools import cached_property

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.memory.queue import Outlet

from .costs import Cost
from .operator import Joint
from .stream import join, queue_logic, queue_memory
from .timing import Actor, counting, ones


@dataclass(frozen=True)
class StreamQueue(Joint):
    """First in, first out. ``depth`` beats are held in all."""

    depth: int

    def __str__(self) -> str:
        return f"{self.depth} deep"

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        beats = counting(self.source.beats)
        latency = Outlet.LATENCY - 1
        return (Actor("queue", beats, ones(len(beats)), beats, latency, self.depth, credit_delay=Outlet.CREDIT),)

    @cached_property
    def cost(self) -> Cost:
        width = self.source.width
        return self.costing(queue_logic(self.depth, width), [queue_memory("queue", self.depth, width)])

    def block(self) -> wiring.Component:
        return _QueueBlock(self)


class _QueueBlock(wiring.Component):
    def __init__(self, unit: StreamQueue):
        self.unit = unit
        super().__init__({"i": In(unit.source.stream), "o": Out(unit.source.stream)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), self.unit.depth)
        take = self.i.valid & self.i.ready
        m.d.comb += [
            self.i.ready.eq(outlet.permit),
            outlet.debit.eq(take),
            outlet.push.eq(take),
            outlet.payload.eq(self.i.payload),
        ]
        join(m, outlet.o, wiring.flipped(self.o), "output")
        return m
