"""Stream queue: decouples two blocks whose rates differ from moment to moment."""

from dataclasses import dataclass

from amaranth.hdl import Module
from amaranth.lib import wiring

from hwgen.blocks.joints.fork import Queues
from hwgen.blocks.stream import join
from hwgen.blocks.unit import UnitBlock
from hwgen.memory.queue import Outlet


@dataclass(frozen=True)
class StreamQueue(Queues):
    """First in, first out. ``depth`` beats are held in all."""

    depth: int

    label = "queue"

    @property
    def holds(self) -> tuple[int, ...]:
        return (self.depth,)

    def block(self) -> wiring.Component:
        return _QueueBlock(self)


class _QueueBlock(UnitBlock):
    unit: "StreamQueue"

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
        join(m, outlet.o, self.sinks[0], "output")
        return m
