"""What requantisation computes: the definition in float32, and the integer form that stands for it in hardware."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwgen.graph.types import IntType

SIGNIFICAND = 24  # bits of a float32
#: Bits of a product or an offset: both must stay within int64.
WIDEST = 62
_ROW = 1024  # elements in a row of sums that golden works on


def requantize_reference(acc: np.ndarray, scale: np.ndarray, zero_point: int, clamp: tuple[int, int]) -> np.ndarray:
    """The definition. ``acc`` is int64 [..., C], ``scale`` float32 [C] or scalar; the result is int64."""
    steps = np.asarray(acc).astype(np.float32) * np.asarray(scale, np.float32)
    return rounded(steps, zero_point, clamp, np.dtype(np.int64))


def scaled_sums(sums: np.ndarray, bias: np.ndarray, scale: np.ndarray, narrow: bool = False) -> np.ndarray:
    """``float32(sums + bias) * scale`` in float32, for exact ``sums`` [..., C], which may be overwritten.

    ``narrow`` says that bias and biased sums lie below 2^24, so that float32 holds both; else float64 adds them.
    Several pixels at a time, so that numpy's innermost loops are long even where there are few channels.
    """
    channels = sums.shape[-1]
    pixels = sums.size // max(channels, 1)
    repeats = next((n for n in (64, 32, 16, 8, 4, 2) if n * channels <= _ROW and pixels % n == 0), 1)
    rows = sums.reshape(-1, repeats * channels)
    bias, scale = (np.tile(np.broadcast_to(value, channels), repeats) for value in (bias, scale))
    if sums.dtype == np.float32 and not narrow:
        rows = rows.astype(np.float64)
    rows = np.add(rows, bias.astype(rows.dtype), out=rows).astype(np.float32, copy=False)
    return np.multiply(rows, scale.astype(np.float32), out=rows).reshape(sums.shape)


def rounded(steps: np.ndarray, zero_point: int, clamp: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """Round half to even, saturate, add the zero point; overwrites ``steps``, which are float32."""
    np.clip(steps, clamp[0] - zero_point, clamp[1] - zero_point, out=steps)  # ends are integers: before is as after
    np.rint(steps, out=steps)
    if zero_point and abs(zero_point) + max(map(abs, clamp)) >= 1 << 24:  # the sum would not be exact in float32
        return (steps.astype(np.int64) + zero_point).astype(dtype)
    if zero_point:
        steps += np.float32(zero_point)
    return steps.astype(dtype)


def output_scale(input_scale: float, weight_scale: np.ndarray, output_scale: float | np.floating) -> np.ndarray:
    """``x_scale * w_scale / y_scale`` in float32 and in ONNX Runtime's order of operations."""
    product = np.float32(input_scale) * np.asarray(weight_scale, np.float32)
    return np.atleast_1d(product / np.float32(output_scale))


