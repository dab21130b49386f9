"""What an array of multipliers is: running dot products over weights that it holds, however it is built."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.stream import element_shape
from hwgen.cost.logic import Logic, counter, total
from hwgen.cost.needs import MemoryNeed, Products
from hwgen.graph.types import IntType
from hwgen.memory.queue import wrapping_increment
from hwgen.memory.store import LOAD_PORTS, pass_on
from hwgen.memory.weights import WEIGHT_SOURCES, WeightSource


@dataclass(frozen=True)
class ArrayShape:
    """``parallel`` groups side by side. Each takes ``portion`` activations of type ``x`` in a cycle and adds their
    products by weights of type ``weight``, from ``least`` to ``most``, to ``outputs`` sums of type ``sums``, which end
    after ``steps`` cycles. ``depth``: words of weights, which come round and round. The groups are ``copies`` of fewer,
    with the same weights for other activations.
    """

    x: IntType
    weight: IntType
    least: int
    most: int
    sums: IntType
    parallel: int
    outputs: int
    portion: int
    steps: int
    depth: int
    copies: int = 1

    @property
    def groups(self) -> int:
        """Those with weights of their own."""
        return self.parallel // self.copies

    @property
    def multipliers(self) -> int:
        """Products in each cycle."""
        return self.parallel * self.outputs * self.portion


@dataclass(frozen=True, eq=False)
class DotArray(ABC):
    """``values`` makes the weights, int64 [depth, groups, outputs, portion], which are ``kept`` in one of
    :data:`hwgen.memory.weights.WEIGHT_SOURCES`; a hardware multiplier makes ``products`` at once. ``spread`` says
    between which two integers the sum of the products of a part of the portion lies, for all parts when it is cut into
    so many that are as alike as can be.
    """

    shape: ArrayShape
    kept: str
    products: int
    values: Callable[[], np.ndarray]
    spread: Callable[[int], tuple[int, int]]

    @property
    @abstractmethod
    def sources(self) -> tuple[WeightSource, ...]:
        """The weight memories."""

    @property
    @abstractmethod
    def latency(self) -> int:
        """Cycles from a portion, and the address of its weights, to sums with it."""

    @property
    @abstractmethod
    def hardware(self) -> tuple[Products, ...]:
        """Hardware multipliers."""

    @property
    @abstractmethod
    def arithmetic(self) -> Logic:
        """Counted bits beside the weight memories and their address."""

    @abstractmethod
    def component(self) -> "ArrayComponent":
        """The hardware."""

    @property
    def source(self) -> type[WeightSource]:
        """The class of its memories."""
        return WEIGHT_SOURCES[self.kept]

    @property
    def logic(self) -> Logic:
        """Counted bits of all that is neither memory nor multiplier."""
        return total([self.arithmetic, counter(self.shape.depth), *(each.logic for each in self.sources)])

    @property
    def memories(self) -> tuple[MemoryNeed, ...]:
        """Those of the weights."""
        return tuple(need for each in self.sources for need in each.memories)

    @property
    def problems(self) -> list[str]:
        """Why it cannot be built; empty if it can."""
        return self.sources[0].problems

    @property
    def image(self) -> bytes:
        """What loads the weights."""
        return b"".join(each.image for each in self.sources)


class ArrayComponent(wiring.Component):
    """The hardware of ``array``. In every cycle with ``strobe`` the products of ``x`` (group by group) and the weights
    whose turn it is are added up; ``first`` starts new sums. ``sums`` (group by group) follow the portion with ``last``
    by the array's latency, and are valid in that cycle; ``soon`` comes a cycle earlier. No stage ever stalls.
    """

    def __init__(self, array: DotArray):
        self.array, shape = array, array.shape
        ports = {
            "strobe": In(1),
            "first": In(1),
            "last": In(1),
            "x": In(data.ArrayLayout(element_shape(shape.x), shape.parallel * shape.portion)),
            "soon": Out(1),
            "sums": Out(data.ArrayLayout(element_shape(shape.sums), shape.parallel * shape.outputs)),
        }
        super().__init__(ports | (LOAD_PORTS if array.source.loads else {}))

    def hold(self, m: Module, names: Iterable[str]) -> list[wiring.Component]:
        """Put in the weight memories under these names, in a chain that loads them; the address of the first goes
        round with ``strobe``."""
        parts = []
        for name, source in zip(names, self.array.sources, strict=True):
            m.submodules[name] = part = source.component()
            parts.append(part)
        if self.array.source.loads:
            pass_on(m, self, *parts)
        address, depth = parts[0].address, self.array.shape.depth
        if depth > 1:
            with m.If(self.strobe):
                m.d.sync += address.eq(wrapping_increment(address, depth))
        return parts
