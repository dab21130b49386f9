"""Exact requantisation: from a wide accumulator to a few bits, with integers only.

The definition is ONNX Runtime's ``QLinearConv``: ``float32(acc) * scale`` in float32, round half to even, add the
zero point, saturate. Seen as a function of the integer accumulator it is a staircase that never falls, and so it is
known from its *thresholds*: for each output ``k`` the least accumulator that gives at least ``k``. Two hardware forms
share one datapath, ``(acc * multiplier + offset) >> shift``:

``line``
    The smallest multiplier and offset with the very same thresholds over the whole reachable accumulator range.
    For a given shift and multiplier every threshold bounds the offset from both sides, and the slack between the
    bounds is a concave function of the multiplier, so a bisection decides. Where the scale is a power of two,
    exact ties occur, and half-to-even breaks them downwards at odd outputs; ``ties`` pays one gate for that.

``float``
    The float32 product is rounded to 24 bits before it is rounded to an integer, which bends the staircase by one
    accumulator here and there; at some channels no straight line follows. This form takes the scale's exact
    mantissa as the multiplier and treats as a tie whatever float32 would have rounded onto one.

Whichever is chosen is then checked against the definition on both sides of every threshold. As both are
staircases, that proves them equal everywhere.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .errors import ModelError
from .types import IntType

_MAX_MULTIPLIER_BITS = 28  # the float form needs 24 and the spread of the scales
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


def output_scale(input_scale: float, weight_scale: np.ndarray, output_scale: float) -> np.ndarray:
    """``x_scale * w_scale / y_scale`` in float32 and in ONNX Runtime's order of operations."""
    product = np.float32(input_scale) * np.asarray(weight_scale, np.float32)
    return np.atleast_1d(product / np.float32(output_scale))


