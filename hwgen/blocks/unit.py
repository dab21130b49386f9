"""Hardware between streams: what a unit says of itself, whatever it is for."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.cost.actor import Actor
from hwgen.cost.logic import Logic
from hwgen.cost.needs import Cost, MemoryNeed, Products
from hwgen.cost.timing import steady
from hwgen.memory.dram.port import MemoryRead
from hwgen.memory.store import LOAD_PORTS

from .stream import Port, numbered

#: An output of a block of a unit, by numbers; block -1 is whatever the unit reads.
End = tuple[int, int]


class Block(NamedTuple):
    """A block of a unit: what it is called behind the unit's name, and the ends that it reads."""

    suffix: str
    unit: "Unit"
    sources: tuple[End, ...]


class Unit(ABC):
    """Hardware between streams. What computes an operator is an :class:`OperatorUnit`, what only joins others a
    :class:`Joint`; subclasses are frozen dataclasses."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[Port, ...]:
        """What comes in."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[Port, ...]:
        """What leaves."""

    @abstractmethod
    def golden(self, *inputs: Any, **unused: Any) -> tuple[np.ndarray, ...]:
        """The definition: integers [N, H, W, C] of each of ``inputs`` to those of each output."""

    @property
    @abstractmethod
    def actors(self) -> tuple[Actor, ...]:
        """When the block takes and gives beats."""

    @property
    @abstractmethod
    def cost(self) -> Cost:
        """Exact cycles, multipliers and memories; logic as counted bits."""

    @abstractmethod
    def block(self) -> wiring.Component:
        """The hardware, with streams ``i`` and ``o``, or ``i_0`` and so on where several come or leave; and ``w``, what
        is read from DRAM, where anything is."""

    @abstractmethod
    def __str__(self) -> str:
        """How it is laid out, in a few words."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks that a pipeline has for it, the first ones first; itself unless there are several."""
        return (Block("", self, tuple((-1, n) for n in range(len(self.inputs)))),)

    @property
    def ends(self) -> tuple[End, ...]:
        """The end of a block that each output is."""
        return tuple((0, n) for n in range(len(self.outputs)))

    #: Whether it only joins other units, each of its outputs giving elements as they come in.
    joins: ClassVar[bool] = False

    @property
    def by_pixel(self) -> bool:
        """Whether each pixel that leaves needs one pixel that comes in."""
        return self.joins

    @property
    def holds(self) -> tuple[int, ...]:
        """Beats that it keeps behind each output for whoever reads that, as what it is there for."""
        return (0,) * len(self.outputs)

    @property
    def lanes_in(self) -> int:
        """Elements in a beat of each input."""
        return self.inputs[0].lanes

    @property
    def lanes_out(self) -> int:
        """Elements in a beat of the first output."""
        return self.outputs[0].lanes

    @property
    def loads(self) -> bool:
        """Whether anything of it is loaded at run time."""
        return False

    @property
    def large(self) -> str | None:
        """The style of large RAM that it has constants in, which holds nothing at power-up, so that it can do nothing
        before a load; None where it has none."""
        return None

    @property
    def slices(self) -> str | None:
        """The kind of DSP blocks that a device must have for it, None where any will do."""
        return None

    @property
    def stores(self) -> int:
        """Stores in the chain that loads its constants, at the most: three, or one for each of its lanes."""
        return max(3, self.lanes_out)

    @property
    def image(self) -> bytes:
        """What loads its constants."""
        raise NotImplementedError(f"{type(self).__name__} does not say what loads its constants")

    @property
    def memory(self) -> MemoryRead | None:
        """What it reads from DRAM for every frame, as the last input of :attr:`actors`; None where it reads nothing."""
        return None

    @property
    def memory_image(self) -> bytes:
        """What the region of :attr:`memory` holds, in the order in which it is read."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it reads from DRAM")

    @property
    def interval(self) -> int:
        """A quick lower bound for the cycles per frame, used by the search."""
        return max(actor.interval for actor in self.actors)

    def timed(self) -> tuple[int, int]:
        """Exact cycles per frame and latency of the block alone."""
        return steady(self.actors)

    def costing(self, logic: Logic, memories: Iterable[MemoryNeed] = (), products: Iterable[Products] = ()) -> Cost:
        """A cost put together; cycles and latency come from :attr:`actors`."""
        return Cost(tuple(products), tuple(memories), logic, self.timed)


@dataclass(frozen=True)
class Joint(Unit):
    """What only joins other units; each output gives what ``source`` brings, unless it says otherwise."""

    source: Port

    joins = True

    @property
    def inputs(self) -> tuple[Port, ...]:
        return (self.source,)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (self.source,)

    def golden(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        return (x,) * len(self.outputs)


class UnitBlock(wiring.Component):
    """A component with the streams of its ``unit``, which are its ``sources`` and ``sinks``; with the stream ``w``,
    where it reads from DRAM, and the load bus, where constants are loaded."""

    def __init__(self, unit: Unit):
        self.unit = unit
        inputs, outputs = numbered("i", len(unit.inputs)), numbered("o", len(unit.outputs))
        ports = {name: In(port.stream) for name, port in zip(inputs, unit.inputs, strict=True)}
        ports |= {name: Out(port.stream) for name, port in zip(outputs, unit.outputs, strict=True)}
        if unit.memory:
            ports["w"] = In(unit.memory.stream)
        super().__init__(ports | (LOAD_PORTS if unit.loads else {}))
        self.sources = [getattr(self, name) for name in inputs]
        self.sinks = [wiring.flipped(getattr(self, name)) for name in outputs]
