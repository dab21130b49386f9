"""Stream queue: decouples two blocks whose rates differ from moment to moment."""

from dataclasses import dataclass
from functools import cached_property

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.operator import Joint
from hwgen.blocks.stream import join
from hwgen.cost.actor import Actor, Give, Take, counting, ones
from hwgen.cost.needs import Cost
from hwgen.memory.queue import Outlet, queue_logic
from hwgen.memory.ram import ram_need


@dataclass(frozen=True)
class StreamQueue(Joint):
    """First in, first out. ``depth`` beats are held in all."""

    depth: int

    def __str__(self) -> str:
        return f"{self.depth} deep"

    @property
    def holds(self) -> tuple[int, ...]:
        return (self.depth,)

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        beats = counting(self.source.beats)
        give = Give(beats, Outlet.LATENCY - 1, self.depth)
        return (Actor("queue", ones(len(beats)), (Take(beats),), (give,)),)

    @cached_property
    def cost(self) -> Cost:
        width = self.source.width
        return self.costing(queue_logic(self.depth, width), [ram_need("queue", width, self.depth)])

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
