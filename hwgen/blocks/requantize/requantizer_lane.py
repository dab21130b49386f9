"""One lane of a requantiser: a wide sum and its channel's constants in, a narrow integer out."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.blocks.arith.arithmetic import delay, register
from hwgen.blocks.requantize.scaler import Scaler, ScalerForm
from hwgen.blocks.stream import element_shape
from hwgen.cost.logic import Logic, adder, adder_register, adder_tree, clipped, delayed
from hwgen.graph.exact.requantization import SIGNIFICAND, Requantization
from hwgen.graph.types import IntType
from hwgen.hdl.elements import Element

#: Bits of the multiplier constant that one hardware multiplier takes at a time: 18 signed, so 17 unsigned.
DIGIT_BITS = 17


@dataclass(frozen=True)
class Multiplication:
    """How a lane multiplies by a channel's constant, which has ``digits`` digits of ``digit_bits``: 0 where it is 1.

    With ``serial`` it takes a digit a cycle, otherwise all at once. With ``in_luts`` digits are multiplied by adders,
    so that no hardware multiplier is needed. ``rounded`` says that operands are rounded before. With ``blocks``, a kind
    of :data:`hwgen.blocks.requantize.scaler.SCALING`, these multiply and add the offset. ``direct`` says that nothing
    is corrected behind them, so that what leaves them is clipped at once.
    """

    digits: int
    serial: bool
    digit_bits: int = DIGIT_BITS
    in_luts: bool = False
    rounded: bool = False
    blocks: str = ""
    direct: bool = False

    @property
    def spacing(self) -> int:
        """Cycles from beat to beat."""
        return self.digits if self.serial else 1

    @property
    def before_product(self) -> int:
        """Registers from a sum to what is multiplied, with that in a hardware multiplier: what is in front of it may be
        far away."""
        return 2 + self.rounded + self.in_multiplier

    @property
    def in_multiplier(self) -> bool:
        """Whether digits are multiplied by hardware multipliers, as synthesis finds them."""
        return bool(self.digits) and not (self.in_luts or self.blocks)

    @property
    def summed(self) -> int:
        """Cycles for the products of digits to be added up: none for the only one of a hardware multiplier."""
        return 0 if self.in_multiplier and self.digits == 1 else self.spacing

    @property
    def part_latency(self) -> int:
        """Cycles from an operand and a digit to their product."""
        return max((self.digit_bits - 1).bit_length(), 1) if self.in_luts else 1

    @property
    def latency(self) -> int:
        """Cycles from a sum to the product by all digits, which has a register; in blocks the one before the product is
        inside."""
        if self.blocks:
            return self.before_product + self.digits
        return self.before_product + self.part_latency + self.summed

    @property
    def rounding(self) -> int:
        """Registers behind that of the product with the offset added."""
        return 1 if self.direct else 4


@dataclass(frozen=True)
class LaneForm:
    """All that the hardware of a lane depends on.

    ``margins`` are those of :class:`Requantization` by the bit length, from 1, of what is looked up, where there are
    ``ties``. With ``loaded`` the zero point and the ends of the clamp come in as :attr:`settings`, and the offset does
    not have the zero point.
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
    by: Multiplication
    loaded: bool

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
    def holds(self) -> bool:
        """Whether one register holds the offset until it is needed: where constants stay for all digits, taken at the
        last of them, it is there from then to the last digit of the next sum."""
        return self.by.serial and not self.by.blocks and self.by.latency < 2 * self.by.spacing

    @property
    def waits(self) -> tuple[int, int]:
        """Registers in the way of the multiplier and of the offset. Of digits that come one by one only these wait."""
        if self.by.blocks:
            return 0 if self.by.serial else self.by.before_product - 1, self.by.before_product
        return 0 if self.by.serial else self.by.before_product, 1 if self.holds else self.by.latency

    @property
    def scaler(self) -> ScalerForm:
        """The blocks that multiply, where it has any."""
        _, constant, offset = self.constant_bits
        dropped = self.shift if self.by.direct else 0
        return ScalerForm(self.by.blocks, self.factor.width, constant, offset, self.by.serial, dropped)

    @property
    def logic(self) -> Logic:
        """Counted bits, but for the delayed constants."""
        if self.by.blocks:
            last = Logic(register=-self.factor.width)  # which the blocks have
            return self._operand_logic + last + self._scaler_logic + self._rounding_logic
        return self._operand_logic + self._product_logic + self._rounding_logic

    @property
    def _operand_logic(self) -> Logic:
        """The bias added, saturated, rounded."""
        width, biased = self.operand.width, max(self.sum.width, self.constant_bits[0]) + 1
        logic = adder_register(biased) + Logic(register=width)
        if biased > width:
            logic += clipped(biased, self.operand.min, self.operand.max, width)
        if self.by.rounded:
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
        width, by = self.factor.width, self.by
        if not by.digits:
            return delayed(width, 3) + Logic(register=-width)  # with the operand's register
        digit = min(by.digit_bits, self.constant_bits[1])
        part, factor = Logic(inside=width + digit), Logic(inside=width * by.in_multiplier)
        if by.in_luts:
            part = adder_tree(width + 1, by.digit_bits) + Logic(gated=by.digit_bits * width)
        if by.serial:
            choose = Logic(mux=digit * (by.digits - 1), register=by.part_latency + by.before_product)
            wait = delayed(digit, by.before_product) if by.in_luts else delayed_factor(digit, by.before_product)
            return part + factor + choose + wait + adder_register(self._total) + Logic(gated=self._total - digit)
        if not by.summed:
            return part + factor
        joined = (by.digits - 1) * adder(self._total - digit)
        return by.digits * part + factor + joined + Logic(register=self._total - (by.digits == 1))

    @property
    def _scaler_logic(self) -> Logic:
        """What is beside the blocks: digits chosen one by one."""
        scaler, by = self.scaler, self.by
        if not by.serial:
            return scaler.logic
        digit = max(scaler.widths)
        return scaler.logic + Logic(mux=min(scaler.widths)) + delayed(digit + 1, by.before_product - 1)

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
        if self.by.direct:
            return logic
        if not self.ties:  # nobody reads what is below the point, and the rest is only delayed
            added = Logic(register=-quotient) if self.by.blocks else adder(value)
            return logic + added + delayed(quotient, 4)
        added = Logic() if self.by.blocks else adder_register(value)
        logic += added + Logic(register=3 * quotient + 2)
        tests = _tie_logic(self.shift, sorted(set(self.margins)))
        return logic + tests + 5 * adder(quotient + 1) + Logic(logic=6 * len(self.margins))


