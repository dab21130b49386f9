"""The requantising pipeline that every accumulating block ends with: wide sums in, narrow integers out.

One requantiser serves all results of a block in turn. What it computes is said by
:class:`hwgen.graph.exact.requantize.Requantization`. One register after each of: hold, constants, bias, saturate,
multiply, add up, offset, test for ties, choose, correct, clip; and one that rounds the operand as float32 does, where
that is needed. A hardware multiplier has one more in front of it, and a single digit's product none where others are
added up.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.arith.arithmetic import delay, register
from hwgen.blocks.array.slices import SLICES
from hwgen.blocks.mac.packer import Packed
from hwgen.blocks.requantize.lane_form import (
    DIGIT_BITS,
    LaneForm,
    Multiplication,
    constant_bits,
    delayed_factor,
    needless_rows,
)
from hwgen.blocks.requantize.requantizer_lane import RequantizerLane
from hwgen.blocks.requantize.scaler import blocks_to_scale
from hwgen.blocks.stream import element_shape
from hwgen.cost.logic import Logic, counter, delayed, index_bits, stepper, total
from hwgen.cost.needs import MemoryNeed, Products
from hwgen.graph.exact.requantization import Requantization
from hwgen.graph.types import IntType
from hwgen.hdl.contents import Contents
from hwgen.memory.queue import wrapping_increment
from hwgen.memory.rom import Columns, Rom, pack, rom_latency, rom_need
from hwgen.memory.store import LOAD_PORTS, Store, StoreShape, pass_on


class ResultPlan(Packed, ABC):
    """How sums become results: a plan of either kind, made for one requantisation, which it is then asked about."""

    @property
    @abstractmethod
    def spacing(self) -> int:
        """Cycles from beat to beat."""

    @property
    def busy(self) -> int:
        """Cycles that a set of sums takes; the next must not come sooner."""
        return self.packing.loose * self.spacing

    @property
    @abstractmethod
    def latency(self) -> int:
        """From sums to the first push."""

    @abstractmethod
    def logic(self, requantization: Any, sum_: IntType, out: IntType) -> Logic:
        """Counted bits."""

    @abstractmethod
    def memories(self, requantization: Any) -> tuple[MemoryNeed, ...]:
        """Constants, thresholds, values."""

    @abstractmethod
    def products(self, requantization: Any) -> tuple[Products, ...]:
        """The multipliers by their operand widths."""

    @abstractmethod
    def component(self, requantization: Any, sum_: IntType, out: IntType) -> wiring.Component:
        """The hardware."""

    def contents(self, requantization: Any, out: IntType) -> tuple[Contents, ...]:
        """What is loaded."""
        raise NotImplementedError(f"{type(self).__name__} holds nothing that can be loaded")


@dataclass(frozen=True)
class RequantizerPlan(ResultPlan):
    """How results are requantised: ``results`` sums come in together, ``lanes`` leave in a beat.

    Sets start anew after every ``period`` channels, the last of them cut short where ``results`` does not divide it.
    ``lanes`` divides ``period``, which divides ``channels``; where it does not divide ``results``, the last beat of a
    set has idle lanes (:class:`Packing`). ``by`` is how each of them multiplies.
    """

    results: int
    lanes: int
    channels: int
    period: int
    by: Multiplication

    @staticmethod
    def of(
        requantization: Requantization,
        results: int,
        lanes: int,
        serial: bool = False,
        period: int | None = None,
        lut_cycles: int = 0,
        blocks: str = "",
    ) -> "RequantizerPlan":
        """The plan for the channels of ``requantization``; ``period`` is all of them unless given.

        With ``lut_cycles`` for a set of results it multiplies in LUTs, with digits as small as these allow; otherwise
        in ``blocks`` of this kind, if any, where these can.
        """
        channels = requantization.channels
        bits = requantization.multiplier_bits if multiplies(requantization) else 0
        count, size, in_luts = digits(requantization), DIGIT_BITS, bool(lut_cycles and bits)
        if in_luts:
            cycles = min(max(lut_cycles // -(-results // lanes), 1), bits)
            size = -(-bits // cycles)
            count = -(-bits // size)
        scaling = None if in_luts or not blocks else blocks_for(requantization, blocks)
        if scaling:
            direct = not (requantization.ties or requantization.widths)
            by = Multiplication(scaling, serial and scaling > 1, size, False, requantization.rounds, blocks, direct)
            return RequantizerPlan(results, lanes, channels, period or channels, by)
        by = Multiplication(count, (serial or in_luts) and count > 1, size, in_luts, requantization.rounds)
        return RequantizerPlan(results, lanes, channels, period or channels, by)

    @property
    def spacing(self) -> int:
        """Cycles from beat to beat."""
        return self.by.spacing

    @property
    def multipliers(self) -> int:
        """Hardware multipliers, each of an operand by a digit."""
        return 0 if self.by.in_luts else self.lanes * (1 if self.by.serial else self.by.digits)

    @property
    def latency(self) -> int:
        """Cycles from sums to the first ``push``."""
        return 1 + rom_latency(self.rounds) + self.by.latency + 1 + self.by.rounding

    def contents(self, requantization: Requantization, out: IntType) -> tuple[Contents, Contents]:
        """What is loaded: the constants of channels, and what is the same for all of them."""
        shape = self._store(requantization)
        words = constant_words(requantization.select(self.slots), self.lanes)
        settings = pack((requantization.zero_point, *requantization.clamp), out.width)
        return Contents.of(words, shape.width), Contents.of([settings], 3 * out.width)

    def products(self, requantization: Requantization) -> tuple[Products, ...]:
        """The multipliers by their operand widths."""
        if not self.multipliers:
            return ()
        if self.by.blocks:
            return (replace(block_product(self.by.blocks), count=self.multipliers),)
        return (digit_products(requantization, self.multipliers),)

    def component(self, requantization: Requantization, sum_: IntType, out: IntType) -> "Requantizer":
        """The hardware, for sums and results of these types."""
        return Requantizer(requantization, self, sum_, out)

    def memories(self, requantization: Requantization) -> tuple[MemoryNeed, ...]:
        """The constants."""
        if requantization.widths:
            return self._store(requantization).needs("constants")
        columns = Columns.joined(_columns(self, requantization))
        return (rom_need("constants", self.lanes * sum(constant_bits(requantization)), self.rounds, columns),)

    def _store(self, requantization: Requantization) -> StoreShape:
        """The constant memory where it is loaded."""
        return StoreShape(self.lanes * sum(constant_bits(requantization)), self.rounds)

    def logic(self, requantization: Requantization, sum_: IntType, out: IntType) -> Logic:
        """Counted bits of the pipeline, its constants' registers included."""
        form = lane_form(requantization, self, sum_, out)
        widths = [self.lanes * width for width in form.constant_bits]
        if form.loaded:
            constants = self._store(requantization).logic + StoreShape(3 * out.width, 1).logic
            bits = widths
        else:
            bits = [columns.registers for columns in _columns(self, requantization)]
            constants = Logic(register=sum(bits)) + self._needless(requantization, form.factor.width)
        (multiplier, offset), (wait, later), (apart, beside) = bits[1:], form.waits, widths[1:]
        in_front = delayed_factor if self.by.in_multiplier and wait else delayed
        constants += in_front(multiplier, wait, apart) + delayed(offset, later, beside)
        sums = delayed(self.lanes * sum_.width, rom_latency(self.rounds))
        sums += delayed(index_bits(self.spacing), rom_latency(self.rounds))  # the digit's number
        return serialiser_logic(self, sum_) + sums + constants + self.lanes * form.logic

    def _needless(self, requantization: Requantization, width: int) -> Logic:
        """What constants save, as bits below 0, of the rows that are added up in LUTs instead of multiplied."""
        if not self.by.in_luts or self.by.serial:
            return Logic()
        return _needless(requantization, self.slots.tobytes(), self.lanes, self.by.digit_bits, width)


