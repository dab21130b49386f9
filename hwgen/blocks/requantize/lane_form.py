"""What one lane of a requantiser is, and what it takes."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from hwgen.blocks.requantize.scaler import ScalerForm
from hwgen.blocks.stream import element_shape
from hwgen.cost.logic import Logic, adder, adder_register, adder_tree, clipped, delayed
from hwgen.graph.exact.requantization import SIGNIFICAND, Requantization
from hwgen.graph.types import IntType

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