def delayed_factor(width: int, cycles: int, apart: int | None = None) -> Logic:
    """:func:`hwgen.cost.logic.delayed` on the way to a multiplier, which may have the last two registers inside."""
    return delayed(width, cycles - 2, apart) + delayed(width, 2, apart).next_to_multiplier


def needless_rows(multipliers: np.ndarray, digit: int, width: int) -> Logic:
    """What a product in LUTs of ``width`` bits by one of ``multipliers`` [rounds] of ``digit`` bits does without, as
    counts below 0.

    A bit that is the same in all of them switches nothing, two that are alike switch together, and a row that is always
    0 is not added. Rows that are alike are there once. Tools that keep modules apart do not see it.
    """
    bits = (multipliers[:, None] >> np.arange(digit) & 1).astype(bool)
    there: np.ndarray = np.any(bits, axis=0)
    switched = {column.tobytes() for column in bits[:, there & ~bits.all(axis=0)].T}
    rows = [(column.tobytes(), n) if some else None for n, (column, some) in enumerate(zip(bits.T, there, strict=True))]
    adders, registers, wide = 0, 0, width + 1
    while len(rows) > 1:
        pairs = [rows[at : at + 2] for at in range(0, len(rows), 2)]
        rows = [_joined(pair) for pair in pairs]
        whole = [(row[0], all(pair)) for row, pair in zip(rows, pairs, strict=True) if row and len(pair) == 2]
        usual, added = sum(len(pair) == 2 for pair in pairs), len({row for row, both in whole if both})
        adders += (usual - added) * (width + 1)
        registers += (usual - added) * (wide + 1) - len({row for row, both in whole if not both}) * wide
        wide += 1
    return Logic(
        gated=-(digit - len(switched)) * width,
        adder=-adders,
        apart_adder=adders,
        register=-registers,
        apart_register=registers,
    )


def _joined(pair: Sequence[tuple[Hashable, int] | None]) -> tuple[Hashable, int] | None:
    """What rows add up to, with its place; None for what is always 0. Sums that are alike differ in place alone."""
    there = [row for row in pair if row]
    if len(there) < 2:
        return there[0] if there else None
    (one, place), (other, beside) = there
    return (one, other, beside - place), place