def _columns(plan: RequantizerPlan, requantization: Requantization) -> list[Columns]:
    """What the constant memory holds of bias, multiplier and offset."""
    return _columns_of(requantization, plan.slots.tobytes(), plan.lanes)


# Many foldings of a layer have their constants in the same places.
@lru_cache(256)
def _needless(requantization: Requantization, slots: bytes, lanes: int, digit: int, width: int) -> Logic:
    multipliers = requantization.multiplier[np.frombuffer(slots, np.int64)].reshape(-1, lanes)
    return total(needless_rows(lane, digit, width) for lane in multipliers.T)


@lru_cache(256)
def _columns_of(requantization: Requantization, slots: bytes, lanes: int) -> list[Columns]:
    values = [field[np.frombuffer(slots, np.int64)].reshape(-1, lanes) for field in _fields(requantization)]
    widths = constant_bits(requantization)
    return [Columns.of(each, width) for each, width in zip(values, widths, strict=True)]


def serialiser_logic(plan: ResultPlan, sum_: IntType) -> Logic:
    """Counted bits of what holds a set of sums and counts beats and digits."""
    packing = plan.packing
    hold = Logic(mux=(plan.results - plan.lanes) * sum_.width, register=plan.results * sum_.width)
    cut = packing.rounds if packing.last_loose < packing.loose and plan.period < plan.channels else 1
    left = stepper(plan.busy.bit_length()) + Logic(logic=4)
    later = Logic(register=plan.latency + 2 + index_bits(plan.rounds) + index_bits(plan.spacing))
    return hold + left + total(map(counter, (plan.rounds, plan.spacing, cut))) + later


