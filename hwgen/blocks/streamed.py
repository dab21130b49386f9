"""What operators share that move beats from streams to a stream, through a pipeline that ends in a queue."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property, reduce
from math import gcd
from typing import NamedTuple

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.mac.mac_folding import divisors
from hwgen.cost.actor import Actor, Give, Take, ones
from hwgen.cost.logic import Logic
from hwgen.cost.needs import Cost, MemoryNeed, Products
from hwgen.memory.queue import Outlet, queue_depth, queue_logic
from hwgen.memory.ram import ram_need
from hwgen.memory.store import LOAD_PORTS

from .operator import LaneFolding, Operator, OperatorUnit
from .stream import beat_stream, join


class Hardware(NamedTuple):
    """What a block takes, cycles apart."""

    logic: Logic
    memories: Sequence[MemoryNeed] = ()
    products: Sequence[Products] = ()


class Streamed(Operator):
    """An operator whose block has as many lanes at all its ends."""

    def foldings(self) -> Iterable[LaneFolding]:
        """All lanes that whole beats have, fewest first; ModelError where there is no hardware."""
        if self.gap:
            raise self.golden_only()
        channels = reduce(gcd, (map_.channels for map_ in (*self.inputs, self.output)))
        return [LaneFolding(lanes) for lanes in divisors(channels)]


class StreamedUnit(OperatorUnit):
    """Hardware with as many lanes at all its ends, which gives through an :class:`Outlet`.

    Most starts a step in every cycle, which takes at most one beat from each input and gives at most one, ``depth``
    cycles later.
    """

    op: "Streamed"
    folding: "LaneFolding"

    @property
    @abstractmethod
    def hardware(self) -> Hardware:
        """What stands before the outlet."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """Cycles from the end of a step to its push into the outlet."""

    @property
    def latency(self) -> int:
        """From the end of a step to its beat being offered."""
        return self.depth + Outlet.LATENCY - 1

    @property
    def queue(self) -> int:
        """Places of the outlet's queue."""
        return queue_depth(self.latency, 1, 1)

    def direct(self, needs: Sequence[np.ndarray], give: np.ndarray) -> tuple[Actor, ...]:
        """The actor that takes its inputs as it starts: ``needs`` are what steps need of each."""
        gives = (Give(give, self.latency, self.queue),)
        return (Actor(type(self.op).__name__.lower(), ones(len(give)), tuple(map(Take, needs)), gives),)

    @property
    def interval(self) -> int:
        return max(map_.elements for map_ in (*self.op.inputs, self.op.output)) // self.folding.lanes

    @cached_property
    def cost(self) -> Cost:
        width, queue = self.op.output.type.width * self.folding.lanes, self.queue
        logic, memories, products = self.hardware
        memories = [*memories, ram_need("queue", width, queue)]
        return self.costing(logic + queue_logic(queue, width), memories, products)


class StreamedBlock(wiring.Component):
    """The ports of a :class:`Streamed` operator's block: ``i`` or ``i_0`` and so on, and ``o``; and the load bus, where
    constants are loaded."""

    def __init__(self, unit: StreamedUnit):
        self.unit, self.op, self.folding = unit, unit.op, unit.folding
        op, lanes, several = unit.op, unit.folding.lanes, len(unit.op.inputs) > 1
        inputs = {f"i_{n}" if several else "i": In(beat_stream(map_.type, lanes)) for n, map_ in enumerate(op.inputs)}
        streams = {**inputs, "o": Out(beat_stream(op.output.type, lanes))}
        super().__init__(streams | (LOAD_PORTS if op.loading else {}))
        self.sources = [getattr(self, name) for name in inputs]

    def outlet(self, m: Module) -> Outlet:
        """The outlet, connected to ``o``."""
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), self.unit.queue)
        join(m, outlet.o, wiring.flipped(self.o), "output")
        return outlet
