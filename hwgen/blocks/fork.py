"""Fork: the same stream to several readers, none of which waits for another beyond its queue."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap
from hwgen.memory.queue import Outlet

from .costs import Cost
from .logic import Logic
from .operator import LaneFolding, Operator, Unit
from .stream import beat_stream, join, queue_logic, queue_memory
from .timing import Actor, Give, counting, ones


@dataclass(frozen=True)
class ForkFolding(LaneFolding):
    """``lanes`` elements in a beat; ``depths`` beats of queue in front of each reader."""

    depths: tuple[int, ...]

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.depths))} deep"


@dataclass(frozen=True)
class Fork(Operator):
    """Copies every beat to the outputs ``o_0`` to ``o_{ways-1}``; a beat is taken when all have room for it."""

    input: FeatureMap
    ways: int = 2

    @classmethod
    def from_site(cls, site: Site) -> "Fork | None":
        return None  # placed by the pipeline, not by a model

    @property
    def output(self) -> FeatureMap:
        return self.input

    def golden(self, x: np.ndarray) -> np.ndarray:
        return x

    def foldings(self) -> Iterable[ForkFolding]:
        return [ForkFolding(1, (depth,) * self.ways) for depth in (4, 16, 64)]

    def unit(self, folding: Any) -> "ForkUnit":
        return ForkUnit(self, folding)


class ForkUnit(Unit):
    """Hardware for :class:`Fork`."""

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        beats, latency = counting(self.op.input.elements // self.folding.lanes), Outlet.LATENCY - 1
        first, *rest = (Give(beats, latency, depth, credit_delay=Outlet.CREDIT) for depth in self.folding.depths)
        return (
            Actor(
                "fork",
                beats,
                ones(len(beats)),
                beats,
                latency,
                first.queue,
                credit_delay=Outlet.CREDIT,
                more_gives=(*rest,),
            ),
        )

    @cached_property
    def cost(self) -> Cost:
        width = self.op.input.type.width * self.folding.lanes
        logic = sum((queue_logic(depth, width) for depth in self.folding.depths), Logic())
        return self.costing(logic, [queue_memory("queue", depth, width) for depth in self.folding.depths])

    def block(self) -> wiring.Component:
        return _ForkBlock(self)


class _ForkBlock(wiring.Component):
    def __init__(self, unit: ForkUnit):
        self.unit, self.op, self.folding = unit, unit.op, unit.folding
        beat = beat_stream(self.op.input.type, self.folding.lanes)
        super().__init__({"i": In(beat), **{f"o_{n}": Out(beat) for n in range(self.op.ways)}})

    def elaborate(self, platform):
        m = Module()
        take, permit = self.i.valid & self.i.ready, 1
        for n, depth in enumerate(self.folding.depths):
            m.submodules[f"outlet_{n}"] = outlet = Outlet(self.i.payload.shape(), depth)
            permit = permit & outlet.permit
            m.d.comb += [outlet.debit.eq(take), outlet.push.eq(take), outlet.payload.eq(self.i.payload)]
            join(m, outlet.o, wiring.flipped(getattr(self, f"o_{n}")), f"output {n}")
        m.d.comb += self.i.ready.eq(permit)
        return m
