"""Fork: the same stream to several readers, none of which waits for another beyond its queue."""

from dataclasses import dataclass
from functools import cached_property

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.operator import Joint
from hwgen.blocks.stream import Port, join
from hwgen.cost.actor import Actor, Give, Take, counting, ones
from hwgen.cost.logic import Logic
from hwgen.cost.needs import Cost
from hwgen.memory.queue import Outlet, queue_logic
from hwgen.memory.ram import ram_need


@dataclass(frozen=True)
class Fork(Joint):
    """Copies every beat to the outputs ``o_0`` and so on; a beat is taken when all have room for it.

    ``depths``: beats of queue in front of each reader.
    """

    depths: tuple[int, ...]

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.depths))} deep"

    @property
    def holds(self) -> tuple[int, ...]:
        return self.depths

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (self.source,) * len(self.depths)

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        beats, latency = counting(self.source.beats), Outlet.LATENCY - 1
        gives = tuple(Give(beats, latency, depth) for depth in self.depths)
        return (Actor("fork", ones(len(beats)), (Take(beats),), gives),)

    @cached_property
    def cost(self) -> Cost:
        width = self.source.width
        logic = sum((queue_logic(depth, width) for depth in self.depths), Logic())
        return self.costing(logic, [ram_need("queue", width, depth) for depth in self.depths])

    def block(self) -> wiring.Component:
        return _ForkBlock(self)


class _ForkBlock(wiring.Component):
    def __init__(self, unit: Fork):
        self.unit = unit
        outputs = {f"o_{n}": Out(port.stream) for n, port in enumerate(unit.outputs)}
        super().__init__({"i": In(unit.source.stream), **outputs})

    def elaborate(self, platform):
        m = Module()
        take, permit = self.i.valid & self.i.ready, 1
        for n, depth in enumerate(self.unit.depths):
            m.submodules[f"outlet_{n}"] = outlet = Outlet(self.i.payload.shape(), depth)
            permit = permit & outlet.permit
            m.d.comb += [outlet.debit.eq(take), outlet.push.eq(take), outlet.payload.eq(self.i.payload)]
            join(m, outlet.o, wiring.flipped(getattr(self, f"o_{n}")), f"output {n}")
        m.d.comb += self.i.ready.eq(permit)
        return m
