"""One lane of a requantiser: a wide sum and its channel's constants in, a narrow integer out."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.blocks.arith.arithmetic import delay, register
from hwgen.blocks.requantize.lane_form import LaneForm
from hwgen.blocks.requantize.scaler import Scaler
from hwgen.blocks.stream import element_shape
from hwgen.graph.exact.requantization import SIGNIFICAND
from hwgen.graph.types import IntType
from hwgen.hdl.elements import Element


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
