"""One lane of a requantiser: a wide sum and its channel's constants in, a narrow integer out."""

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.stream import element_shape
from hwgen.cost.logic import Logic, adder, adder_register, adder_tree, below, clipped, delayed, total
from hwgen.graph.exact.requantization import SIGNIFICAND, Requantization
from hwgen.graph.types import IntType
from hwgen.hdl.elements import Element

#: Bits of the multiplier constant that one hardware multiplier takes at a time: 18 signed, so 17 unsigned.
DIGIT_BITS = 17


@dataclass(frozen=True)
class LaneForm:
    """All that the hardware of a lane depends on.

    ``margins`` are those of :class:`Requantization` by the bit length, from 1, of what is looked up, where there are
    ``ties``. ``digits`` to ``spacing`` are those of :class:`hwgen.blocks.requantize.requantizer.RequantizerPlan`. With
    ``loaded`` the zero point and the ends of the clamp come in as :attr:`settings`, and the offset does not have the
    zero point.
    """

    sum: IntType
    operand: IntType
    factor: IntType
    out: IntType
    constant_bits: tuple[int, int, int]
    shift: int
    zero_point: int
    clamp: tuple[int, int]
    ties: bool
    margins: tuple[int, ...]
    digits: int
    digit_bits: int
    serial: bool
    in_luts: bool
    rounded: bool
    before_product: int
    part_latency: int
    spacing: int
    loaded: bool = False

    @property
    def constants(self) -> data.StructLayout:
        """The constants of one channel."""
        bias, multiplier, offset = self.constant_bits
        return data.StructLayout({"bias": signed(bias), "multiplier": unsigned(multiplier), "offset": signed(offset)})

    @property
    def settings(self) -> data.StructLayout:
        """What is the same for all channels, and loaded."""
        return data.StructLayout({name: element_shape(self.out) for name in ("zero", "low", "high")})

    @property
    def offset_wait(self) -> int:
        """Cycles after which the offset is needed."""
        return self.before_product + self.part_latency + self.spacing

    @property
    def holds(self) -> bool:
        """Whether one register holds the offset until then: where constants stay for all digits, taken at the last of
        them, it is there from then to the last digit of the next sum."""
        return self.serial and self.offset_wait < 2 * self.spacing

    @property
    def waits(self) -> tuple[int, int]:
        """Registers in the way of the multiplier and of the offset. Of digits that come one by one only these wait."""
        return 0 if self.serial else self.before_product, 1 if self.holds else self.offset_wait

    @property
    def logic(self) -> Logic:
        """Counted bits, but for the delayed constants."""
        return self._operand_logic + self._product_logic + self._rounding_logic

    @property
    def _operand_logic(self) -> Logic:
        """The bias added, saturated, rounded."""
        width, biased = self.operand.width, max(self.sum.width, self.constant_bits[0]) + 1
        logic = adder_register(biased) + Logic(register=width)
        if biased > width:
            logic += clipped(biased, self.operand.min, self.operand.max, width)
        if self.rounded:
            levels = width - 1 - SIGNIFICAND
            logic += levels * (adder(width) + Logic(mux=width)) + Logic(register=width + 1, logic=width)
        return logic

    @property
    def _total(self) -> int:
        """Bits of the product."""
        return self.factor.width + self.constant_bits[1] + 1

    @property
    def _product_logic(self) -> Logic:
        """Digits chosen, multiplied and added up."""
        width = self.factor.width
        if not self.digits:
            return delayed(width, 3) + Logic(register=-width)  # with the operand's register
        digit = min(self.digit_bits, self.constant_bits[1])
        part = Logic(register=width + digit)
        if self.in_luts:
            part = adder_tree(width + 1, self.digit_bits) + Logic(gated=self.digit_bits * width)
        if self.serial:
            choose = Logic(mux=digit * (self.digits - 1), register=self.part_latency + self.before_product)
            choose += delayed(digit, self.before_product)
            return part + choose + adder_register(self._total) + Logic(gated=self._total - digit)
        joined = (self.digits - 1) * adder(self._total - digit)
        return self.digits * part + joined + Logic(register=self._total - (self.digits == 1))

    @property
    def _rounding_logic(self) -> Logic:
        """The offset added, what is below the point cut off, ties corrected, limited to the output's range."""
        value = max(self._total, self.constant_bits[2]) + 1
        quotient = max(value - self.shift, 1)
        logic = Logic(register=self.out.width)
        if self.loaded:
            logic += 2 * adder(quotient + 2) + adder(quotient + 1) + Logic(mux=2 * self.out.width)
        else:
            logic += clipped(quotient + self.ties, *self.clamp, self.out.width)
        if not self.ties:  # nobody reads what is below the point, and the rest is only delayed
            return logic + adder(value) + delayed(quotient, 4)
        logic += adder_register(value) + Logic(register=3 * quotient + 2)
        tests = total(_tie_logic(self.shift, margin) for margin in set(self.margins))
        return logic + tests + 5 * adder(quotient + 1) + Logic(logic=6 * len(self.margins))


