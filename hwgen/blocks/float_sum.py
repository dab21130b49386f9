"""Sums of two streams of up to 16 bits: the float32 arithmetic of the definition, bit for bit, in integers.

Both operands times their scales, their sum and its quotient by the result's scale are each rounded to 24 significant
bits, half to even, as float32 does; the quotient is then rounded to an integer. As scales are constants, float32
numbers are integers over one power of two here, and nothing is shifted by what data say. Where numbers have 8 bits,
:class:`hwgen.blocks.pair.Add` is far smaller.
"""

from dataclasses import dataclass
from functools import cached_property
from math import frexp

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.graph.network import Site
from hwgen.graph.requantization import SIGNIFICAND
from hwgen.graph.types import FeatureMap, IntType, Quantization
from hwgen.memory.rom import Rom, pack

from .arithmetic import AdderTree, delay
from .logic import Logic, adder_tree
from .operator import SeveralInputs
from .scaled_sum import chunks
from .stream import element_shape
from .streamed import Hardware
from .zipped import Zipped

#: Bits of an operand.
LARGEST_OPERAND = 16
#: Exponents of scales between which neither sums nor quotients leave the range of normal float32 numbers.
_EXPONENTS = range(-80, 81)
#: By how many powers of two the operands' scales may differ.
_SPREAD = 20


