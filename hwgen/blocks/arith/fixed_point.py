"""Float32 numbers that are computed of streams and constants, as integers over a power of two: bit for bit.

A :class:`Number` is an integer times ``2**exponent``. Where float32 would round, it is :class:`Rounded` to 24
significant bits, half to even. As scales are constants, nothing is shifted by what data say.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from hwgen.blocks.arith.arithmetic import AdderTree, delay, register
from hwgen.blocks.arith.scaled_sum import chunks
from hwgen.blocks.stream import element_shape
from hwgen.blocks.streamed import Hardware
from hwgen.cost.logic import Logic, adder, adder_register, adder_tree
from hwgen.cost.needs import Products
from hwgen.graph.exact.requantization import SIGNIFICAND
from hwgen.graph.types import IntType
from hwgen.memory.rom import Columns, Rom, pack

#: Bits of a constant that a multiplier takes at once.
DIGIT_BITS = 17
#: Bits of a number.
WIDEST = 64
#: Exponents between which float32 numbers neither overflow nor lose bits.
_EXPONENTS = (-140, 126)


class TooWide(ValueError):
    """A number that does not fit: the message says of what."""


@dataclass(frozen=True, eq=False)
class Number(ABC):
    """An integer between ``low`` and ``high`` times ``2**exponent``, made of ``parents``, ``cycles`` after them."""

    low: int
    high: int
    exponent: int
    parents: tuple["Number", ...] = ()

    def __post_init__(self):
        width = max((-self.low).bit_length(), self.high.bit_length()) + 1
        if width > WIDEST:
            raise TooWide(f"numbers of {width} bits in fixed point (limit {WIDEST} bits); make scales more alike")
        if self.exponent < _EXPONENTS[0] or self.exponent + self.type.width > _EXPONENTS[1]:
            raise TooWide("numbers beyond the range of float32; make scales more alike")

    @property
    def type(self) -> IntType:
        """Signed, so that sums and differences need no care."""
        return IntType.holding(min(self.low, -1), max(self.high, 0))

    @property
    def cycles(self) -> int:
        """From the parents to the number."""
        return 0

    @cached_property
    def latency(self) -> int:
        """Cycles from operands to this."""
        return self.cycles + max((parent.latency for parent in self.parents), default=0)

    @property
    def hardware(self) -> Hardware:
        """What it takes, delays of its parents apart."""
        return Hardware(Logic())

    @abstractmethod
    def emit(self, m: Module, name: str, parents: Sequence[Value]) -> Value:
        """Its integer, :attr:`cycles` after those of its parents."""

    @abstractmethod
    def apply(self, *parents: np.ndarray) -> np.ndarray:
        """Its integers, int64, for those of its parents."""

    def register(self, m: Module, name: str, value: Value) -> Signal:
        """``value``, a cycle later, in this number's type."""
        return register(m, value, name, element_shape(self.type))


@dataclass(frozen=True, eq=False)
class Operand(Number):
    """Operand ``place`` less its zero point: a stream, or a constant that differs from place to place."""

    place: int = 0
    zero: int = 0

    @property
    def cycles(self) -> int:
        return int(self.zero != 0)

    @property
    def hardware(self) -> Hardware:
        return Hardware(adder_register(self.type.width) if self.zero else Logic())

    def emit(self, m: Module, name: str, parents: Sequence[Value]) -> Value:
        (source,) = parents
        return self.register(m, name, source - self.zero) if self.zero else source

    def apply(self, *parents: np.ndarray) -> np.ndarray:
        return parents[0].astype(np.int64) - self.zero


@dataclass(frozen=True, eq=False)
class Scalar(Number):
    """The integer ``low``, always."""

    def emit(self, m: Module, name: str, parents: Sequence[Value]) -> Value:
        return Const(self.low, element_shape(self.type))

    def apply(self, *parents: np.ndarray) -> np.ndarray:
        return np.array(self.low, np.int64)


@dataclass(frozen=True, eq=False)
class Moved(Number):
    """The parent's integer over another power of two."""

    def emit(self, m: Module, name: str, parents: Sequence[Value]) -> Value:
        return parents[0]

    def apply(self, *parents: np.ndarray) -> np.ndarray:
        return parents[0]


@dataclass(frozen=True, eq=False)
class Rounded(Number):
    """The parent rounded to 24 significant bits, half to even."""

    cycles = 2

    @property
    def hardware(self) -> Hardware:
        width = self.parents[0].type.width
        above = width - 1 - SIGNIFICAND
        return Hardware(Logic(adder=width, logic=2 * above, register=2 * width + above))

    def emit(self, m: Module, name: str, parents: Sequence[Value]) -> Value:
        return significand(m, parents[0], name)

    def apply(self, *parents: np.ndarray) -> np.ndarray:
        return parents[0].astype(np.float32).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Times(Number):
    """The parent times a constant, by tables of four bits and adders: no multiplier."""

    by: int = 1

    @cached_property
    def tables(self) -> list[np.ndarray]:
        """For each chunk of the parent's bits, what each of its values is multiplied to."""
        return [part * self.by for part in chunks(self.parents[0].type)]

    @property
    def cycles(self) -> int:
        return 1 + (len(self.tables) - 1).bit_length()

    @property
    def hardware(self) -> Hardware:
        width, count = self.type.width, len(self.tables)
        columns = [Columns.of(table[:, None], [width]) for table in self.tables]
        tables = Logic(logic=sum(c.different for c in columns), register=sum(c.registers for c in columns))
        return Hardware(adder_tree(width, count) + tables)

    def emit(self, m: Module, name: str, parents: Sequence[Value]) -> Value:
        shape, source = element_shape(self.type), parents[0]
        m.submodules[f"{name}_tree"] = tree = AdderTree(shape, len(self.tables))
        at = 0
        for n, table in enumerate(self.tables):
            bits = len(table).bit_length() - 1
            rom = Rom([pack([value], shape.width) for value in table.tolist()], shape.width)
            m.submodules[f"{name}_table_{n}"] = rom
            m.d.comb += [rom.address.eq(source[at : at + bits]), tree.i[n].eq(rom.data)]
            at += bits
        return tree.o

    def apply(self, *parents: np.ndarray) -> np.ndarray:
        return parents[0] * self.by