def needless_rows(multipliers: np.ndarray, digit: int, width: int) -> Logic:
    """What a product in LUTs of ``width`` bits by one of ``multipliers`` [rounds] of ``digit`` bits does without, as
    counts below 0.

    A bit that is the same in all of them switches nothing, two that are alike switch together, and a row that is always
    0 is not added. Tools that keep modules apart do not see it.
    """
    bits = (multipliers[:, None] >> np.arange(digit) & 1).astype(bool)
    there: np.ndarray = np.any(bits, axis=0)
    switched = {column.tobytes() for column in bits[:, there & ~bits.all(axis=0)].T}
    rows = [bool(row) for row in there]
    saved = 0
    while len(rows) > 1:
        pairs = [rows[at : at + 2] for at in range(0, len(rows), 2)]
        saved += sum(len(pair) == 2 and not all(pair) for pair in pairs)
        rows = [any(pair) for pair in pairs]
    return Logic(gated=-(digit - len(switched)) * width, adder=-saved * (width + 1), apart_adder=saved * (width + 1))


def _tie_logic(shift: int, margin: int) -> Logic:
    """Whether the rest of ``shift`` bits is within ``margin`` of either end."""
    if not margin:
        return Logic(logic=-(-shift // 3), register=1)
    return below(shift, margin + 1) + below(shift, (1 << shift) - margin) + Logic(register=2)


def constant_bits(requantization: Requantization) -> tuple[int, int, int]:
    """The widths of bias, multiplier and offset."""
    if requantization.widths:
        return requantization.widths
    return _signed_width(requantization.bias), requantization.multiplier_bits, _signed_width(requantization.offset)


def _signed_width(values) -> int:
    return max(IntType.holding(min(int(values.min()), -1), int(values.max())).width, 1)


class RequantizerLane(Element):
    """``o`` is ``sum`` requantised with its channel's ``constants``; the registers between are those of the plan.

    ``phase`` is the number of the digit, and comes with the constants, which stay for all of them.
    """

    def __init__(self, form: LaneForm):
        self.form = self.key = form
        self.label = f"requantizer_{form.sum}_{form.out}"
        phases = range(max(form.spacing, 2))
        members = {
            "sum": In(element_shape(form.sum)),
            "constants": In(form.constants),
            "phase": In(phases),
            "o": Out(element_shape(form.out)),
        }
        super().__init__(members | ({"settings": In(form.settings)} if form.loaded else {}))

    def inside(self, platform):
        m, form = Module(), self.form
        operand = self._operand(m, self.sum, self.constants)
        product = self._multiply(m, operand, self.constants.multiplier)
        offset = self._held_offset(m) if form.holds else delay(m, self.constants.offset, form.offset_wait, "offset")
        value = Signal(signed(max(len(product), len(offset)) + 1), name="value", reset_less=True)
        m.d.sync += value.eq(product + offset)
        m.d.comb += self.o.eq(self._round(m, value))
        return m

    def _operand(self, m: Module, raw: Value, constants: data.View) -> Signal:
        """Add the bias, saturate: two registers; round where float32 would: a third."""
        form, type_ = self.form, self.form.operand
        biased = Signal((raw + constants.bias).shape(), name="biased", reset_less=True)
        operand = Signal(element_shape(type_), name="operand", reset_less=True)
        m.d.sync += [biased.eq(raw + constants.bias), operand.eq(saturated(biased, type_))]
        if not form.rounded:
            return operand
        rounded = Signal(element_shape(form.factor), name="rounded", reset_less=True)
        m.d.sync += rounded.eq(to_significand(operand))
        return rounded

    def _held_offset(self, m: Module) -> Signal:
        offset = Signal(self.constants.offset.shape(), name="offset", reset_less=True)
        with m.If(self.phase == self.form.spacing - 1):
            m.d.sync += offset.eq(self.constants.offset)
        return offset

    def _multiply(self, m: Module, operand: Signal, multiplier: Value) -> Signal:
        """The product: registers after the digits' products and one after their sum."""
        form, size, wait = self.form, self.form.digit_bits, self.form.before_product
        total = Signal(signed(len(operand) + len(multiplier) + 1), name="total", reset_less=True)
        if not form.digits:
            m.d.sync += total.eq(delay(m, operand, 1, "part"))
            return total
        digits = [multiplier[n * size : (n + 1) * size] for n in range(form.digits)]
        if not form.serial:
            digits = [delay(m, digit, wait, f"digit{n}") for n, digit in enumerate(digits)]
            parts = [self._part(m, operand, digit, f"part{n}") for n, digit in enumerate(digits)]
            m.d.sync += total.eq(reduce(add, (part << (n * size) for n, part in enumerate(parts))))
            return total
        # Horner's rule, highest digit first.
        digit = Signal(size, name="digit")
        with m.Switch(self.phase):
            for n, choice in enumerate(reversed(digits)):
                with m.Case(n):
                    m.d.comb += digit.eq(choice)
        starts = delay(m, self.phase == 0, wait + form.part_latency, "starts")
        part = self._part(m, operand, delay(m, digit, wait, "digit"), "part")
        m.d.sync += total.eq(Mux(starts, 0, total << size) + part)
        return total

    def _part(self, m: Module, operand: Signal, digit: Value, name: str) -> Value:
        """``operand`` by a digit, registered: one hardware multiplier, or a tree of adders over the digit's bits."""
        if not self.form.in_luts:
            part = Signal(signed(len(operand) + DIGIT_BITS + 1), name=name, reset_less=True)
            m.d.sync += part.eq(operand * digit)
            return part
        rows = [Mux(bit, operand, 0) for bit in digit]
        for level in range(self.form.part_latency):
            pairs = [rows[n : n + 2] for n in range(0, len(rows), 2)]
            rows = []
            for n, pair in enumerate(pairs):
                value = _shifted_sum(pair[0], pair[1], 1 << level) if len(pair) == 2 else pair[0]
                row = Signal(value.shape(), name=f"{name}_row{level}_{n}", reset_less=True)
                m.d.sync += row.eq(value)
                rows.append(row)
        return rows[0]

    def _round(self, m: Module, value: Signal) -> Signal:
        """Shift, find the correction of a tie, add it, clip: four registers."""
        form, (low, high), zero = self.form, self.form.clamp, 0
        if form.loaded:
            low, high, zero = self.settings.low, self.settings.high, self.settings.zero
        quotient = Signal(signed(max(len(value) - form.shift, 1) + 1), name="quotient", reset_less=True)
        kept = Signal(signed(len(quotient) + form.loaded), name="kept", reset_less=True)
        corrected = Signal(signed(len(kept) + 1), name="corrected", reset_less=True)
        result = Signal(element_shape(form.out), name="result", reset_less=True)
        m.d.sync += [quotient.eq(value >> form.shift), kept.eq(quotient + zero)]
        if form.ties:
            m.d.sync += corrected.eq(kept + self._correction(m, quotient, value[: form.shift]))
        else:
            m.d.sync += corrected.eq(kept)
        m.d.sync += result.eq(Mux(corrected < low, low, Mux(corrected > high, high, corrected)))
        return result

    def _correction(self, m: Module, quotient: Signal, rest: Value) -> Signal:
        """-1, 0 or +1 for ``quotient``, a cycle behind it; ``rest`` is a cycle ahead of it."""
        form = self.form
        steps = quotient - form.zero_point
        down = self._near(m, "down", _odd(quotient - (form.zero_point + 1)), lambda margin: rest <= margin)
        ones = (1 << form.shift) - 1
        up = self._near(m, "up", _odd(steps), lambda margin: rest > ones - margin if margin else Const(0))
        correction = Signal(signed(2), name="correction", reset_less=True)
        m.d.sync += correction.eq(Mux(steps[0], Mux(down, -1, Mux(up, 1, 0)), 0))
        return correction

    def _near(self, m: Module, name: str, boundary: Value, test) -> Signal:
        """``test(margin)``, made a cycle ago for every margin, chosen by the magnitude of ``boundary``."""
        tests = {}
        for margin in sorted(set(self.form.margins)):
            tests[margin] = Signal(name=f"{name}_within_{margin}", reset_less=True)
            m.d.sync += tests[margin].eq(test(margin))
        # It is odd, so its magnitude has the same bits inverted, but for the lowest, which no bit length depends on.
        magnitude = Mux(boundary < 0, ~boundary, boundary)
        near = Signal(name=name)
        m.d.comb += near.eq(tests[self.form.margins[0]])
        for bits, margin in enumerate(self.form.margins[1:], 1):
            with m.If(magnitude[bits:].any()):
                m.d.comb += near.eq(tests[margin])
        return near


def _odd(half: Value) -> Value:
    """``2 * half + 1``, without an adder."""
    return Cat(Const(1, 1), half).as_signed()


def _shifted_sum(low: Value, high: Value, shift: int) -> Value:
    """``low + (high << shift)``, with an adder no longer than it must be."""
    return Cat(low[:shift], (low >> shift) + high).as_signed()


def to_significand(value: Signal) -> Value:
    """Signed ``value`` rounded to 24 significant bits, half to even, as float32 does."""
    above = len(value) - 1 - SIGNIFICAND
    magnitude, result = Mux(value[-1], ~value, value), value
    for bits in range(1, above + 1):
        up = value + ((1 << bits - 1) - 1) + value[bits]
        result = Mux(magnitude[SIGNIFICAND + bits - 1 : -1].any(), (up >> bits) << bits, result)
    return result


def saturated(value: Signal, type_: IntType) -> Value:
    """``value`` limited to the range of ``type_``; nothing where it cannot leave it."""
    shape = value.shape()
    if shape.signed and type_.signed and shape.width <= type_.width:
        return value
    return Mux(value < type_.min, type_.min, Mux(value > type_.max, type_.max, value))
