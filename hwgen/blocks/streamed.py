"""What operators share that do one thing per cycle: move beats from streams to a stream, through a fixed pipeline."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import reduce
from math import gcd
from typing import NamedTuple

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.memory.queue import Outlet, queue_depth

from .costs import Cost, MemoryNeed, Products
from .logic import Logic
from .mac_folding import divisors
from .operator import LaneFolding, Operator
from .stream import beat_stream, join, queue_logic, queue_memory
from .timing import Actor, Take, ones


class Hardware(NamedTuple):
    """What a block takes, cycles apart."""

    logic: Logic
    memories: Sequence[MemoryNeed] = ()
    products: Sequence[Products] = ()


class Streamed(Operator):
    """An operator whose block starts a step in every cycle and has as many lanes at all its ends.

    A step takes at most one beat from each input and gives at most one, ``depth`` cycles later and then through an
    :class:`Outlet`.
    """

    @abstractmethod
    def hardware(self, folding: LaneFolding) -> Hardware:
        """What stands before the outlet."""

    @abstractmethod
    def depth(self, folding: LaneFolding) -> int:
        """Cycles from a step to its push into the outlet."""

    def foldings(self) -> Iterable[LaneFolding]:
        if self.gap:
            raise self.golden_only()
        channels = reduce(gcd, (map_.channels for map_ in (*self.inputs, self.output)))
        return [LaneFolding(lanes) for lanes in divisors(channels)]

    def latency(self, folding: LaneFolding) -> int:
        """From the end of a step to its beat being offered."""
        return self.depth(folding) + Outlet.LATENCY - 1

    def queue(self, folding: LaneFolding) -> int:
        return queue_depth(self.latency(folding), 1, 1)

    def direct(self, folding: LaneFolding, needs: Sequence[np.ndarray], give: np.ndarray) -> tuple[Actor, ...]:
        """The actor that takes its inputs as it starts: ``needs`` are what steps need of each."""
        main, *rest = needs
        latency, queue = self.latency(folding), self.queue(folding)
        takes = tuple(Take(need) for need in rest)
        name = type(self).__name__.lower()
        return (Actor(name, main, ones(len(main)), give, latency, queue, credit_delay=Outlet.CREDIT, more_takes=takes),)

    def interval(self, folding: LaneFolding) -> int:
        return max(map_.elements for map_ in (*self.inputs, self.output)) // folding.lanes

    def cost(self, folding: LaneFolding) -> Cost:
        width, queue = self.output.type.width * folding.lanes, self.queue(folding)
        logic, memories, products = self.hardware(folding)
        memories = [*memories, queue_memory("queue", queue, width)]
        return Cost.of(self, folding, logic + queue_logic(queue, width), memories, products)


class StreamedUnit(wiring.Component):
    """The ports of a :class:`Streamed` operator's block: ``i`` or ``i_0`` and so on, and ``o``."""

    def __init__(self, op: Streamed, folding: LaneFolding):
        self.op, self.folding = op, folding
        super().__init__(self.ports())
        self.sources = [getattr(self, name) for name in self._names]

    @property
    def _names(self) -> list[str]:
        count = len(self.op.inputs)
        return ["i"] if count == 1 else [f"i_{n}" for n in range(count)]

    def ports(self) -> dict:
        """The streams."""
        op, lanes = self.op, self.folding.lanes
        inputs = zip(self._names, op.inputs, strict=True)
        ports = {name: In(beat_stream(map_.type, lanes)) for name, map_ in inputs}
        return {**ports, "o": Out(beat_stream(op.output.type, lanes))}

    def outlet(self, m: Module) -> Outlet:
        """The outlet, connected to ``o``."""
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), self.op.queue(self.folding))
        join(m, outlet.o, wiring.flipped(self.o), "output")
        return outlet
