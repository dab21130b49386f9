"""From a number in fixed point to the integer that it is quantised to: shifted, searched for, or divided."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned

from hwgen.blocks.arith.arithmetic import delay, register
from hwgen.blocks.arith.computation import Computation, exact, rounded
from hwgen.blocks.arith.fixed_point import Number
from hwgen.blocks.pointwise.element_form import Definition
from hwgen.blocks.requantize.step_search import SearchShape, point_type, search, value_type
from hwgen.blocks.stream import element_shape
from hwgen.blocks.streamed import Hardware, Pipeline
from hwgen.cost.logic import Logic, adder, clipped, delayed, index_bits
from hwgen.cost.needs import MemoryNeed
from hwgen.graph.errors import ModelError
from hwgen.graph.exact.requantization import SIGNIFICAND
from hwgen.graph.exact.steps import MOST_ARGUMENTS, Steps, find_steps, steps_between
from hwgen.graph.expression import Expression
from hwgen.graph.lower.site import integer_clamp
from hwgen.graph.types import IntType, Quantization
from hwgen.memory.rom import Columns, rom_need

#: Bits of a number whose steps are looked for.
WIDEST = 62
#: Bits of an output up to which steps are searched for rather than divided.
_MOST_SEARCHED = 8


@dataclass(frozen=True, eq=False)
class Finish(Pipeline):
    """Ends ``number`` in an integer of ``out``."""

    number: Number
    out: IntType

    @abstractmethod
    def emit(self, m: Module, name: str, x: Value) -> Value:
        """The integer, :attr:`latency` cycles after ``x``."""

    @abstractmethod
    def apply(self, x: np.ndarray) -> np.ndarray:
        """The integers, int64."""


@dataclass(frozen=True, eq=False)
class Shifted(Finish):
    """Divided by ``2**shift``, half to even; then the zero point, and limits."""

    shift: int
    zero: int
    clamp: tuple[int, int]

    latency = 2

    @property
    def hardware(self) -> Hardware:
        width = self.number.type.width
        rounding = adder(width) + Logic(register=width + 1)
        ends = clipped(max(width - self.shift, 1), *self.clamp, self.out.width)
        return Hardware(rounding + ends + Logic(register=self.out.width))

    def emit(self, m: Module, name: str, x: Value) -> Value:
        up = x + (1 << self.shift - 1) - 1 + x[min(self.shift, len(x) - 1)] if self.shift > 0 else x
        total = register(m, up, f"{name}_total", signed(len(x) + 1))
        return _limited(m, name, (total >> max(self.shift, 0) << max(-self.shift, 0)) + self.zero, self.clamp, self.out)

    def apply(self, x: np.ndarray) -> np.ndarray:
        if self.shift > 0:
            x = x + (1 << self.shift - 1) - 1 + (x >> self.shift & 1) >> self.shift
        return np.clip((x << max(-self.shift, 0)) + self.zero, *self.clamp)

    def certificate(self) -> dict[str, object]:
        return {"form": "shift", "shift": self.shift}


def _limited(m: Module, name: str, value: Value, clamp: tuple[int, int], out: IntType) -> Signal:
    """A register."""
    low, high = clamp
    limited = Mux(value < low, low, Mux(value > high, high, value))
    return register(m, limited, f"{name}_result", element_shape(out))


@dataclass(frozen=True, eq=False)
class Searched(Finish):
    """Found among ``steps``: a comparison a stage. Where channels have steps of their own, the number comes with that
    of its channel, of ``channel_bits``, above it."""

    steps: Steps

    @property
    def channel_bits(self) -> int:
        """Bits of the channel's number, which goes with the number; 0 where all channels have the same steps."""
        return index_bits(self.steps.channels)

    @property
    def _search(self) -> SearchShape:
        return SearchShape(self.steps.channels, self.steps.levels, self.steps.values is not None)

    @property
    def latency(self) -> int:
        return self._search.latency

    @property
    def hardware(self) -> Hardware:
        steps, width, logic = self.steps, self.number.type.width, Logic()
        points, memories = point_type(steps), []
        for level in range(steps.levels):
            need, registers = self._memory(f"steps{level}", steps.level(level), points)
            memories.append(need)
            wait = self._search.wait(level)
            held = delayed(width + self.channel_bits, wait + 1) + Logic(register=1 + level * (wait + 1))
            logic += adder(max(points.width, width)) + held + Logic(register=registers)
        if steps.values is None:
            return Hardware(logic + adder(self.out.width) + Logic(register=self.out.width), memories)
        need, registers = self._memory("values", steps.values, value_type(steps))
        return Hardware(logic + Logic(register=registers), [*memories, need])

    def _memory(self, name: str, values: np.ndarray, type_: IntType) -> tuple[MemoryNeed, int]:
        """That of ``values`` int64 [C, words], and the flip-flops behind it."""
        columns = Columns.of(values.reshape(-1, 1), [type_.width])
        need = rom_need(name, type_.width, values.size, columns)
        return need, columns.registers if need.style == "logic" else 0

    def emit(self, m: Module, name: str, x: Value) -> Value:
        width = len(x) - self.channel_bits
        return search(m, name, self.steps, slice(None), x[:width].as_signed(), x[width:], self.out)

    def apply(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x)
        return self.steps.apply(x) if self.steps.channels > 1 else self.steps.apply(x[..., None])[..., 0]

    def certificate(self) -> dict[str, object]:
        return {"form": "search", "thresholds": self.steps.count, "levels": self.steps.levels}


