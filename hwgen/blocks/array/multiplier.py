"""What multiplies: an activation by a weight in one hardware multiplier, by two weights in one, or by adders in LUTs.

Two products in one: ``x * (w_0 + (w_1 << k))`` is ``x * w_0 + (x * w_1 << k)``, where ``k`` bits hold a product. So
the low half is ``x * w_0``; the high half is ``x * w_1``, less one where ``x * w_0`` is negative and has borrowed from
it. A multiplier of 25 by 18 bits is wide enough for 8-bit operands.
"""

from dataclasses import dataclass
from functools import cached_property

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.blocks.stream import element_shape
from hwgen.cost.logic import Logic, adder, total
from hwgen.cost.needs import Products
from hwgen.graph.types import IntType
from hwgen.hdl.elements import Element

#: Values of ``at_once``: products that a hardware multiplier makes; none, where they are made of LUTs.
IN_LUTS, SINGLE, PAIR = 0, 1, 2


def product_type(a: IntType, b: IntType) -> IntType:
    """The type of ``a * b``."""
    corners = [p * q for p in (a.min, a.max) for q in (b.min, b.max)]
    return IntType.holding(min(corners), max(corners))


@dataclass(frozen=True)
class Multiplier:
    """Products of ``x`` by ``lanes`` weights, :attr:`latency` cycles after the weights.

    ``x`` comes :attr:`x_delay` cycles after the weights.
    """

    x: IntType
    weight: IntType
    at_once: int = SINGLE

    @property
    def lanes(self) -> int:
        """Products that it gives at once."""
        return PAIR if self.at_once == PAIR else 1

    @property
    def x_delay(self) -> int:
        """Cycles by which ``x`` must come later than the weights."""
        return 1 if self.at_once == PAIR else 0

    @property
    def latency(self) -> int:
        """One: held, multiplied. A pair: weights joined, multiplied, taken apart. In LUTs: a level of adders each."""
        if self.at_once == IN_LUTS:
            return max((self.weight.width - 1).bit_length(), 1)
        return 3 if self.at_once == PAIR else 2

    @cached_property
    def product(self) -> IntType:
        """The type of a product."""
        return product_type(self.x, self.weight)

    @cached_property
    def joined(self) -> IntType:
        """Holds what the multiplier takes for the weights."""
        if self.at_once != PAIR:
            return self.weight
        by = 1 + (1 << self.product.width)
        return IntType.holding(self.weight.min * by, self.weight.max * by)

    def hardware(self, lanes: int, each: int) -> tuple[Products, ...]:
        """What multiplies ``each`` products of ``lanes`` weights; a lane left over has a multiplier of its own."""
        luts, (a, b) = self.at_once == IN_LUTS, (type_.width + (not type_.signed) for type_ in (self.joined, self.x))
        kinds = ((lanes // self.lanes, self.lanes), (lanes % self.lanes, 1))
        return tuple(Products(count * each, a, b, at_once, luts=luts) for count, at_once in kinds if count)

    @property
    def logic(self) -> Logic:
        """Counted bits of one element."""
        width = self.product.width
        if self.at_once == IN_LUTS:
            return Logic(gated=self.weight.width * self.x.width) + self._row_logic
        if self.at_once == SINGLE:
            return Logic(inside=self.weight.width + width)
        joined = 2 * self.weight.width + self.weight.signed  # between the two all bits are the sign of the lower one
        borrow = Logic(joining=self.weight.width + 1, carry=width) if self.weight.signed else Logic()
        return borrow + Logic(inside=joined + 2 * width, register=2 * width)

    @property
    def _row_logic(self) -> Logic:
        """Rows added up in LUTs: a level adds one bit to what its rows and their distance take."""
        rows, level, logic = [self.x.width] * self.weight.width, 0, Logic()
        while len(rows) > 1 or not level:
            pairs, apart = [rows[at : at + 2] for at in range(0, len(rows), 2)], 1 << level
            logic += total(adder(pair[1] + 1) for pair in pairs if len(pair) == 2)
            rows = [min(max(pair) + (apart + 1) * (len(pair) == 2), self.product.width) for pair in pairs]
            logic, level = logic + Logic(register=sum(rows)), level + 1
        return logic

    def element(self) -> "_Multiplying":
        """The hardware: ports ``x``, ``weights`` and ``o``."""
        return {IN_LUTS: _InLuts, SINGLE: _Single, PAIR: _Pair}[self.at_once](self)


class _Multiplying(Element):
    """``o`` is ``x`` times each of ``weights``."""

    name: str

    def __init__(self, kind: Multiplier):
        self.kind = self.key = kind
        self.label = f"{self.name}_{kind.x}_{kind.weight}"
        weights = data.ArrayLayout(element_shape(kind.weight), kind.lanes)
        products = data.ArrayLayout(element_shape(kind.product), kind.lanes)
        super().__init__({"x": In(element_shape(kind.x)), "weights": In(weights), "o": Out(products)})


class _Single(_Multiplying):
    """One multiplier with registers before it and behind it, as hardware multipliers have them inside."""

    name = "product"

    def inside(self, platform):
        m, kind = Module(), self.kind
        kinds = {"held_x": kind.x, "held_weight": kind.weight, "product": kind.product}
        x, weight, product = (Signal(element_shape(type_), name=name, reset_less=True) for name, type_ in kinds.items())
        m.d.sync += [x.eq(self.x), weight.eq(self.weights[0]), product.eq(x * weight)]
        m.d.comb += self.o[0].eq(product)
        return m


class _Pair(_Multiplying):
    """One multiplier for two products, with registers before it, behind it, and behind what takes them apart."""

    name = "products"

    def inside(self, platform):
        m, half = Module(), self.kind.product.width
        joined = Signal(element_shape(self.kind.joined), reset_less=True)
        product = Signal((self.x * joined).shape(), reset_less=True)
        parts = [Signal(element_shape(self.kind.product), name=f"product_{n}", reset_less=True) for n in range(2)]
        borrowed = product[half - 1] if self.kind.product.signed else 0
        m.d.sync += [
            joined.eq(self.weights[0] + (self.weights[1] << half)),
            product.eq(self.x * joined),
            parts[0].eq(product[:half]),
            parts[1].eq((product >> half) + borrowed),
        ]
        m.d.comb += [self.o[n].eq(part) for n, part in enumerate(parts)]
        return m


class _InLuts(_Multiplying):
    """A row of gates for each bit of the weight, and adders in explicit levels with a register each: no tool makes a
    hardware multiplier of that."""

    name = "lut_product"

    def inside(self, platform):
        m, weight = Module(), self.weights[0]
        negative = self.kind.weight.signed
        rows: list[Value] = [Mux(bit, self.x, 0) for bit in weight]
        if len(rows) == 1 and negative:
            rows, negative = [-rows[0]], False
        for level in range(self.kind.latency):
            pairs = [rows[n : n + 2] for n in range(0, len(rows), 2)]
            values = [_row(pair, 1 << level, negative and n == len(pairs) - 1) for n, pair in enumerate(pairs)]
            # The highest bit of a signed weight counts as negative: its row is taken off as soon as it has a partner.
            negative = negative and len(rows) % 2 == 1
            rows = [Signal(value.shape(), name=f"row{level}_{n}", reset_less=True) for n, value in enumerate(values)]
            m.d.sync += [row.eq(value) for row, value in zip(rows, values, strict=True)]
        m.d.comb += self.o[0].eq(rows[0])
        return m


def _row(pair: list[Value], shift: int, negative: bool) -> Value:
    """The lower row with the upper one added, or taken off, ``shift`` bits higher; a row alone as it is."""
    if len(pair) == 1:
        return pair[0]
    low, high = pair
    upper = (low >> shift) - high if negative else (low >> shift) + high
    value = Cat(low[:shift], upper)
    return value.as_signed() if upper.shape().signed else value