@dataclass(frozen=True, eq=False)
class Product(Number):
    """The product of both parents; the second is cut into digits where it is long, a multiplier each."""

    @property
    def digits(self) -> list[tuple[int, int]]:
        """Lowest bit and width of each digit of the second parent; the last one has the sign."""
        width = self.parents[1].type.width
        if width <= DIGIT_BITS + 1:
            return [(0, width)]
        starts = list(range(0, width - 1, DIGIT_BITS))
        return [(at, min(DIGIT_BITS, width - at) if at != starts[-1] else width - at) for at in starts]

    @property
    def cycles(self) -> int:
        """Held; multiplied; added up."""
        return 2 + (len(self.digits) - 1).bit_length()

    @property
    def hardware(self) -> Hardware:
        width, wide = self.parents[0].type.width, self.type.width
        kinds = [(width, bits + (at != self.digits[-1][0])) for at, bits in self.digits]
        products = [Products(1, *kind) for kind in kinds]
        registers = Logic(register=sum(a + b + a + b for a, b in kinds))
        return Hardware(registers + adder_tree(wide, len(kinds)), [], products)

    def emit(self, m: Module, name: str, parents: Sequence[Value]) -> Value:
        a, b = parents
        shape = element_shape(self.type)
        m.submodules[f"{name}_tree"] = tree = AdderTree(shape, len(self.digits))
        last = self.digits[-1][0]
        for n, (at, bits) in enumerate(self.digits):
            digit = b[at : at + bits]
            digit = digit.as_signed() if at == last else digit
            held, by = register(m, a, f"{name}_held_{n}"), register(m, digit, f"{name}_digit_{n}")
            m.d.comb += tree.i[n].eq(register(m, held * by, f"{name}_part_{n}") << at)
        return tree.o

    def apply(self, *parents: np.ndarray) -> np.ndarray:
        return parents[0] * parents[1]


class Join(NamedTuple):
    """What is made of numbers with the same step: in hardware and in numpy. ``adds``: by an adder alone; with
    ``chooser`` the first one only says which of the others it is, and has a step of its own."""

    hardware: Callable[..., Value]
    numpy: Callable[..., Any]
    adds: bool = False
    chooser: bool = False


SUM = Join(lambda a, b: a + b, np.add, adds=True)
DIFFERENCE = Join(lambda a, b: a - b, np.subtract, adds=True)
GREATEST = Join(lambda a, b: Mux(a > b, a, b), np.maximum)
LEAST = Join(lambda a, b: Mux(a < b, a, b), np.minimum)
#: The second where the first is negative, else the first.
SLOPED = Join(lambda a, b: Mux(a < 0, b, a), lambda a, b: np.where(a < 0, b, a))
#: The second where the first is not 0, else the third.
CHOSEN = Join(lambda mask, a, b: Mux(mask != 0, a, b), lambda mask, a, b: np.where(mask != 0, a, b), chooser=True)


@dataclass(frozen=True, eq=False)
class Joined(Number):
    """Parents brought to one power of two, and joined. A register."""

    join: Join = SUM

    cycles = 1

    @property
    def lifts(self) -> list[int]:
        """By how many bits each parent is shifted left, so that all have the same step."""
        lifts = [parent.exponent - self.exponent for parent in self.parents]
        return [0, *lifts[1:]] if self.join.chooser else lifts

    @property
    def hardware(self) -> Hardware:
        width = self.type.width
        return Hardware(adder_register(width) if self.join.adds else adder(width) + Logic(mux=width, register=width))

    def emit(self, m: Module, name: str, parents: Sequence[Value]) -> Value:
        lifted = [value << lift for value, lift in zip(parents, self.lifts, strict=True)]
        return self.register(m, name, self.join.hardware(*lifted))

    def apply(self, *parents: np.ndarray) -> np.ndarray:
        return self.join.numpy(*(np.asarray(x) << lift for x, lift in zip(parents, self.lifts, strict=True)))


def significand(m: Module, value: Value, name: str) -> Value:
    """Signed ``value`` rounded to 24 significant bits, half to even: two registers."""
    above = len(value) - 1 - SIGNIFICAND
    if above <= 0:
        return delay(m, value, 2, name).as_signed()
    magnitude = Mux(value[-1], ~value, value)[: len(value) - 1]
    # `longer[n]`: more than n bits are to go.
    longer = register(m, Cat(magnitude[SIGNIFICAND + n :].any() for n in range(above)), f"{name}_longer", above + 1)
    held = register(m, value, f"{name}_held", signed(len(value)))
    last = Cat(longer[n - 1] & ~longer[n] & held[n] for n in range(1, above + 1)).any()
    up = held + longer[1:above] + last if above > 1 else held + last
    whole = Cat(up[:above] & ~longer[:above], up[above:]).as_signed()
    return register(m, whole, f"{name}_up", signed(len(value) + 1))
