"""What multiplies: an activation by a weight in one hardware multiplier, by two weights in one, or by adders in LUTs.

Two products in one: ``x * (w_0 + (w_1 << k))`` is ``x * w_0 + (x * w_1 << k)``, where ``k`` bits hold a product. So
the low half is ``x * w_0``; the high half is ``x * w_1``, less one where ``x * w_0`` is negative and has borrowed from
it. A multiplier of 25 by 18 bits is wide enough for 8-bit operands.

In LUTs: a row for every two bits of the weight, which is 0, 1, 2 or 3 times ``x``. Three times ``x`` comes from
outside, made once for all weights that it is multiplied by. The highest digit of a signed weight is 0, 1, -2 or -1.
"""

from dataclasses import dataclass
from functools import cached_property

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
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
            return max((self._digits - 1).bit_length(), 1)
        return 3 if self.at_once == PAIR else 2

    @property
    def _digits(self) -> int:
        """Rows of a product in LUTs."""
        return -(-self.weight.width // 2)

    @property
    def tripled(self) -> bool:
        """Whether it takes three times ``x``, too."""
        return self.at_once == IN_LUTS and self.weight.width > 1 + self.weight.signed

    @property
    def triple(self) -> IntType:
        """The type of three times ``x``."""
        return IntType(self.x.width + 2, self.x.signed)

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
            return self._row_logic
        if self.at_once == SINGLE:
            return Logic(inside=self.weight.width + width)
        joined = 2 * self.weight.width + self.weight.signed  # between the two all bits are the sign of the lower one
        borrow = Logic(joining=self.weight.width + 1, carry=width) if self.weight.signed else Logic()
        return borrow + Logic(inside=joined + 2 * width, register=2 * width)

    @property
    def _row_logic(self) -> Logic:
        """Rows chosen, of which every second one is so in front of an adder, and added up in LUTs."""
        wide, full = self.triple.width, self.weight.width // 2 - (self.weight.signed and self.weight.width % 2 == 0)
        alone, paired = (full + 1) // 2, full // 2
        logic = Logic(quad=alone * wide, gated=(2 * paired + self._digits - full) * wide)
        rows, level = [wide] * self._digits, 0
        if self.weight.signed and self._digits % 2:
            logic += adder(wide)
        while len(rows) > 1 or not level:
            pairs, apart = [rows[at : at + 2] for at in range(0, len(rows), 2)], 2 << level
            sums = [max(pair[0] - apart, pair[1]) + 1 for pair in pairs if len(pair) == 2]
            logic += total(map(adder, sums))
            rows = [each + apart for each in sums] + [pair[0] for pair in pairs if len(pair) == 1]
            rows = [min(each, self.product.width) for each in rows]
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
        thrice = {"thrice": In(element_shape(kind.triple))} if kind.tripled else {}
        super().__init__({"x": In(element_shape(kind.x)), **thrice, "weights": In(weights), "o": Out(products)})


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
    """A row for each digit of the weight, and adders in explicit levels with a register each: no tool makes a hardware
    multiplier of that."""

    name = "lut_product"

    def inside(self, platform):
        m, weight = Module(), self.weights[0]
        rows, carry = self._rows([weight[at : at + 2] for at in range(0, len(weight), 2)])
        for level in range(self.kind.latency):
            pairs = [rows[n : n + 2] for n in range(0, len(rows), 2)]
            values = [_row(pair, 2 << level) for pair in pairs[:-1]]
            values.append(_row(pairs[-1], 2 << level, None if level else carry))
            rows = [Signal(value.shape(), name=f"row{level}_{n}", reset_less=True) for n, value in enumerate(values)]
            m.d.sync += [row.eq(value) for row, value in zip(rows, values, strict=True)]
        m.d.comb += self.o[0].eq(rows[0])
        return m

    def _rows(self, digits: list[Value]) -> tuple[list[Value], Value | None]:
        """A multiple of ``x`` for each digit; what is to be added to the last, of a signed weight, which is inverted
        where it counts as negative."""
        if not self.kind.weight.signed:
            return [self._multiple(digit) for digit in digits], None
        *low, high = digits
        negative, once = high[-1], Mux(high[0], self.x, 0)
        size = once if len(high) == 1 else Mux(negative & ~high[0], self.x << 1, once)
        inverted = Cat(size, *[size[-1] if self.kind.x.signed else Const(0, 1)] * (self.kind.triple.width - len(size)))
        inverted = inverted ^ negative.replicate(len(inverted))
        return [*map(self._multiple, low), inverted.as_signed()], negative

    def _multiple(self, digit: Value) -> Value:
        """``x`` times an unsigned digit of a bit or two."""
        once = Mux(digit[0], self.x, 0)
        return once if len(digit) == 1 else Mux(digit[1], Mux(digit[0], self.thrice, self.x << 1), once)


def _row(pair: list[Value], shift: int, carry: Value | None = None) -> Value:
    """The lower row with the upper one added ``shift`` bits higher, and a ``carry`` to that; a row alone as it is."""
    if len(pair) == 1:
        return pair[0] if carry is None else _carried(Const(0, 1), pair[0], carry)
    low, high = pair
    upper = (low >> shift) + high if carry is None else _carried(low >> shift, high, carry)
    value = Cat(low[:shift], upper)
    return value.as_signed() if upper.shape().signed else value


def _carried(a: Value, b: Value, carry: Value) -> Value:
    """``a + b + carry`` in one carry chain, which begins with a bit more."""
    return (_behind(Const(1, 1), a) + _behind(carry, b)) >> 1


def _behind(bit: Value, value: Value) -> Value:
    """``value`` with a bit below its lowest."""
    joined = Cat(bit, value)
    return joined.as_signed() if value.shape().signed else joined