def _tie_logic(shift: int, margins: Sequence[int]) -> Logic:
    """Whether the rest of ``shift`` bits is within each of ``margins``, rising powers of 2 or 0, of either end."""
    ends = [margin.bit_length() - 1 for margin in margins if margin]
    if not ends:
        return Logic(logic=-(-shift // 3), register=1)
    runs = 2 * -(-max(shift - ends[-1], 0) // 3) + -(-ends[0] // 3)
    return Logic(logic=runs + 4 * len(ends), register=2 * len(margins) - (0 in margins))


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
        phases = range(max(form.by.spacing, 2))
        members = {
            "sum": In(element_shape(form.sum)),
            "constants": In(form.constants),
            "phase": In(phases),
            "o": Out(element_shape(form.out)),
        }
        super().__init__(members | ({"settings": In(form.settings)} if form.loaded else {}))

    def inside(self, platform):
        m, form = Module(), self.form
        if form.by.blocks:
            m.d.comb += self.o.eq(self._round(m, self._scaled(m)))
            return m
        operand = self._operand(m, self.sum, self.constants)
        product = self._multiply(m, operand, self.constants.multiplier)
        offset = self._held_offset(m) if form.holds else delay(m, self.constants.offset, form.by.latency, "offset")
        value = register(m, product + offset, "value", signed(max(len(product), len(offset)) + 1))
        m.d.comb += self.o.eq(self._round(m, value))
        return m

    def _operand(self, m: Module, raw: Value, constants: data.View) -> Signal:
        """Add the bias, saturate: two registers; round where float32 would: a third."""
        form = self.form
        operand = self._saturated(m, raw, constants)
        if not form.by.rounded:
            return operand
        return register(m, to_significand(operand), "rounded", element_shape(form.factor))

    def _saturated(self, m: Module, raw: Value, constants: data.View) -> Signal:
        type_ = self.form.operand
        biased = register(m, raw + constants.bias, "biased")
        return register(m, saturated(biased, type_), "operand", element_shape(type_))

    def _scaled(self, m: Module) -> Value:
        """The product with the offset added, by blocks, of which the first has the last register of the operand."""
        form, by = self.form, self.form.by
        wait, constants = by.before_product - 1, self.constants
        m.submodules.scaler = scaler = Scaler(form.scaler)
        if by.rounded:
            m.d.comb += scaler.operand.eq(to_significand(self._saturated(m, self.sum, constants)))
        else:
            m.d.comb += scaler.operand.eq(saturated(register(m, self.sum + constants.bias, "biased"), form.operand))
        constant = constants.multiplier
        if by.serial:
            low, first = form.scaler.widths[0], self.phase == 0
            constant = Mux(first, constant[:low], constant[low:])
            m.d.comb += scaler.first.eq(delay(m, first, wait, "first"))
        m.d.comb += [
            scaler.constant.eq(delay(m, constant, wait, "constant")),
            scaler.offset.eq(delay(m, constants.offset, by.before_product, "offset")),
        ]
        return scaler.o

    def _held_offset(self, m: Module) -> Signal:
        offset = Signal(self.constants.offset.shape(), name="offset", reset_less=True)
        with m.If(self.phase == self.form.by.spacing - 1):
            m.d.sync += offset.eq(self.constants.offset)
        return offset

    def _multiply(self, m: Module, operand: Signal, multiplier: Value) -> Signal:
        """The product: registers after the digits' products and one after their sum, if there are several."""
        by, size, wait = self.form.by, self.form.by.digit_bits, self.form.by.before_product
        shape = signed(len(operand) + len(multiplier) + 1)
        if not by.digits:
            return register(m, delay(m, operand, 1, "part"), "total", shape)
        if by.in_multiplier:
            operand = register(m, operand, "factor")
        digits = [multiplier[n * size : (n + 1) * size] for n in range(by.digits)]
        if not by.serial:
            digits = [delay(m, digit, wait, f"digit{n}") for n, digit in enumerate(digits)]
            parts = [self._part(m, operand, digit, f"part{n}") for n, digit in enumerate(digits)]
            if not by.summed:
                return parts[0]
            return register(m, reduce(add, (part << (n * size) for n, part in enumerate(parts))), "total", shape)
        # Horner's rule, highest digit first.
        total = Signal(shape, name="total", reset_less=True)
        digit = Signal(size, name="digit")
        with m.Switch(self.phase):
            for n, choice in enumerate(reversed(digits)):
                with m.Case(n):
                    m.d.comb += digit.eq(choice)
        starts = delay(m, self.phase == 0, wait + by.part_latency, "starts")
        part = self._part(m, operand, delay(m, digit, wait, "digit"), "part")
        m.d.sync += total.eq(Mux(starts, 0, total << size) + part)
        return total

    def _part(self, m: Module, operand: Signal, digit: Value, name: str) -> Value:
        """``operand`` by a digit, registered: one hardware multiplier, or a tree of adders over the digit's bits."""
        if not self.form.by.in_luts:
            return register(m, operand * digit, name, signed(len(operand) + len(digit) + 1))
        rows = [Mux(bit, operand, 0) for bit in digit]
        for level in range(self.form.by.part_latency):
            pairs = [rows[n : n + 2] for n in range(0, len(rows), 2)]
            values = [_shifted_sum(pair[0], pair[1], 1 << level) if len(pair) == 2 else pair[0] for pair in pairs]
            rows = [register(m, value, f"{name}_row{level}_{n}") for n, value in enumerate(values)]
        return rows[0]

    def _round(self, m: Module, value: Value) -> Signal:
        """Shift, find the correction of a tie, add it, clip: four registers; clip alone what is shifted: one."""
        form, (low, high), zero = self.form, self.form.clamp, 0
        if form.by.direct:
            return register(m, _clipped(value, low, high), "result", element_shape(form.out))
        if form.loaded:
            low, high, zero = self.settings.low, self.settings.high, self.settings.zero
        quotient = register(m, value >> form.shift, "quotient", signed(max(len(value) - form.shift, 1) + 1))
        kept = register(m, quotient + zero, "kept", signed(len(quotient) + form.loaded))
        found = kept + self._correction(m, quotient, value[: form.shift]) if form.ties else kept
        corrected = register(m, found, "corrected", signed(len(kept) + 1))
        return register(m, _clipped(corrected, low, high), "result", element_shape(form.out))

    def _correction(self, m: Module, quotient: Signal, rest: Value) -> Signal:
        """-1, 0 or +1 for ``quotient``, a cycle behind it; ``rest`` is a cycle ahead of it."""
        form = self.form
        steps = quotient - form.zero_point
        margins = sorted(set(form.margins))
        least, most = near_ends(m, rest, margins)
        down = self._near(m, "down", _odd(quotient - (form.zero_point + 1)), least)
        up = self._near(m, "up", _odd(steps), most)
        return register(m, Mux(steps[0], Mux(down, -1, Mux(up, 1, 0)), 0), "correction", signed(2))

    def _near(self, m: Module, name: str, boundary: Value, within: Mapping[int, Value]) -> Signal:
        """What ``within`` said of a margin a cycle ago, chosen by the magnitude of ``boundary``."""
        tests = {margin: register(m, test, f"{name}_within_{margin}", 1) for margin, test in within.items()}
        # It is odd, so its magnitude has the same bits inverted, but for the lowest, which no bit length depends on.
        magnitude = Mux(boundary < 0, ~boundary, boundary)
        near = Signal(name=name)
        m.d.comb += near.eq(tests[self.form.margins[0]])
        for bits, margin in enumerate(self.form.margins[1:], 1):
            with m.If(magnitude[bits:].any()):
                m.d.comb += near.eq(tests[margin])
        return near


def _clipped(value: Value, low: ValueLike, high: ValueLike) -> Value:
    return Mux(value < low, low, Mux(value > high, high, value))


def near_ends(m: Module, rest: Value, margins: Sequence[int]) -> tuple[dict[int, Value], dict[int, Value]]:
    """By each of ``margins``, powers of 2 or 0: whether ``rest`` is at most so much, and whether it lacks no more than
    so much of what it cannot reach. There is no carry chain for each, but they share what the bits above and below
    them are."""
    ends, none = [margin.bit_length() - 1 for margin in margins if margin], ~rest
    over = _runs(m, "none_from", none, [*(end + 1 for end in ends), *([0] if 0 in margins else [])])
    under = _runs(m, "none_below", none[::-1], [len(rest) - end for end in ends])
    full = _runs(m, "all_from", rest, ends)
    least = {1 << end: over[end + 1] & (none[end] | under[len(rest) - end]) for end in ends}
    most: dict[int, Value] = {1 << end: full[end] for end in ends}
    return ({0: over[0], **least}, {0: Const(0), **most}) if 0 in margins else (least, most)


def _runs(m: Module, name: str, bits: Value, starts: Iterable[int]) -> dict[int, Value]:
    """Whether all ``bits`` from each of ``starts`` on are 1."""
    found, end, rest = {}, len(bits), Const(1)
    for start in sorted(set(starts), reverse=True):
        if start < end:
            run = Signal(name=f"{name}_{start}")
            m.d.comb += run.eq(bits[start:end].all() & rest)
            rest, end = run, start
        found[start] = rest
    return found


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
