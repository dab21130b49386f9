"""What operators share that move beats from streams to a stream, through a pipeline that ends in a queue."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property, reduce
from math import gcd
from typing import ClassVar, NamedTuple

import numpy as np
from amaranth.hdl import Module

from hwgen.blocks.mac.mac_folding import PIXELS, divisors
from hwgen.blocks.unit import UnitBlock
from hwgen.cost.actor import Actor, Give, Take, ones
from hwgen.cost.logic import Logic
from hwgen.cost.needs import Cost, MemoryNeed, Products
from hwgen.memory.queue import Outlet, behind, queue_depth, queue_logic
from hwgen.memory.ram import ram_need

from .operator import LaneFolding, Operator, OperatorUnit
from .stream import join


class Hardware(NamedTuple):
    """What a block takes, cycles apart."""

    logic: Logic
    memories: Sequence[MemoryNeed] = ()
    products: Sequence[Products] = ()


class Pipeline(ABC):
    """What makes an integer of others in a lane of a block, a new one in every cycle."""

    @property
    @abstractmethod
    def latency(self) -> int:
        """Cycles from the operands to the result."""

    @property
    @abstractmethod
    def hardware(self) -> Hardware:
        """What a lane takes."""

    @abstractmethod
    def certificate(self) -> dict[str, object]:
        """What was proved, in a form for reports."""


class Streamed(Operator):
    """An operator whose block has as many lanes at all its ends."""

    #: What computes it, which says so itself (``computes``).
    unit: ClassVar[type["StreamedUnit"]]

    @property
    def alike(self) -> bool:
        """Whether every element becomes what it does wherever it stands, so that beats may hold several pixels."""
        return False

    def foldings(self) -> Iterable[LaneFolding]:
        """All lanes that whole beats have, fewest first; ModelError where there is no hardware."""
        if self.gap:
            raise self.golden_only()
        channels = reduce(gcd, (map_.channels for map_ in (*self.inputs, self.output)))
        several = [pixels for pixels in PIXELS if self.alike and self.output.width % pixels == 0]
        return [LaneFolding(lanes) for lanes in (*divisors(channels), *(channels * pixels for pixels in several))]

    def units(self) -> Iterable[OperatorUnit]:
        return [self.unit(self, folding) for folding in self.foldings()]


class StreamedUnit(OperatorUnit):
    """Hardware with as many lanes at all its ends, which gives through an :class:`Outlet`.

    Most starts a step in every cycle, which takes at most one beat from each input and gives at most one, ``depth``
    cycles later.
    """

    op: "Streamed"
    folding: "LaneFolding"

    def __init_subclass__(cls, computes: type[Streamed] | None = None):
        super().__init_subclass__()
        if computes:
            computes.unit = cls

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
        gives = (Give(give, self.latency + behind(self.queue), self.queue),)
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


class StreamedBlock(UnitBlock):
    """A block of a :class:`StreamedUnit`."""

    unit: "StreamedUnit"

    def __init__(self, unit: StreamedUnit):
        self.op, self.folding = unit.op, unit.folding
        super().__init__(unit)

    def outlet(self, m: Module) -> Outlet:
        """The outlet, connected to ``o``."""
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), self.unit.queue)
        join(m, outlet.o, self.sinks[0], "output")
        return outlet
