"""Stream queue: decouples two blocks whose rates differ from moment to moment."""

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
from .operator import LaneFolding, Operator, Unit
from .stream import beat_stream, join, queue_logic, queue_memory
from .timing import Actor, counting, ones


@dataclass(frozen=True)
class QueueFolding(LaneFolding):
    """``lanes`` elements in a beat, ``depth`` beats."""

    depth: int

    def __str__(self) -> str:
        return f"{self.depth} deep"


@dataclass(frozen=True)
class StreamQueue(Operator):
    """First in, first out. ``depth`` beats are held in all."""

    input: FeatureMap

    @classmethod
    def from_site(cls, site: Site) -> "StreamQueue | None":
        return None  # placed by the pipeline, not by a model

    @property
    def output(self) -> FeatureMap:
        return self.input

    def golden(self, x: np.ndarray) -> np.ndarray:
        return x

    def foldings(self) -> Iterable[QueueFolding]:
        return [QueueFolding(1, depth) for depth in (4, 16, 64, 256)]

    def unit(self, folding: Any) -> "StreamQueueUnit":
        return StreamQueueUnit(self, folding)


class StreamQueueUnit(Unit):
    """Hardware for :class:`StreamQueue`."""

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        beats = counting(self.op.input.elements // self.folding.lanes)
        latency = Outlet.LATENCY - 1
        return (
            Actor("queue", beats, ones(len(beats)), beats, latency, self.folding.depth, credit_delay=Outlet.CREDIT),
        )

    @cached_property
    def cost(self) -> Cost:
        width = self.op.input.type.width * self.folding.lanes
        return self.costing(
            queue_logic(self.folding.depth, width),
            [queue_memory("queue", self.folding.depth, width)],
        )

    def block(self) -> wiring.Component:
        return _QueueBlock(self)


class _QueueBlock(wiring.Component):
    def __init__(self, unit: StreamQueueUnit):
        self.unit, self.op, self.folding = unit, unit.op, unit.folding
        beat = beat_stream(self.op.input.type, self.folding.lanes)
        super().__init__({"i": In(beat), "o": Out(beat)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), self.folding.depth)
        take = self.i.valid & self.i.ready
        m.d.comb += [
            self.i.ready.eq(outlet.permit),
            outlet.debit.eq(take),
            outlet.push.eq(take),
            outlet.payload.eq(self.i.payload),
        ]
        join(m, outlet.o, wiring.flipped(self.o), "output")
        return m