@dataclass(frozen=True, eq=False)
class FloatSum(SeveralInputs, Zipped):
    """The sum of two dequantised streams, quantised to ``target`` and limited to ``clamp``; either may be broadcast."""

    output: FeatureMap
    quantizations: tuple[Quantization, Quantization]
    target: Quantization
    clamp: tuple[int, int]

    sites = ("Add",)

    @classmethod
    def from_site(cls, site: Site) -> "FloatSum | None":
        kinds = tuple(tensor.quantization for tensor in site.inputs)
        target = site.output.quantization
        if site.op not in cls.sites or site.function is not None or any(k.per_channel for k in (*kinds, target)):
            return None
        exponents = [_exact(kind)[1] for kind in (*kinds, target)]
        spread = abs(exponents[0] - exponents[1])
        if spread > _SPREAD or any(n not in _EXPONENTS for n in exponents):
            return None
        if max(kind.type.width for kind in (*kinds, target)) > LARGEST_OPERAND:
            return None
        return cls(tuple(tensor.map for tensor in site.inputs), site.output.map, kinds, target, site.clamp)

    def golden(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        x, y = (kind.dequantize(values) for kind, values in zip(self.quantizations, (a, b), strict=True))
        result = np.clip(self.target.quantize(x + y).astype(np.int64), *self.clamp).astype(self.output.type.dtype)
        return np.broadcast_to(result, (len(result), *self.output.shape))

    @cached_property
    def arithmetic(self) -> "FloatArithmetic":
        return FloatArithmetic(self.quantizations, self.target, self.clamp)

    def certificate(self) -> dict[str, object]:
        """What was proved, in a form for reports."""
        return {"form": "float32", "proved": "each step of the definition, rounded as float32 rounds it"}

    @property
    def combine_latency(self) -> int:
        return self.arithmetic.latency

    def combine_hardware(self) -> Hardware:
        return Hardware(self.arithmetic.logic)

    def combine(self, m: Module, lane: int, operands: list[Value]) -> Value:
        m.submodules[f"sum_{lane}"] = unit = FloatSumUnit(self.arithmetic)
        m.d.comb += [unit.a.eq(operands[0]), unit.b.eq(operands[1])]
        return unit.o


def _exact(kind: Quantization) -> tuple[int, int]:
    """The scale as an integer of 24 bits and the power of two that it is multiplied by."""
    mantissa, exponent = frexp(kind.scale)
    return int(mantissa * (1 << SIGNIFICAND)), exponent - SIGNIFICAND


@dataclass(frozen=True, eq=False)
class FloatArithmetic:
    """Every constant and width. In integers, with ``x * multiplier << lift`` for both operands centred::

    total    = significand(sum of significand(x * multiplier) << lift)
    quotient = total * 2^numerator / divisor, rounded to a float32 and then to an integer
    result   = clip(quotient + zero point)
    """

    operands: tuple[Quantization, Quantization]
    target: Quantization
    clamp: tuple[int, int]

    @cached_property
    def scales(self) -> tuple[tuple[int, int], ...]:
        return tuple(_exact(kind) for kind in self.operands)

    @cached_property
    def exponent(self) -> int:
        """Of the sum: the lower one."""
        return min(exponent for _, exponent in self.scales)

    @property
    def lifts(self) -> tuple[int, ...]:
        return tuple(exponent - self.exponent for _, exponent in self.scales)

    @cached_property
    def centred(self) -> tuple[IntType, ...]:
        """The operands with their zero points taken off."""
        return tuple(IntType.holding(k.type.min - k.zero_point, k.type.max - k.zero_point) for k in self.operands)

    @cached_property
    def products(self) -> tuple[IntType, ...]:
        """Of an operand and its multiplier; rounding may carry into one bit more."""
        pairs = zip(self.centred, self.scales, strict=True)
        return tuple(IntType.holding(type_.min * by - 1, type_.max * by) for type_, (by, _) in pairs)

    @cached_property
    def total(self) -> IntType:
        parts = list(zip(self.products, self.lifts, strict=True))
        low, high = (sum(getattr(type_, end) << lift for type_, lift in parts) for end in ("min", "max"))
        return IntType.holding(low << 1, high << 1)

    @cached_property
    def fraction(self) -> tuple[int, int]:
        """``numerator`` (a shift) and ``divisor``."""
        mantissa, exponent = _exact(self.target)
        shift = self.exponent - exponent
        return max(shift, 0), mantissa << max(-shift, 0)

    @cached_property
    def bound(self) -> int:
        """The least quotient beyond all that the result can be."""
        return max(abs(end - self.target.zero_point) for end in self.clamp) + 1

    @property
    def bits(self) -> int:
        """Of the quotient."""
        return self.bound.bit_length()

    def margin(self, length: int) -> int:
        """How far twice the remainder may be from the divisor for float32 to make a tie of it, by the length of the
        integer part: half a unit in the last place of the number between the two integers."""
        shift = SIGNIFICAND - length
        return self.fraction[1] >> shift if shift > 0 else self.fraction[1] << -shift

    @property
    def product_latency(self) -> int:
        """Tables, and a register for each level of adders; of the longer operand."""
        return 1 + max((len(chunks(type_)) - 1).bit_length() for type_ in self.centred)

    @property
    def latency(self) -> int:
        """Centred; product; rounded (2); added; rounded (2); limited; a register for each bit of the quotient; compared
        and rounded; limited."""
        return 1 + self.product_latency + 2 + 1 + 2 + 1 + self.bits + 2 + 1

    @property
    def logic(self) -> Logic:
        """Counted bits."""
        total, divisor, out = self.total.width, self.fraction[1].bit_length(), self.target.type.width
        logic = Logic(adder=3 * total, logic=3 * total, register=4 * total)
        for type_, product in zip(self.centred, self.products, strict=True):
            tables = len(chunks(type_))
            logic += adder_tree(product.width, tables) + Logic(logic=tables * product.width, register=type_.width)
            logic += Logic(adder=product.width, logic=2 * product.width, register=(2 + tables) * product.width)
        step = Logic(adder=divisor + 1, logic=divisor + 1, register=divisor + 1 + self.bits)
        return logic + self.bits * step + Logic(adder=2 * divisor + 3 * out, logic=4 * out, register=3 * out)


class FloatSumUnit(wiring.Component):
    """``o`` follows ``a`` and ``b`` by ``arithmetic.latency`` cycles: a new result in every cycle."""

    def __init__(self, arithmetic: FloatArithmetic):
        self.arithmetic = arithmetic
        a, b = (element_shape(kind.type) for kind in arithmetic.operands)
        super().__init__({"a": In(a), "b": In(b), "o": Out(element_shape(arithmetic.target.type))})

    def elaborate(self, platform):
        m = Module()
        how = self.arithmetic
        parts = [self._scaled(m, n, port) << how.lifts[n] for n, port in enumerate((self.a, self.b))]
        total = Signal(element_shape(how.total), reset_less=True)
        m.d.sync += total.eq(parts[0] + parts[1])
        total = self._significand(m, total, "total")
        negative, quotient, rest = self._divide(m, total)
        self._round(m, negative, quotient, rest)
        return m

    def _scaled(self, m: Module, n: int, port: Value) -> Value:
        """An operand centred, times its multiplier by tables of four bits each, rounded."""
        how, type_ = self.arithmetic, self.arithmetic.centred[n]
        centred = Signal(element_shape(type_), name=f"centred_{n}", reset_less=True)
        m.d.sync += centred.eq(port - how.operands[n].zero_point)
        shape = element_shape(how.products[n])
        tables = [part * how.scales[n][0] for part in chunks(type_)]
        m.submodules[f"tree_{n}"] = tree = AdderTree(shape, len(tables))
        at = 0
        for k, table in enumerate(tables):
            bits = len(table).bit_length() - 1
            m.submodules[f"table_{n}_{k}"] = rom = Rom([pack([value], shape.width) for value in table], shape.width)
            m.d.comb += [rom.address.eq(centred[at : at + bits]), tree.i[k].eq(rom.data)]
            at += bits
        product = Signal(shape, name=f"product_{n}")
        m.d.comb += product.eq(tree.o)
        product = delay(m, product, how.product_latency - 1 - tree.latency, f"product_{n}")
        return self._significand(m, product.as_signed(), f"product_{n}_rounded")

    def _significand(self, m: Module, value: Value, name: str) -> Value:
        """Signed ``value`` rounded to 24 significant bits, half to even: two registers."""
        above = len(value) - 1 - SIGNIFICAND
        if above <= 0:
            return delay(m, value, 2, name).as_signed()
        magnitude = Mux(value[-1], ~value, value)[: len(value) - 1]
        # `longer[n]`: more than n bits are to go.
        longer = Signal(above + 1, name=f"{name}_longer", reset_less=True)
        m.d.sync += longer.eq(Cat(magnitude[SIGNIFICAND + n :].any() for n in range(above)))
        held = Signal(signed(len(value)), name=f"{name}_held", reset_less=True)
        m.d.sync += held.eq(value)
        last = Cat(longer[n - 1] & ~longer[n] & held[n] for n in range(1, above + 1)).any()
        rounded = Signal(signed(len(value) + 1), name=name, reset_less=True)
        up = held + longer[1:above] + last if above > 1 else held + last
        m.d.sync += rounded.eq(Cat(up[:above] & ~longer[:above], up[above:]).as_signed())
        return rounded

    def _divide(self, m: Module, total: Value) -> tuple[Value, Value, Value]:
        """Sign of ``total``, and the integer part and the remainder of its magnitude over the divisor: a register,
        then one for each bit of the quotient, from the highest."""
        shift, divisor = self.arithmetic.fraction
        bits, most = self.arithmetic.bits, self.arithmetic.bound * divisor
        magnitude = Mux(total < 0, -total, total) << shift
        rest, negative = Signal(range(most + 1), name="limited", reset_less=True), Signal(reset_less=True)
        m.d.sync += [rest.eq(Mux(magnitude > most, most, magnitude)), negative.eq(total < 0)]
        quotient = Cat()
        for bit in reversed(range(bits)):
            step = divisor << bit
            fits = rest >= step
            less = Signal(range(min(step, most + 1)), name=f"rest_{bit}", reset_less=True)
            found = Signal(bits - bit, name=f"quotient_{bit}", reset_less=True)
            m.d.sync += [less.eq(Mux(fits, rest - step, rest)), found.eq(Cat(fits, quotient))]
            rest, quotient = less, found
        return delay(m, negative, bits, "negative"), quotient, rest

    def _round(self, m: Module, negative: Value, quotient: Value, rest: Value) -> None:
        """To the nearest of what float32 makes of the fraction, half to even; then sign, zero point, limits."""
        how, divisor = self.arithmetic, self.arithmetic.fraction[1]
        beside = Signal(signed(divisor.bit_length() + 2), reset_less=True)
        near = Signal(unsigned(how.margin(how.bits).bit_length() + 1), reset_less=True)
        margin = Signal.like(near, name="margin")
        m.d.comb += margin.eq(how.margin(0))
        for length in range(1, how.bits + 1):
            with m.If(quotient[length - 1 :].any()):
                m.d.comb += margin.eq(how.margin(length))
        m.d.sync += [beside.eq((rest << 1) - divisor), near.eq(margin)]
        held = delay(m, quotient, 1, "held")
        over, under = beside > near, beside < -near
        up = over | (~under & held[0])
        rounded = Signal(range(how.bound + 2), reset_less=True)
        m.d.sync += rounded.eq(held + up)
        signed_ = Mux(delay(m, negative, 2, "sign"), -rounded, rounded) + how.target.zero_point
        low, high = how.clamp
        m.d.sync += self.o.eq(Mux(signed_ < low, low, Mux(signed_ > high, high, signed_)))
