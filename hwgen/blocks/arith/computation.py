"""Numbers in fixed point made of each other, rounded where float32 rounds, and whole computations of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import frexp

import numpy as np
from amaranth.hdl import Module, Signal, Value

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.arith.fixed_point import (
    CHOSEN,
    DIFFERENCE,
    GREATEST,
    LEAST,
    SLOPED,
    SUM,
    Joined,
    Moved,
    Number,
    Operand,
    Product,
    Rounded,
    Scalar,
    Times,
)
from hwgen.blocks.stream import element_shape
from hwgen.blocks.streamed import Hardware
from hwgen.cost.logic import delayed, total
from hwgen.graph.exact.requantization import SIGNIFICAND


def operand(place: int, low: int, high: int, zero: int = 0, exponent: int = 0) -> Number:
    """Operand ``place`` between ``low`` and ``high``, less ``zero``."""
    return Operand(low - zero, high - zero, exponent, (), place, zero)


def exact(value: float) -> tuple[int, int]:
    """A float32 as an odd integer, or 0, and the power of two that it is multiplied by."""
    mantissa, exponent = frexp(float(value))
    digits = int(mantissa * (1 << SIGNIFICAND))
    zeros = (digits & -digits).bit_length() - 1 if digits else 0
    return digits >> zeros, exponent - SIGNIFICAND + zeros if digits else 0


def scalar(value: float) -> Number:
    """A constant float32."""
    digits, exponent = exact(value)
    return Scalar(digits, digits, exponent)


def rounded(number: Number) -> Number:
    """``number`` as float32 holds it."""
    if max(abs(number.low), abs(number.high)) <= 1 << SIGNIFICAND:
        return number
    low, high = (int(np.float32(end)) for end in (number.low, number.high))
    return Rounded(low, high, number.exponent, (number,))


def times(number: Number, by: Number) -> Number:
    """The product, rounded; ``by`` may be a :class:`Scalar`."""
    if isinstance(number, Scalar):
        number, by = by, number
    exponent = number.exponent + by.exponent
    ends = [p * q for p in (number.low, number.high) for q in (by.low, by.high)]
    if not isinstance(by, Scalar):
        return rounded(Product(min(ends), max(ends), exponent, (number, by)))
    if by.low == 0:
        return scalar(0)
    if by.low == 1:
        return Moved(number.low, number.high, exponent, (number,))
    return rounded(Times(min(ends), max(ends), exponent, (number,), by.low))


def _lifted(numbers: Sequence[Number]) -> tuple[int, list[tuple[int, int]]]:
    """The least exponent, and both ends of each number over it."""
    least = min(number.exponent for number in numbers)
    return least, [(n.low << (n.exponent - least), n.high << (n.exponent - least)) for n in numbers]


def plus(a: Number, b: Number, sign: int = 1) -> Number:
    """``a + sign * b``, rounded."""
    exponent, ((low, high), other) = _lifted((a, b))
    other = other if sign > 0 else (-other[1], -other[0])
    return rounded(Joined(low + other[0], high + other[1], exponent, (a, b), SUM if sign > 0 else DIFFERENCE))


def greatest(a: Number, b: Number) -> Number:
    """The greater of two numbers, in the finer of their steps."""
    exponent, ends = _lifted((a, b))
    return Joined(max(low for low, _ in ends), max(high for _, high in ends), exponent, (a, b), GREATEST)


def least(a: Number, b: Number) -> Number:
    """The lesser of two numbers, in the finer of their steps."""
    exponent, ends = _lifted((a, b))
    return Joined(min(low for low, _ in ends), min(high for _, high in ends), exponent, (a, b), LEAST)


def sloped(a: Number, b: Number) -> Number:
    """``b`` where ``a`` is negative, else ``a``."""
    exponent, ends = _lifted((a, b))
    return Joined(min(low for low, _ in ends), max(high for _, high in ends), exponent, (a, b), SLOPED)


def chosen(mask: Number, a: Number, b: Number) -> Number:
    """``a`` where ``mask`` is not 0, else ``b``."""
    exponent, ends = _lifted((a, b))
    return Joined(min(low for low, _ in ends), max(high for _, high in ends), exponent, (mask, a, b), CHOSEN)


@dataclass(frozen=True, eq=False)
class Computation:
    """``result`` of operands, as hardware and in numpy."""

    result: Number

    @cached_property
    def numbers(self) -> list[Number]:
        """All numbers, each behind its parents."""
        found: dict[int, Number] = {}

        def visit(number: Number) -> None:
            for parent in number.parents:
                visit(parent)
            found.setdefault(id(number), number)

        visit(self.result)
        return list(found.values())

    @property
    def latency(self) -> int:
        """Cycles from the operands to the result."""
        return self.result.latency

    @cached_property
    def hardware(self) -> Hardware:
        """Of everything, delays included."""
        parts = [number.hardware for number in self.numbers]
        waits = total(
            delayed(parent.type.width, number.latency - number.cycles - parent.latency)
            for number in self.numbers
            for parent in number.parents
            if not isinstance(parent, Scalar)
        )
        products = [product for part in parts for product in part.products]
        return Hardware(total(part.logic for part in parts) + waits, (), products)

    def emit(self, m: Module, name: str, operands: Sequence[Value]) -> Value:
        """Added to ``m``; gives the result :attr:`latency` cycles after ``operands``."""
        place = {id(number): n for n, number in enumerate(self.numbers)}
        waiting: dict[tuple[int, int], Value] = {}
        for n, number in enumerate(self.numbers):
            parents = []
            for parent in map(id, number.parents):
                at, start = place[parent], number.latency - number.cycles
                ready = self.numbers[at].latency
                for cycle in range(ready, start):
                    if (at, cycle + 1) not in waiting:
                        waiting[at, cycle + 1] = delay(m, waiting[at, cycle], 1, f"{name}_{at}_after_{cycle}")
                parents.append(waiting[at, max(start, ready)])
            if isinstance(number, Operand):
                parents = [operands[number.place]]
            value = Signal(element_shape(number.type), name=f"{name}_{n}")
            m.d.comb += value.eq(number.emit(m, f"{name}_{n}_is", parents))
            waiting[n, number.latency] = value
        return waiting[len(self.numbers) - 1, self.latency]

    def apply(self, *operands: np.ndarray) -> np.ndarray:
        """The result's integers for operands that broadcast to each other; numbers must fit into int64."""
        values: dict[int, np.ndarray] = {}
        for number in self.numbers:
            parents = [values[id(parent)] for parent in number.parents]
            if isinstance(number, Operand):
                parents = [operands[number.place]]
            values[id(number)] = number.apply(*parents)
        return values[id(self.result)]
