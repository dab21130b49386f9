"""The requantising pipeline that every accumulating block ends with: wide sums in, narrow integers out.

One requantiser serves all results of a block in turn. What it computes is said by
:class:`hwgen.graph.requantize.Requantization`. One register after each of: hold, constants, bias, saturate, multiply,
add up, offset, test for ties, correct, clip; and one that rounds the operand as float32 does, where that is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.graph.requantization import SIGNIFICAND, Requantization
from hwgen.graph.types import IntType
from hwgen.memory.queue import wrapping_increment
from hwgen.memory.rom import Contents, Rom, pack, rom_latency

from .arithmetic import delay
from .logic import Logic, adder, adder_register, adder_tree, below, clipped, counter, delayed, index_bits, total
from .operator import MemoryNeed, rom_need
from .stream import element_shape

#: Bits of the multiplier constant that one hardware multiplier takes at a time: 18 signed, so 17 unsigned.
DIGIT_BITS = 17


@dataclass(frozen=True)
class RequantizerPlan:
    """How results are requantised: ``results`` sums come in together, ``lanes`` leave in a beat.

    Sets start anew after every ``period`` channels, the last of them cut short where ``results`` does not divide it.
    ``lanes`` divides ``results`` and ``period``, which divides ``channels``. ``digits`` is the length of the constant
    multiplier in digits of ``digit_bits``, 0 where it is 1. With ``serial`` a lane takes a digit a cycle, otherwise all
    at once. With ``in_luts`` digits are multiplied by adders, so that no hardware multiplier is needed. ``rounded``
    says that operands are rounded before.
    """

    results: int
    lanes: int
    channels: int
    digits: int
    serial: bool
    period: int
    digit_bits: int = DIGIT_BITS
    in_luts: bool = False
    rounded: bool = False

    @staticmethod
    def of(
        requantization: Requantization,
        results: int,
        lanes: int,
        serial: bool = False,
        period: int | None = None,
        lut_cycles: int = 0,
    ) -> "RequantizerPlan":
        """The plan for the channels of ``requantization``; ``period`` is all of them unless given.

        With ``lut_cycles`` for a set of results it multiplies in LUTs, with digits as small as these allow.
        """
        channels = requantization.channels
        bits = requantization.multiplier_bits if (requantization.multiplier != 1).any() else 0
        common = {"period": period or channels, "rounded": requantization.rounds}
        if lut_cycles and bits:
            cycles = min(max(lut_cycles * lanes // results, 1), bits)
            size = -(-bits // cycles)
            digits = -(-bits // size)
            return RequantizerPlan(
                results, lanes, channels, digits, digits > 1, digit_bits=size, in_luts=True, **common
            )
        digits = -(-bits // DIGIT_BITS)
        return RequantizerPlan(results, lanes, channels, digits, serial and digits > 1, **common)

    @property
    def spacing(self) -> int:
        """Cycles from beat to beat."""
        return self.digits if self.serial else 1

    @property
    def busy(self) -> int:
        """Cycles that a set of results takes; the next must not come sooner."""
        return self.results // self.lanes * self.spacing

    @property
    def multipliers(self) -> int:
        """Hardware multipliers, each of an operand by a digit."""
        return 0 if self.in_luts else self.lanes * (1 if self.serial else self.digits)

    @property
    def rounds(self) -> int:
        """Beats in which all channels pass once."""
        return self.channels // self.lanes

    @property
    def part_latency(self) -> int:
        """Cycles from an operand and a digit to their product."""
        return max((self.digit_bits - 1).bit_length(), 1) if self.in_luts else 1

    @property
    def latency(self) -> int:
        """Cycles from ``done`` to the first ``push``."""
        return 1 + rom_latency(self.rounds) + self.before_product + self.part_latency + self.spacing + 4

    @property
    def before_product(self) -> int:
        """Registers from a sum to what is multiplied."""
        return 2 + self.rounded

    def contents(self, requantization: Requantization) -> dict[str, Contents]:
        """What the constant memory holds of each field."""
        layout = constants_layout(requantization)
        fields = {name: getattr(requantization, name).reshape(self.rounds, self.lanes) for name, _ in layout}
        return {name: Contents.of(fields[name], [field.shape.width] * self.lanes) for name, field in layout}

    def memory(self, requantization: Requantization, exact: bool = True) -> MemoryNeed:
        """The constants; ``exact``: without bits that do not change."""
        width, contents = self.lanes * constants_layout(requantization).size, None
        if exact:
            fields = self.contents(requantization).values()
            contents = Contents(sum(f.changing for f in fields), sum(f.different for f in fields), False)
        return rom_need("constants", width, self.rounds, contents)

    def logic(self, requantization: Requantization, sum_: IntType, out: IntType, exact: bool = True) -> Logic:
        """Counted bits of the pipeline, its constants' registers included; ``exact`` as for :meth:`memory`."""
        widths = {name: field.shape.width for name, field in constants_layout(requantization)}
        bits = {name: self.lanes * width for name, width in widths.items()}
        if exact:
            bits = {name: content.registers for name, content in self.contents(requantization).items()}
        before = self.before_product
        constants = (
            Logic(register=sum(bits.values()))
            + delayed(bits["multiplier"], before)
            + delayed(bits["offset"], before + self.part_latency + self.spacing)
        )
        lane = (
            delayed(sum_.width, rom_latency(self.rounds))
            + self._operand_logic(requantization, sum_, widths["bias"])
            + self._product_logic(requantization)
            + _rounding_logic(requantization, widths["offset"], self._total(requantization), out)
        )
        return self._serialiser_logic(sum_) + constants + self.lanes * lane

    def _serialiser_logic(self, sum_: IntType) -> Logic:
        """What holds a set of sums and counts beats and digits."""
        hold = Logic(mux=(self.results - self.lanes) * sum_.width, register=self.results * sum_.width)
        period = self.period // self.lanes if self.period % self.results and self.period < self.channels else 1
        phase = counter(self.spacing) + delayed(index_bits(self.spacing), rom_latency(self.rounds) + self.before_product)
        left = adder_register(self.busy.bit_length()) + Logic(logic=4)
        return hold + left + counter(self.rounds) + counter(period) + phase + Logic(register=self.latency - 1)

    def _total(self, requantization: Requantization) -> int:
        """Bits of the product."""
        return requantization.factor_type.width + requantization.multiplier_bits + 1

    def _operand_logic(self, requantization: Requantization, sum_: IntType, bias: int) -> Logic:
        """The bias added, saturated, rounded."""
        operand, biased = requantization.operand_type.width, max(sum_.width, bias) + 1
        logic = adder_register(biased) + Logic(register=operand)
        if biased > operand:
            limits = requantization.operand_type
            logic += clipped(biased, limits.min, limits.max, operand)
        if self.rounded:
            levels = operand - 1 - SIGNIFICAND
            logic += levels * (adder(operand) + Logic(mux=operand)) + Logic(register=operand + 1, logic=operand)
        return logic

    def _product_logic(self, requantization: Requantization) -> Logic:
        """Digits chosen, multiplied and added up."""
        operand, total_ = requantization.factor_type.width, self._total(requantization)
        if not self.digits:
            return Logic(register=2 * operand)
        digit = min(self.digit_bits, requantization.multiplier_bits)
        parts = 1 if self.serial else self.digits
        part = self._rows(operand) if self.in_luts else Logic(register=operand + digit)
        if self.serial:
            choose = Logic(mux=digit * (self.digits - 1), register=self.part_latency)
            return part + choose + adder_register(total_) + Logic(gated=total_ - digit)
        return parts * part + (parts - 1) * adder(total_ - digit) + Logic(register=total_ - (parts == 1))

    def _rows(self, operand: int) -> Logic:
        """The adders of one lane that multiply by a digit."""
        return adder_tree(operand + 1, self.digit_bits) + Logic(gated=self.digit_bits * operand)