@dataclass(frozen=True, eq=False)
class Divided(Finish):
    """The quotient by the scale of ``target`` as float32 rounds it, rounded to an integer and limited to ``clamp``.

    ``number`` is a float32 over its power of two.
    """

    target: Quantization
    clamp: tuple[int, int]

    @cached_property
    def fraction(self) -> tuple[int, int]:
        """What the number is shifted by, and the divisor."""
        mantissa, exponent = exact(self.target.step)
        shift = self.number.exponent - exponent
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
    def latency(self) -> int:
        """Limited; a register for each bit of the quotient; compared and rounded; limited."""
        return 1 + self.bits + 2 + 1

    @property
    def hardware(self) -> Hardware:
        width, divisor, out = self.number.type.width, self.fraction[1].bit_length(), self.out.width
        step = Logic(adder=divisor + 1, logic=divisor + 1, register=divisor + 1 + self.bits)
        ends = Logic(adder=2 * divisor + 3 * out, logic=4 * out, register=3 * out)
        return Hardware(Logic(adder=width, logic=width, register=divisor + self.bits) + self.bits * step + ends)

    def emit(self, m: Module, name: str, x: Value) -> Value:
        shift, divisor = self.fraction
        most = self.bound * divisor
        magnitude = Mux(x < 0, -x, x) << shift
        rest = register(m, Mux(magnitude > most, most, magnitude), f"{name}_limited", range(most + 1))
        negative = register(m, x < 0, f"{name}_negative")
        quotient = Cat()
        for bit in reversed(range(self.bits)):
            step = divisor << bit
            fits = rest >= step
            rest = register(m, Mux(fits, rest - step, rest), f"{name}_rest_{bit}", range(min(step, most + 1)))
            quotient = register(m, Cat(fits, quotient), f"{name}_quotient_{bit}", self.bits - bit)
        return self._round(m, name, delay(m, negative, self.bits, f"{name}_negative"), quotient, rest)

    def _round(self, m: Module, name: str, negative: Value, quotient: Value, rest: Value) -> Value:
        """To the nearest of what float32 makes of the fraction, half to even; then sign, zero point, limits."""
        divisor = self.fraction[1]
        margin = Signal(unsigned(self.margin(self.bits).bit_length() + 1), name=f"{name}_margin")
        m.d.comb += margin.eq(self.margin(0))
        for length in range(1, self.bits + 1):
            with m.If(quotient[length - 1 :].any()):
                m.d.comb += margin.eq(self.margin(length))
        beside = register(m, (rest << 1) - divisor, f"{name}_beside", signed(divisor.bit_length() + 2))
        near = register(m, margin, f"{name}_near")
        held = delay(m, quotient, 1, f"{name}_held")
        over, under = beside > near, beside < -near
        up = over | (~under & held[0])
        rounded_ = register(m, held + up, f"{name}_rounded", range(self.bound + 2))
        signed_ = Mux(delay(m, negative, 2, f"{name}_sign"), -rounded_, rounded_) + self.target.zero_point
        return _limited(m, name, signed_, self.clamp, self.out)

    def apply(self, x: np.ndarray) -> np.ndarray:
        real = np.ldexp(np.asarray(x).astype(np.float32), self.number.exponent)
        return np.clip(self.target.quantize(real).astype(np.int64), *self.clamp)

    def certificate(self) -> dict[str, object]:
        return {"form": "float32 quotient", "bits": self.bits}


def finish(
    computation: Computation, tail: Expression, definition: Definition, every: np.ndarray | None = None
) -> tuple[Computation, Finish]:
    """What ends ``computation`` with ``tail``, and itself, with one more rounding where that is needed.

    ``every`` is all that it can result in, where that is known. Raises ModelError or ValueError where nothing does.
    """
    number, bounds, target, out = computation.result, tail.bounds(), definition.target, definition.out
    if bounds is not None:
        ends = integer_clamp(target, bounds)
        low, high = (min(max(end, ends[0]), ends[1]) for end in definition.clamp)
        limits = low, high
        mantissa, exponent = exact(target.step)
        as_float = Computation(rounded(number))
        if mantissa == 1:
            return as_float, Shifted(as_float.result, out, exponent - number.exponent, target.zero_point, limits)
        if out.width > _MOST_SEARCHED:
            return as_float, Divided(as_float.result, out, target, limits)
    return computation, Searched(number, out, _steps(number, tail, definition, every))


def _steps(number: Number, tail: Expression, definition: Definition, every: np.ndarray | None) -> Steps:
    """The steps of what is made of ``number``."""
    if number.type.width > WIDEST:
        raise ModelError(
            f"sums of {number.type.width} bits in fixed point (limit {WIDEST} bits); make scales more alike"
        )

    def ended(z: np.ndarray) -> np.ndarray:
        real = np.ldexp(z.astype(np.float32), number.exponent)
        return definition.quantized(tail(real[:, None, None, :])).reshape(real.shape)

    if every is not None and not tail.monotone:
        return steps_between(ended, every)
    if number.high - number.low >= MOST_ARGUMENTS and not tail.monotone:
        limit = MOST_ARGUMENTS.bit_length() - 1
        raise ModelError(
            f"sums of {number.type.width} bits in front of {tail}, which may fall and rise (limit {limit} bits); "
            "quantise the sum first"
        )
    return find_steps(ended, np.array([number.low]), np.array([number.high]), tail.monotone)