@dataclass(frozen=True, eq=False)
class Requantization:
    """The hardware form for ``C`` channels, proved equal to the definition between ``low`` and ``high``.

    With int64 arrays [C], for a raw accumulator (the layer's bias not yet added)::

        operand  = saturate(acc + bias, operand_type)       # the operand that the multiplier sees
        operand  = to 24 significant bits, half to even     # only where operand_type is wider and outputs need it
        value    = operand * multiplier + offset
        quotient = value >> shift,  rest = value mod 2^shift
        result   = clip(quotient + correction, *clamp)

    ``correction`` is nonzero only where ``quotient - zero_point`` is odd: -1 if ``rest`` is at most
    ``margin(quotient)``, +1 if it is at least ``2^shift - margin(quotient + 1)``. In the form ``line`` without
    ``ties`` there is none; with ``ties`` the margin is 0; in the form ``float`` it is half a float32 ulp. In the form
    ``raw`` multiplier and shift do nothing and nothing saturates: the result is ``acc + bias``.
    Saturation changes nothing: out there the result is saturated already.

    ``widths`` are the bits of bias, multiplier and offset in hardware whose constants are loaded; None where it is made
    for these constants and no others.
    """

    form: str
    ties: bool
    scale: np.ndarray
    zero_point: int
    clamp: tuple[int, int]
    low: np.ndarray
    high: np.ndarray
    layer_bias: np.ndarray
    bias: np.ndarray
    operand_type: IntType
    multiplier: np.ndarray
    offset: np.ndarray
    shift: int
    rounds: bool = False
    widths: tuple[int, int, int] | None = None

    @property
    def channels(self) -> int:
        """How many channels have constants of their own."""
        return len(self.multiplier)

    @property
    def factor_type(self) -> IntType:
        """What is multiplied: the operand, to which rounding may add a bit."""
        return IntType(self.operand_type.width + self.rounds, self.operand_type.signed)

    @property
    def multiplier_bits(self) -> int:
        """Of the widest multiplier, or of the widest that may be loaded."""
        if self.widths:
            return self.widths[1]
        return max(int(self.multiplier.max()).bit_length(), 1)

    def reference(self, acc: np.ndarray) -> np.ndarray:
        """The definition, for raw accumulators int64 [..., C]."""
        if self.form == "raw":
            return acc + self.layer_bias
        return requantize_reference(acc + self.layer_bias, self.scale, self.zero_point, self.clamp)

    def golden(self, sums: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """:meth:`reference` of raw sums that integers or floats hold exactly, as ``dtype``; may overwrite them."""
        if self.form == "raw":
            return self.reference(sums.astype(np.int64)).astype(dtype)
        steps = scaled_sums(sums, self.layer_bias, self.scale, self._narrow)
        return rounded(steps, self.zero_point, self.clamp, dtype)

    @cached_property
    def _narrow(self) -> bool:
        return all(int(np.abs(value).max()) < 1 << 24 for value in (self.low, self.high, self.layer_bias))

    def apply(self, acc: np.ndarray) -> np.ndarray:
        """What the hardware computes, for raw accumulators int64 [..., C]."""
        operand = np.clip(np.asarray(acc, np.int64) + self.bias, *self._ends)
        if self.rounds:
            operand = operand.astype(np.float32).astype(np.int64)
        value = operand * self.multiplier + self.offset
        quotient, rest = value >> self.shift, value & ((1 << self.shift) - 1)
        if self.form == "float" or self.ties:
            most = self.margin(np.abs(quotient - self.zero_point).max(initial=0) + 1 + self.zero_point)
            near = (rest <= most) | (rest >= (1 << self.shift) - most)
            near &= (quotient - self.zero_point) & 1 == 1
            quotient[near] += self._correction(quotient[near], rest[near])
        return np.clip(quotient, *self.clamp)

    @cached_property
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Where operands saturate, [C] each: at the operand's type, or nearer where int64 would not hold the value,
        which hardware does. Such a value is saturated in both, being far beyond the clamp."""
        most = ((1 << WIDEST) - np.abs(self.offset)) // np.maximum(self.multiplier, 1)
        return np.maximum(self.operand_type.min, -most), np.minimum(self.operand_type.max, most)

    def _correction(self, quotient: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """What is added to odd quotients, [P], for what counts as a tie."""
        down = rest <= self.margin(quotient)
        up = rest >= (1 << self.shift) - self.margin(quotient + 1)
        return np.where(down, -1, up.astype(np.int64))

    def margin(self, output: np.ndarray) -> np.ndarray:
        """How near a value must be to the boundary below ``output`` to count as a tie, in units of ``value``.

        The boundary is ``(2k - 1) * 2^(shift-1)`` with ``k = output - zero_point``; float32 numbers there are
        ``2^(floor(log2|2k-1|) + shift - 24)`` apart, and half of that rounds onto the boundary.
        """
        if self.form == "line":
            return np.zeros_like(output)
        return np.array(self.margins)[_bit_length(np.abs(2 * (output - self.zero_point) - 1))]

    @property
    def margins(self) -> tuple[int, ...]:
        """The margin by the bit length (0 to 64) of ``|2k - 1|``."""
        exponents = [bits - 1 + self.shift - 25 for bits in range(65)]
        return tuple(1 << exponent if 0 <= exponent < 62 else 0 for exponent in exponents)

    def select(self, channels: slice | list[int] | np.ndarray) -> "Requantization":
        """The same for some of the channels, in any order."""
        names = ("scale", "low", "high", "layer_bias", "bias", "multiplier", "offset")
        return replace(self, **{name: getattr(self, name)[channels] for name in names})

    def repeated(self, times: int) -> "Requantization":
        """The same for so many times the channels, which come round."""
        return self.select(np.tile(np.arange(self.channels), times))

    def certificate(self) -> dict[str, object]:
        """What was proved, in a form for reports."""
        if self.form == "raw":
            proved = {"form": "raw", "proved": "the sum itself", "channels": self.channels, "thresholds": 0}
            ends = {"sums": [int(self.low.min()), int(self.high.max())], "multiplier_bits": 0, "shift": 0}
            return {**proved, **ends, "operand_bits": self.operand_type.width}
        form = "line with ties" if self.form == "line" and self.ties else self.form
        form += ", rounded" if self.rounds else ""
        return {
            "form": form,
            "proved": "equal on both sides of every threshold of every channel",
            "channels": self.channels,
            "sums": [int(self.low.min()), int(self.high.max())],
            "thresholds": self.channels * (self.clamp[1] - self.clamp[0]),
            "operand_bits": self.operand_type.width,
            "multiplier_bits": self.multiplier_bits,
            "shift": self.shift,
        }


def raw_sums(bias: np.ndarray, type_: IntType) -> Requantization:
    """The form that gives sums of ``type_`` as they are, for ``bias`` int64 [C] still to be added."""
    bias = np.asarray(bias, np.int64)
    ones, zeros, clamp = np.ones_like(bias), np.zeros_like(bias), (type_.min, type_.max)
    return Requantization(
        form="raw", ties=False, scale=ones.astype(np.float32), zero_point=0, clamp=clamp,
        low=ones * type_.min, high=ones * type_.max, layer_bias=bias, bias=bias, operand_type=type_,
        multiplier=ones, offset=zeros, shift=0,
    )  # fmt: skip


def _bit_length(values: np.ndarray) -> np.ndarray:
    return np.frexp(np.asarray(values, np.float64))[1]