def multiplies(requantization: object) -> bool:
    """Whether there is a constant multiplier at all, and it may be another than 1."""
    loaded = getattr(requantization, "widths", None) is not None
    return loaded or bool((getattr(requantization, "multiplier", np.ones(1)) != 1).any())


def digits(requantization: Any) -> int:
    """Digits of the constant multiplier, 0 where there is none or it is always 1."""
    return -(-requantization.multiplier_bits // DIGIT_BITS) if multiplies(requantization) else 0


def digit_products(requantization: Any, count: int) -> Products:
    """``count`` multipliers of an operand by a digit."""
    operand = requantization.factor_type
    return Products(count, operand.width + (not operand.signed), DIGIT_BITS + 1)


def blocks_for(requantization: Any, kind: str) -> int | None:
    """Blocks of a kind that a lane's product by the constant takes, the offset added; None where they cannot do it, or
    there is no such product."""
    if not multiplies(requantization):
        return None
    _, constant, offset = constant_bits(requantization)
    return blocks_to_scale(kind, requantization.factor_type.width, constant, offset)


def block_product(kind: str) -> Products:
    """One of these blocks."""
    return Products(1, SLICES[kind].operand, SLICES[kind].x, cell=True)


class Requantizer(wiring.Component):
    """Takes ``plan.results`` sums a cycle after ``soon``, gives the loose beats of ``plan.packing`` with ``push``.

    Channels follow each other in order and start again after the last. Where constants are loaded there are buses
    ``load`` and ``loaded``.
    """

    def __init__(self, requantization: Any, plan: Any, sum_: IntType, out: IntType):
        self.requantization, self.plan, self.sum_type, self.out_type = requantization, plan, sum_, out
        self.loaded_constants = getattr(requantization, "widths", None) is not None
        members = {
            "soon": In(1),
            "sums": In(data.ArrayLayout(element_shape(sum_), plan.results)),
            "push": Out(1),
            "o": Out(data.ArrayLayout(element_shape(out), plan.lanes)),
        }
        super().__init__(members | (LOAD_PORTS if self.loaded_constants else {}))

    def _constants(self, m: Module) -> tuple[Rom | Store, Value | None]:
        """The memory of what channels have, and what all have where that is loaded, too."""
        plan = self.plan
        if not self.loaded_constants:
            words = constant_words(self.requantization.select(plan.slots), plan.lanes)
            m.submodules.constants = rom = Rom(words, plan.lanes * sum(constant_bits(self.requantization)))
            return rom, None
        constants, settings = map(Store, plan.contents(self.requantization, self.out_type))
        m.submodules.constants, m.submodules.settings = constants, settings
        pass_on(m, self, constants, settings)
        return constants, settings.data

    def elaborate(self, platform):
        m = Module()
        plan, size = self.plan, sum(constant_bits(self.requantization))
        sums, beat, phase, issue = self._serialise(m)
        rom, settings = self._constants(m)
        m.d.comb += rom.address.eq(beat)
        sums = delay(m, sums, rom.latency, "sums")
        phase = delay(m, phase, rom.latency, "phase")
        m.d.comb += self.push.eq(delay(m, issue, plan.latency - 1, "push", reset_less=False))
        form = lane_form(self.requantization, plan, self.sum_type, self.out_type)
        for n in range(plan.lanes):
            m.submodules[f"lane_{n}"] = lane = RequantizerLane(form)
            m.d.comb += [
                lane.sum.eq(sums.word_select(n, self.sum_type.width)),
                lane.constants.as_value().eq(rom.data.word_select(n, size)),
                lane.phase.eq(phase),
                self.o[n].eq(lane.o),
            ]
            if form.loaded:
                m.d.comb += lane.settings.as_value().eq(settings)
        return m

    def _serialise(self, m: Module) -> tuple[Value, Signal, Signal, Value]:
        """Hold a set of sums and shift it out; gives this beat's sums, its number, the digit's, and when it starts.

        All that counts is a cycle ahead of the sums, so that what moves these, far apart, are registers.
        """
        plan = self.plan
        width = plan.lanes * self.sum_type.width
        hold = Signal(plan.results * self.sum_type.width, reset_less=True)
        left, beat = Signal(range(plan.busy + 1)), Signal(range(max(plan.rounds, 2)))
        phase = Signal(range(max(plan.spacing, 2)))
        beat_end = phase == plan.spacing - 1
        load, move = register(m, self.soon, "load"), register(m, self.soon | ((left != 0) & beat_end), "move")
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
            if plan.spacing > 1:
                m.d.sync += phase.eq(wrapping_increment(phase, plan.spacing))
            with m.If(beat_end):
                if plan.rounds > 1:
                    m.d.sync += beat.eq(wrapping_increment(beat, plan.rounds))
                if plan.packing.last_loose < plan.packing.loose:
                    self._cut_short(m, beat, left)
        with m.If(self.soon):
            m.d.sync += left.eq(plan.busy)
        with m.If(move):
            m.d.sync += hold.eq(Mux(load, self.sums.as_value(), hold >> width))
        issue = register(m, (left != 0) & (phase == 0), "issue", reset_less=False)
        return hold[:width], register(m, beat, "of_beat"), register(m, phase, "of_digit"), issue

    def _cut_short(self, m: Module, beat: Signal, left: Signal) -> None:
        """Stop after the last beat of a period."""
        plan = self.plan
        beats, within = plan.packing.rounds, beat
        if plan.period < plan.channels:
            within = Signal(range(beats), name="within")
            m.d.sync += within.eq(wrapping_increment(within, beats))
        with m.If(within == beats - 1):
            m.d.sync += left.eq(0)


def lane_form(requantization: Requantization, plan: RequantizerPlan, sum_: IntType, out: IntType) -> LaneForm:
    """What all lanes of a requantiser are."""
    loaded = requantization.widths is not None
    low, high = (end - requantization.zero_point for end in requantization.clamp)
    reach = 1 << out.width if loaded else max(abs(low), abs(high))
    longest = (2 * reach + 1).bit_length()
    margins = requantization.margins if requantization.form == "float" else (0,) * 65
    return LaneForm(
        sum_,
        requantization.operand_type,
        requantization.factor_type,
        out,
        constant_bits(requantization),
        requantization.shift,
        0 if loaded else requantization.zero_point,
        (out.min, out.max) if loaded else requantization.clamp,
        requantization.ties,
        margins[1 : longest + 1] if requantization.ties else (),
        plan.by,
        loaded,
    )


def constant_words(requantization: Requantization, lanes: int) -> list[int]:
    """The contents of the constant memory: in each word ``lanes`` channels, the first lowest; in each of them bias,
    multiplier, offset."""
    widths = constant_bits(requantization)
    starts = (0, widths[0], sum(widths[:2]))
    channels = [
        sum(pack([value], width) << at for value, width, at in zip(row, widths, starts, strict=True))
        for row in zip(*_fields(requantization), strict=True)
    ]
    return [pack(channels[at : at + lanes], sum(widths)) for at in range(0, len(channels), lanes)]


def _fields(requantization: Requantization) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bias, multiplier and offset of channels, as they are in the constant memory."""
    offset = requantization.offset
    if requantization.widths:  # the zero point is loaded apart
        offset = offset - (requantization.zero_point << requantization.shift)
    return requantization.bias, requantization.multiplier, offset