def thresholds(
    scale: np.ndarray, zero_point: int, clamp: tuple[int, int], low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """The least accumulator that gives at least ``k``, for each channel and ``k`` in ``clamp[0]+1 .. clamp[1]``.

    ``scale``, ``low`` and ``high`` are [C]; the result is int64 [C, K]. A threshold at or below ``low`` is given as
    ``low``, one above ``high`` (never reached) as ``high + 1``.
    """
    outputs = np.arange(clamp[0] + 1, clamp[1] + 1, dtype=np.int64)
    scale = np.asarray(scale, np.float32).reshape(-1, 1)
    low, high = (np.asarray(bound, np.int64).reshape(-1, 1) for bound in (low, high))
    guess = np.ceil((outputs - zero_point - 0.5) / scale.astype(np.float64))
    guess = np.clip(guess, low, high + 1).astype(np.int64)
    # The float32 product is off by at most 2^-23 of its value, and so is the threshold.
    slack = 2 + (np.abs(guess) >> 21)
    below, above = np.maximum(guess - slack, low) - 1, np.minimum(guess + slack, high + 1)
    while (open_ := above - below > 1).any():  # invariant: below is under the threshold, above is not
        middle = np.where(open_, (below + above) >> 1, above)
        reached = requantize_reference(middle, scale, zero_point, clamp) >= outputs
        reached |= middle > high
        above = np.where(open_ & reached, middle, above)
        below = np.where(open_ & ~reached, middle, below)
    return above


@dataclass(frozen=True, eq=False)
class Requantization:
    """The hardware form for ``C`` channels, proved equal to the definition between ``low`` and ``high``.

    With int64 arrays [C], for a raw accumulator (the layer's bias not yet added)::

        operand  = saturate(acc + bias, operand_type)       # the operand that the multiplier sees
        value    = operand * multiplier + offset
        quotient = value >> shift,  rest = value mod 2^shift
        result   = clip(quotient + correction, *clamp)

    ``correction`` is nonzero only where ``quotient - zero_point`` is odd: -1 if ``rest`` is at most
    ``margin(quotient)``, +1 if it is at least ``2^shift - margin(quotient + 1)``. In the form ``line`` without
    ``ties`` there is none; with ``ties`` the margin is 0; in the form ``float`` it is half a float32 ulp.
    Saturation changes nothing: out there the result is saturated already.
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

    @property
    def channels(self) -> int:
        return len(self.multiplier)

    @property
    def multiplier_bits(self) -> int:
        return int(self.multiplier.max()).bit_length()

    def reference(self, acc: np.ndarray) -> np.ndarray:
        """The definition, for raw accumulators int64 [..., C]."""
        return requantize_reference(acc + self.layer_bias, self.scale, self.zero_point, self.clamp)

    def golden(self, sums: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """:meth:`reference` of raw sums that integers or floats hold exactly, as ``dtype``; may overwrite them."""
        steps = scaled_sums(sums, self.layer_bias, self.scale, self._narrow)
        return rounded(steps, self.zero_point, self.clamp, dtype)

    @cached_property
    def _narrow(self) -> bool:
        return all(int(np.abs(value).max()) < 1 << 24 for value in (self.low, self.high, self.layer_bias))

    def apply(self, acc: np.ndarray) -> np.ndarray:
        """What the hardware computes, for raw accumulators int64 [..., C]."""
        operand = np.clip(np.asarray(acc, np.int64) + self.bias, self.operand_type.min, self.operand_type.max)
        value = operand * self.multiplier + self.offset
        quotient, rest = value >> self.shift, value & ((1 << self.shift) - 1)
        if self.form == "float" or self.ties:
            odd = (quotient - self.zero_point) & 1 == 1
            down = odd & (rest <= self.margin(quotient))
            up = odd & (rest >= (1 << self.shift) - self.margin(quotient + 1)) & ~down
            quotient = quotient - down + up
        return np.clip(quotient, *self.clamp)

    def margin(self, output: np.ndarray) -> np.ndarray:
        """How near a value must be to the boundary below ``output`` to count as a tie, in units of ``value``.

        The boundary is ``(2k - 1) * 2^(shift-1)`` with ``k = output - zero_point``; float32 numbers there are
        ``2^(floor(log2|2k-1|) + shift - 24)`` apart, and half of that rounds onto the boundary.
        """
        if self.form == "line":
            return np.zeros_like(output)
        return np.array([self.margins[bits] for bits in range(65)])[
            _bit_length(np.abs(2 * (output - self.zero_point) - 1))
        ]

    @property
    def margins(self) -> tuple[int, ...]:
        """The margin by the bit length (0 to 64) of ``|2k - 1|``."""
        exponents = [bits - 1 + self.shift - 25 for bits in range(65)]
        return tuple(1 << exponent if 0 <= exponent < 62 else 0 for exponent in exponents)

    def certificate(self) -> dict[str, object]:
        """What was proved, in a form for reports."""
        form = "float" if self.form == "float" else "line with ties" if self.ties else "line"
        return {
            "form": form,
            "proved": "equal on both sides of every threshold of every channel",
            "channels": self.channels,
            "thresholds": self.channels * (self.clamp[1] - self.clamp[0]),
            "operand_bits": self.operand_type.width,
            "multiplier_bits": self.multiplier_bits,
            "shift": self.shift,
        }


def _bit_length(values: np.ndarray) -> np.ndarray:
    return np.frexp(np.asarray(values, np.float64))[1]


def fit(
    scale: np.ndarray,
    zero_point: int,
    clamp: tuple[int, int],
    low: np.ndarray,
    high: np.ndarray,
    bias: np.ndarray | None = None,
) -> Requantization:
    """Find the smallest exact hardware form for ``C`` channels and prove it.

    ``scale`` is float32 [C]; ``low`` and ``high`` are the reachable accumulators with the bias in, int64 [C];
    ``bias`` int64 [C] is what is still to be added to the raw accumulator. Raises :class:`ModelError` where
    no form is exact (an accumulator beyond 24 bits that is not saturated).
    """
    scale = np.asarray(scale, np.float32).reshape(-1)
    low, high = np.asarray(low, np.int64).reshape(-1), np.asarray(high, np.int64).reshape(-1)
    layer_bias = np.zeros_like(low) if bias is None else np.asarray(bias, np.int64).reshape(-1)
    clamp = (int(clamp[0]), int(clamp[1]))
    points = thresholds(scale, zero_point, clamp, low, high)
    centre, operand_type = _operand(points, low, high)
    gates = _Gates.of(points, clamp, low, high)
    exact = _float_line(scale, zero_point)
    for form, ties, line in (
        ("line", False, lambda: _fit_lines(gates, scale)),
        ("line", True, lambda: _fit_lines(gates.with_ties(zero_point), scale)),
        ("float", True, lambda: exact),
    ):
        multiplier, offset, shift = line()
        if shift < 0 or (form == "line" and multiplier.max() > exact[0].max()):
            continue
        found = Requantization(
            form=form, ties=ties, scale=scale, zero_point=zero_point, clamp=clamp, low=low, high=high,
            layer_bias=layer_bias, bias=layer_bias - centre, operand_type=operand_type,
            multiplier=multiplier, offset=offset + centre * multiplier, shift=shift,
        )  # fmt: skip
        if _equal(found, points):
            return found
    raise ModelError(
        f"requantisation: no exact hardware form for scale {scale.min():.3g} and accumulators of "
        f"{operand_type.width} bits (limit 24 bits before saturation); use a larger output scale"
    )


def _operand(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, IntType]:
    """Where thresholds lie, as a centre [C] and the narrowest type that reaches both ends from there."""
    first, last = np.maximum(points[:, 0] - 1, low), np.minimum(points[:, -1], high)
    centre = (first + last + 1) >> 1
    return centre, IntType.holding(min(int((first - centre).min()), -1), int((last - centre).max()))


def _float_line(scale: np.ndarray, zero_point: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Scale as an exact integer over a power of two that all channels share; the offset rounds to nearest."""
    mantissa, exponent = np.frexp(scale.astype(np.float64))
    shift = 24 - int(exponent.min())
    multiplier = np.ldexp(mantissa, exponent + shift).astype(np.int64)
    zeros = min(int(np.bitwise_or.reduce(multiplier)) & -int(np.bitwise_or.reduce(multiplier)), 1 << max(shift - 1, 0))
    multiplier, shift = multiplier // zeros, shift - zeros.bit_length() + 1
    half = (1 << shift) >> 1
    return multiplier, np.full_like(multiplier, half + (zero_point << shift)), shift


def _equal(form: Requantization, points: np.ndarray) -> bool:
    """Both sides of every threshold, and both ends of the range."""
    ends = np.stack([form.low, form.high], axis=1)
    probes = np.concatenate([points, points - 1, ends], axis=1)
    probes = np.clip(probes, form.low[:, None], form.high[:, None]).T - form.layer_bias
    return bool((form.apply(probes) == form.reference(probes)).all())


@dataclass(frozen=True, eq=False)
class _Gates:
    """What a line ``v(acc) = acc*M + B`` must keep to, [C, K] each: ``v(reach) >= k*2^s`` and ``v(under) < k*2^s``.

    ``up`` (0 or 1) is added to both sides' right where a tie goes downwards. Masks say where a bound exists.
    """

    outputs: np.ndarray
    reach: np.ndarray
    has_reach: np.ndarray
    under: np.ndarray
    has_under: np.ndarray
    up: np.ndarray

    @staticmethod
    def of(points: np.ndarray, clamp: tuple[int, int], low: np.ndarray, high: np.ndarray) -> "_Gates":
        outputs = np.arange(clamp[0] + 1, clamp[1] + 1, dtype=np.int64)[None, :]
        has_reach, has_under = points <= high[:, None], points > low[:, None]
        return _Gates(outputs, points, has_reach, points - 1, has_under, np.zeros_like(outputs))

    def select(self, rows: np.ndarray) -> "_Gates":
        return _Gates(
            self.outputs,
            self.reach[rows],
            self.has_reach[rows],
            self.under[rows],
            self.has_under[rows],
            self.up,
        )

    def with_ties(self, zero_point: int) -> "_Gates":
        return _Gates(
            self.outputs,
            self.reach,
            self.has_reach,
            self.under,
            self.has_under,
            (self.outputs - zero_point) & 1,
        )

    def bounds(self, multiplier: np.ndarray, shift: int) -> tuple[np.ndarray, ...]:
        """Least and greatest offset [C] for a multiplier [C], and which way the slack between them grows."""
        huge = np.int64(1) << 62
        target = (self.outputs << shift) + self.up
        lower = np.where(self.has_reach, target - multiplier[:, None] * self.reach, -huge)
        upper = np.where(self.has_under, target - 1 - multiplier[:, None] * self.under, huge)
        first, last = lower.argmax(axis=1), upper.argmin(axis=1)
        rows = np.arange(len(multiplier))
        growth = np.sign(self.reach[rows, first] - self.under[rows, last])
        return lower[rows, first], upper[rows, last], growth


def _fit_lines(gates: _Gates, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Smallest multipliers and offsets over a common shift; a shift of -1 where a channel has no line."""
    channels = len(scale)
    shift = np.full(channels, -1, np.int64)
    multiplier, offset = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    exponent = np.ceil(-np.log2(scale.astype(np.float64))).astype(np.int64)
    # The products formed in `bounds` must stay within int64, with a bit to spare for each sum.
    largest = int(np.abs(gates.reach).max(initial=1)).bit_length()
    for extra in range(min(_MAX_MULTIPLIER_BITS, 60 - largest)):
        todo = np.flatnonzero(shift < 0)
        for at in np.unique(exponent[todo]):
            trial = int(at) + extra
            if not 0 <= trial <= 45:
                continue
            rows = todo[exponent[todo] == at]
            found, m, b = _bisect(gates.select(rows), scale[rows].astype(np.float64) * 2.0**trial, trial)
            shift[rows[found]], multiplier[rows[found]], offset[rows[found]] = trial, m[found], b[found]
    if (shift < 0).any():
        return multiplier, offset, -1
    widen = shift.max() - shift
    return multiplier << widen, offset << widen, int(shift.max())


def _bisect(gates: _Gates, ideal: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Look for a multiplier with non-negative slack near ``ideal``: found [C], multiplier, offset."""
    reach = np.maximum(2, (ideal * 2.0**-6).astype(np.int64))
    low = np.maximum(np.floor(ideal).astype(np.int64) - reach, 1)
    high = np.ceil(ideal).astype(np.int64) + reach
    found = np.zeros(len(ideal), bool)
    multiplier, offset = np.zeros_like(low), np.zeros_like(low)
    middle = np.maximum(np.rint(ideal).astype(np.int64), 1)
    while True:
        least, greatest, growth = gates.bounds(middle, shift)
        fits = (least <= greatest) & ~found & (low <= high)
        multiplier[fits], offset[fits] = middle[fits], _roundest(least[fits], greatest[fits], shift)
        found |= fits
        low = np.where(growth > 0, middle + 1, low)
        high = np.where(growth < 0, middle - 1, np.where(growth == 0, middle - 1, high))
        if (found | (low > high)).all():
            return found, multiplier, offset
        middle = (low + high) >> 1


def _roundest(least: np.ndarray, greatest: np.ndarray, shift: int) -> np.ndarray:
    """The offset nearest to one half: well inside the bounds, and alike across channels where it can be."""
    return np.clip(np.int64(1) << max(shift - 1, 0), least, greatest)