def _rounding_logic(requantization: Requantization, offset: int, product: int, out: IntType) -> Logic:
    """The offset added, what is below the point cut off, ties corrected, limited to the output's range."""
    shift, value = requantization.shift, max(product, offset) + 1
    quotient = max(value - shift, 1)
    logic = adder_register(value) + Logic(register=2 * quotient + out.width)
    logic += clipped(quotient + requantization.ties, *requantization.clamp, out.width)
    if not requantization.ties:  # nobody reads what is below the point
        return logic + Logic(register=-min(shift, value))
    tests = total(_tie_logic(shift, margin) for margin in tested_margins(requantization))
    return logic + tests + 5 * adder(quotient + 1) + Logic(logic=6 * _longest(requantization))


def _tie_logic(shift: int, margin: int) -> Logic:
    """Whether the rest of ``shift`` bits is within ``margin`` of either end."""
    if not margin:
        return Logic(logic=-(-shift // 3), register=1)
    return below(shift, margin + 1) + below(shift, (1 << shift) - margin) + Logic(register=2)


class Requantizer(wiring.Component):
    """Takes ``plan.results`` sums with ``done``, gives beats of ``plan.lanes`` integers with ``push``.

    Channels follow each other in order and start again after the last. Where ``plan.results`` does not divide
    ``plan.period``, the last set of a period is cut short.
    """

    def __init__(self, requantization: Requantization, plan: RequantizerPlan, sum_: IntType, out: IntType):
        self.requantization, self.plan, self.sum_type, self.out_type = requantization, plan, sum_, out
        super().__init__(
            {
                "done": In(1),
                "sums": In(data.ArrayLayout(element_shape(sum_), plan.results)),
                "push": Out(1),
                "o": Out(data.ArrayLayout(element_shape(out), plan.lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, layout = self.plan, constants_layout(self.requantization)
        sums, beat, phase, issue = self._serialise(m)
        words = constant_words(self.requantization, plan.lanes)
        m.submodules.constants = rom = Rom(words, plan.lanes * layout.size)
        m.d.comb += rom.address.eq(beat)
        sums = delay(m, sums, rom.latency, "sums")
        phase = delay(m, phase, rom.latency + plan.before_product, "phase")
        m.d.comb += self.push.eq(delay(m, issue, plan.latency - 1, "push", reset_less=False))
        for lane in range(plan.lanes):
            constants = data.View(layout, rom.data.word_select(lane, layout.size))
            raw = sums.word_select(lane, self.sum_type.width)
            raw = raw.as_signed() if self.sum_type.signed else raw
            operand = self._operand(m, lane, raw, constants)
            multiplier = delay(m, constants.multiplier, plan.before_product, f"multiplier_{lane}")
            product = self._multiply(m, lane, operand, multiplier, phase)
            offset = delay(
                m, constants.offset, plan.before_product + plan.part_latency + plan.spacing, f"offset_{lane}"
            )
            value = Signal(signed(max(len(product), len(offset)) + 1), name=f"value_{lane}", reset_less=True)
            m.d.sync += value.eq(product + offset)
            m.d.comb += self.o[lane].eq(self._round(m, lane, value))
        return m

    def _serialise(self, m: Module) -> tuple[Value, Signal, Signal, Value]:
        """Hold a set of sums and shift it out; gives this beat's sums, its number, the digit's, and when it starts."""
        plan = self.plan
        width = plan.lanes * self.sum_type.width
        hold = Signal(plan.results * self.sum_type.width, reset_less=True)
        left, beat = Signal(range(plan.busy + 1)), Signal(range(max(plan.rounds, 2)))
        phase = Signal(range(max(plan.spacing, 2)))
        beat_end = phase == plan.spacing - 1
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
            if plan.serial:
                m.d.sync += phase.eq(wrapping_increment(phase, plan.spacing))
            with m.If(beat_end):
                m.d.sync += hold.eq(hold >> width)
                if plan.rounds > 1:
                    m.d.sync += beat.eq(wrapping_increment(beat, plan.rounds))
                if plan.period % plan.results:
                    self._cut_short(m, beat, left)
        with m.If(self.done):
            m.d.sync += [hold.eq(self.sums.as_value()), left.eq(plan.busy)]
        return hold[:width], beat, phase, (left != 0) & (phase == 0)

    def _cut_short(self, m: Module, beat: Signal, left: Signal) -> None:
        """Stop after the last beat of a period."""
        plan = self.plan
        beats, within = plan.period // plan.lanes, beat
        if plan.period < plan.channels:
            within = Signal(range(beats), name="within")
            m.d.sync += within.eq(wrapping_increment(within, beats))
        with m.If(within == beats - 1):
            m.d.sync += left.eq(0)

    def _operand(self, m: Module, lane: int, raw: Value, constants: data.View) -> Signal:
        """Add the bias, saturate: two registers; round where float32 would: a third."""
        type_ = self.requantization.operand_type
        biased = Signal((raw + constants.bias).shape(), name=f"biased_{lane}", reset_less=True)
        operand = Signal(element_shape(type_), name=f"operand_{lane}", reset_less=True)
        m.d.sync += [biased.eq(raw + constants.bias), operand.eq(saturated(biased, type_))]
        if not self.plan.rounded:
            return operand
        rounded = Signal(element_shape(self.requantization.factor_type), name=f"rounded_{lane}", reset_less=True)
        m.d.sync += rounded.eq(to_significand(operand))
        return rounded

    def _multiply(self, m: Module, lane: int, operand: Signal, multiplier: Value, phase: Value) -> Signal:
        """The product: registers after the digits' products and one after their sum."""
        plan, size = self.plan, self.plan.digit_bits
        total = Signal(signed(len(operand) + len(multiplier) + 1), name=f"total_{lane}", reset_less=True)
        if not plan.digits:
            m.d.sync += total.eq(delay(m, operand, 1, f"part_{lane}"))
            return total
        digits = [multiplier[n * size : (n + 1) * size] for n in range(plan.digits)]
        if not plan.serial:
            parts = [self._part(m, operand, digit, f"part{n}_{lane}") for n, digit in enumerate(digits)]
            m.d.sync += total.eq(reduce(add, (part << (n * size) for n, part in enumerate(parts))))
            return total
        # Horner's rule, highest digit first.
        digit = Signal(size, name=f"digit_{lane}")
        with m.Switch(phase):
            for n, choice in enumerate(reversed(digits)):
                with m.Case(n):
                    m.d.comb += digit.eq(choice)
        starts = delay(m, phase == 0, plan.part_latency, f"starts_{lane}")
        m.d.sync += total.eq(Mux(starts, 0, total << size) + self._part(m, operand, digit, f"part_{lane}"))
        return total

    def _part(self, m: Module, operand: Signal, digit: Value, name: str) -> Value:
        """``operand`` by a digit, registered: one hardware multiplier, or a tree of adders over the digit's bits."""
        if not self.plan.in_luts:
            part = Signal(signed(len(operand) + DIGIT_BITS + 1), name=name, reset_less=True)
            m.d.sync += part.eq(operand * digit)
            return part
        rows = [Mux(bit, operand, 0) for bit in digit]
        for level in range(self.plan.part_latency):
            pairs = [rows[n : n + 2] for n in range(0, len(rows), 2)]
            rows = []
            for n, pair in enumerate(pairs):
                value = _shifted_sum(*pair, 1 << level) if len(pair) == 2 else pair[0]
                row = Signal(value.shape(), name=f"{name}_row{level}_{n}", reset_less=True)
                m.d.sync += row.eq(value)
                rows.append(row)
        return rows[0]

    def _round(self, m: Module, lane: int, value: Signal) -> Signal:
        """Shift, correct ties, clip: three registers."""
        shift, (low, high) = self.requantization.shift, self.requantization.clamp
        quotient = Signal(signed(max(len(value) - shift, 1) + 1), name=f"quotient_{lane}", reset_less=True)
        corrected = Signal(signed(len(quotient) + 1), name=f"corrected_{lane}", reset_less=True)
        result = Signal(element_shape(self.out_type), name=f"result_{lane}", reset_less=True)
        m.d.sync += quotient.eq(value >> shift)
        if self.requantization.ties:
            m.d.sync += corrected.eq(quotient + self._correction(m, lane, quotient, value[:shift]))
        else:
            m.d.sync += corrected.eq(quotient)
        m.d.sync += result.eq(Mux(corrected < low, low, Mux(corrected > high, high, corrected)))
        return result

    def _correction(self, m: Module, lane: int, quotient: Signal, rest: Value) -> Signal:
        """-1, 0 or +1 for the registered ``quotient``; ``rest`` is a cycle ahead of it."""
        requantization = self.requantization
        steps = quotient - requantization.zero_point
        down = self._near(m, f"down_{lane}", 2 * steps - 1, lambda margin: rest <= margin)
        ones = (1 << requantization.shift) - 1
        up = self._near(m, f"up_{lane}", 2 * steps + 1, lambda margin: rest > ones - margin if margin else Const(0))
        correction = Signal(signed(2), name=f"correction_{lane}")
        with m.If(steps[0]):
            m.d.comb += correction.eq(Mux(down, -1, Mux(up, 1, 0)))
        return correction

    def _near(self, m: Module, name: str, boundary: Value, test) -> Signal:
        """``test(margin)``, made a cycle ago for every margin, chosen by the magnitude of ``boundary``."""
        longest, margins = _longest(self.requantization), _margins(self.requantization)
        tests = {}
        for margin in tested_margins(self.requantization):
            tests[margin] = Signal(name=f"{name}_within_{margin}", reset_less=True)
            m.d.sync += tests[margin].eq(test(margin))
        magnitude = Mux(boundary < 0, -boundary, boundary)
        near = Signal(name=name)
        m.d.comb += near.eq(tests[margins[1]])
        for bits in range(2, longest + 1):
            with m.If(magnitude[bits - 1 :].any()):
                m.d.comb += near.eq(tests[margins[bits]])
        return near


def _longest(requantization: Requantization) -> int:
    """Bits of the greatest boundary between two levels, counted in halves of a level."""
    low, high = requantization.clamp
    zero = requantization.zero_point
    return (2 * max(abs(low - zero), abs(high - zero)) + 1).bit_length()


def _margins(requantization: Requantization) -> Sequence[int]:
    """By bits of a boundary, how near to it counts as a tie."""
    return requantization.margins if requantization.form == "float" else (0,) * 65


def tested_margins(requantization: Requantization) -> list[int]:
    """Those that boundaries have, each once."""
    return sorted(set(_margins(requantization)[1 : _longest(requantization) + 1]))


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


def constants_layout(requantization: Requantization) -> data.StructLayout:
    """The constants of one channel."""
    bias, offset = requantization.bias, requantization.offset
    return data.StructLayout(
        {
            "bias": signed(_signed_width(bias)),
            "multiplier": unsigned(requantization.multiplier_bits),
            "offset": signed(_signed_width(offset)),
        }
    )


def _signed_width(values) -> int:
    return max(IntType.holding(min(int(values.min()), -1), int(values.max())).width, 1)


def constant_words(requantization: Requantization, lanes: int) -> list[int]:
    """The contents of the constant memory: in each word ``lanes`` channels, the first lowest."""
    layout = constants_layout(requantization)
    widths = [field.shape.width for _, field in sorted(layout, key=lambda item: item[1].offset)]
    channels = []
    columns = (requantization.bias, requantization.multiplier, requantization.offset)
    for row in zip(*columns, strict=True):
        word, at = 0, 0
        for value, width in zip(row, widths, strict=True):
            word |= pack([value], width) << at
            at += width
        channels.append(word)
    return [pack(channels[at : at + lanes], layout.size) for at in range(0, len(channels), lanes)]
