"""Fork: the same stream to several readers, none of which waits for another beyond its queue."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from amaranth.hdl import Module
from amaranth.lib import wiring

from hwgen.blocks.stream import Port, join
from hwgen.blocks.unit import Joint, UnitBlock
from hwgen.cost.actor import Actor, Give, Take, counting, ones
from hwgen.cost.logic import Logic, total
from hwgen.cost.needs import Cost, MemoryNeed
from hwgen.memory.queue import Outlet, behind, queue_logic
from hwgen.memory.ram import ram_need


@dataclass(frozen=True)
class Queues(Joint):
    """Copies every beat to queues, one for each output: it is taken when all have room for it."""

    #: What deadlocks call it.
    label: ClassVar[str]

    @property
    @abstractmethod
    def holds(self) -> tuple[int, ...]:
        """Beats of each queue."""

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.holds))} deep"

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (self.source,) * len(self.holds)

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        beats, latency = counting(self.source.beats), Outlet.LATENCY - 1
        gives = tuple(Give(beats, latency + behind(depth), depth) for depth in self.holds)
        return (Actor(self.label, ones(len(beats)), (Take(beats),), gives),)

    @cached_property
    def cost(self) -> Cost:
        return self.costing(*queues_hardware(self.holds, self.source.width))


def queues_hardware(depths: Iterable[int], width: int) -> tuple[Logic, list[MemoryNeed]]:
    """What queues of ``depths`` beats of ``width`` bits take."""
    logic = total(queue_logic(depth, width) for depth in depths)
    return logic, [ram_need("queue", width, depth) for depth in depths]


@dataclass(frozen=True)
class Fork(Queues):
    """The same stream to the outputs ``o_0`` and so on. ``depths``: beats of queue in front of each reader."""

    depths: tuple[int, ...]

    label = "fork"

    @property
    def holds(self) -> tuple[int, ...]:
        return self.depths

    def block(self) -> wiring.Component:
        return _ForkBlock(self)


class _ForkBlock(UnitBlock):
    unit: "Fork"

    def elaborate(self, platform):
        m = Module()
        take, permit = self.i.valid & self.i.ready, 1
        for n, depth in enumerate(self.unit.depths):
            m.submodules[f"outlet_{n}"] = outlet = Outlet(self.i.payload.shape(), depth)
            permit = permit & outlet.permit
            m.d.comb += [outlet.debit.eq(take), outlet.push.eq(take), outlet.payload.eq(self.i.payload)]
            join(m, outlet.o, self.sinks[n], f"output {n}")
        m.d.comb += self.i.ready.eq(permit)
        return m
