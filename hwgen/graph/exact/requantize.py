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

Where an accumulator beyond 24 bits still changes the output, float32 cannot hold it; the operand is then rounded to 24
significant bits before it is multiplied, as float32 does. A channel whose output never changes needs no multiplier.

Whichever is chosen is then checked against the definition on both sides of every threshold. As both are
staircases, that proves them equal everywhere.

A third form, ``raw``, is for sums that nothing quantises: accumulator plus bias, as they are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from hwgen.graph.errors import ModelError
from hwgen.graph.exact.requantization import SIGNIFICAND, WIDEST, Requantization, output_scale, requantize_reference
from hwgen.graph.types import IntType

__all__ = ["Requantization", "fit", "output_scale", "requantize_reference", "thresholds"]

_MAX_MULTIPLIER_BITS = 28  # the float form needs 24 and the spread of the scales
_MOST_SHIFT = 45  # of a line
_LINE_OUTPUTS = 1 << 12  # beyond so many outputs no line is found that is shorter than the float form
_MOST_THRESHOLDS = 1 << 20  # that are kept, so that memory stays bounded
_KEPT = 256  # forms: the same layer is asked about again, by other models of a process as well
_THRESHOLDS_AT_ONCE = 1 << 16  # so that what is computed of them stays in the processor's cache


def thresholds(
    scale: np.ndarray,
    zero_point: int,
    clamp: tuple[int, int],
    low: np.ndarray,
    high: np.ndarray,
    outputs: np.ndarray | None = None,
) -> np.ndarray:
    """The least accumulator that gives at least ``k``, for each channel and ``k`` in ``outputs``, int64 [K]:
    ``clamp[0]+1 .. clamp[1]`` unless given.

    ``scale``, ``low`` and ``high`` are [C]; the result is int64 [C, K]. A threshold at or below ``low`` is given as
    ``low``, one above ``high`` (never reached) as ``high + 1``.
    """
    if outputs is None:
        outputs = np.arange(clamp[0] + 1, clamp[1] + 1, dtype=np.int64)
    scale = np.asarray(scale, np.float32).reshape(-1, 1)
    low, high = (np.asarray(bound, np.int64).reshape(-1, 1) for bound in (low, high))
    with np.errstate(over="ignore"):
        guess = np.ceil((outputs - zero_point - 0.5) / scale.astype(np.float64))
    guess = np.clip(guess, low, high + 1).astype(np.int64)
    # Mostly the guess is right: then it gives the output, and the accumulator before it does not.
    right = (requantize_reference(guess, scale, zero_point, clamp) >= outputs) | (guess > high)
    right &= (requantize_reference(guess - 1, scale, zero_point, clamp) < outputs) | (guess <= low)
    wrong = np.nonzero(~right)
    scale, outputs, low, high = (np.broadcast_to(value, guess.shape)[wrong] for value in (scale, outputs, low, high))

    def reached(probe: np.ndarray) -> np.ndarray:
        return (requantize_reference(probe, scale, zero_point, clamp) >= outputs) | (probe > high)

    guess[wrong] = _searched(guess[wrong], reached, low, high)
    return guess


def _searched(
    guess: np.ndarray, reached: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """The thresholds [P] around a ``guess`` [P], by bisection: from where on ``reached`` is true."""
    # The float32 product of a rounded accumulator is off by at most 2^-22 of its value, and so is the threshold.
    slack = 2 + (np.abs(guess) >> 20)
    below, above = np.maximum(guess - slack, low) - 1, np.minimum(guess + slack, high + 1)
    while (above - below > 1).any():  # invariant: below is under the threshold, above is not
        probe = (above + below + 1) >> 1
        there = reached(probe)
        above, below = np.where(there, probe, above), np.where(there, below, probe)
    return above


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
    no form is exact (the channels' scales are too far apart for products of 62 bits).
    """
    added = np.zeros_like(low) if bias is None else bias
    arrays = (np.asarray(each, np.int64).tobytes() for each in (low, high, added))
    return _fitted(np.asarray(scale, np.float32).tobytes(), *arrays, int(zero_point), (int(clamp[0]), int(clamp[1])))


@lru_cache(maxsize=_KEPT)
def _fitted(
    scale: bytes, low: bytes, high: bytes, layer_bias: bytes, zero_point: int, clamp: tuple[int, int]
) -> Requantization:
    """:func:`fit` of arrays as bytes."""
    scales = np.frombuffer(scale, np.float32)
    lows, highs, biases = (np.frombuffer(each, np.int64) for each in (low, high, layer_bias))
    problem = Problem(scales, zero_point, clamp, lows, highs, biases)
    for form in problem.forms():
        if problem.proves(form):
            return form
    live, (_, kind) = scales[problem.live], problem.operand("float")
    raise ModelError(
        f"requantisation: no exact hardware form for scales from {live.min():.3g} to {live.max():.3g} and accumulators "
        f"of {kind.width} bits (limit {WIDEST} bits for their product); make the scales more alike"
    )


@dataclass(frozen=True, eq=False)
class Problem:
    """What a form must do, and the candidates for it, the smallest first."""

    scale: np.ndarray
    zero_point: int
    clamp: tuple[int, int]
    low: np.ndarray
    high: np.ndarray
    layer_bias: np.ndarray

    @staticmethod
    def of(form: Requantization) -> "Problem":
        """What ``form`` stands for."""
        return Problem(form.scale, form.zero_point, form.clamp, form.low, form.high, form.layer_bias)

    def forms(self) -> Iterator[Requantization]:
        """The forms to try, the cheapest in hardware first."""
        exact = self.exact_line()
        if self.clamp[1] - self.clamp[0] <= _LINE_OUTPUTS:
            points = self.points(slice(None))[self.live]
            gates = _Gates.of(points, self.clamp, self.low[self.live], self.high[self.live])
            for ties, limits in ((False, gates), (True, gates.with_ties(self.zero_point))):
                multiplier, offset, shift = _fit_lines(limits, self.scale[self.live])
                if shift >= 0 and (exact is None or not len(multiplier) or multiplier.max() <= exact[0].max()):
                    yield self.form("line", ties, multiplier, offset, shift)
        if exact is not None:
            yield self.form("float", True, *exact)

    @cached_property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """What each channel gives at both ends of its range, [C]."""
        both = np.stack([self.low, self.high])
        return tuple(requantize_reference(both, self.scale, self.zero_point, self.clamp))

    @cached_property
    def live(self) -> np.ndarray:
        """Which channels' outputs change at all."""
        return self.ends[0] != self.ends[1]

    @cached_property
    def span(self) -> tuple[np.ndarray, np.ndarray]:
        """First and last accumulator that matter in each channel: beyond them the output is what it is there."""
        ends = np.array([self.clamp[0] + 1, self.clamp[1]])
        points = thresholds(self.scale, self.zero_point, self.clamp, self.low, self.high, ends)
        first = np.where(self.live, np.maximum(points[:, 0] - 1, self.low), 0)
        return first, np.where(self.live, np.minimum(points[:, 1], self.high), 0)

    @property
    def wide(self) -> bool:
        """Whether float32 cannot hold all the accumulators that matter."""
        return max(int(np.abs(end).max()) for end in self.span) > 1 << SIGNIFICAND

    def operand(self, name: str) -> tuple[np.ndarray, IntType]:
        """For a form: the centre of the span [C], and the narrowest type that reaches both ends from there.

        What is rounded to 24 bits must not be moved before that: then the centre is 0.
        """
        first, last = self.span
        centre = np.zeros_like(first) if name == "float" and self.wide else (first + last + 1) >> 1
        return centre, IntType.holding(min(int((first - centre).min()), -1), int((last - centre).max()))

    def form(self, name: str, ties: bool, multiplier: np.ndarray, offset: np.ndarray, shift: int) -> Requantization:
        """The form with these constants for the channels that change; the others get theirs here."""
        centre, operand_type = self.operand(name)
        factors, offsets = np.zeros_like(self.low), np.zeros_like(self.low)
        factors[self.live], offsets[self.live] = multiplier, offset
        still = (self.ends[0] << shift) + ((1 << shift) >> 1)
        return Requantization(
            form=name, ties=ties, scale=self.scale, zero_point=self.zero_point, clamp=self.clamp, low=self.low,
            high=self.high, layer_bias=self.layer_bias, bias=self.layer_bias - centre, operand_type=operand_type,
            multiplier=factors, offset=np.where(self.live, offsets + centre * factors, still), shift=shift,
            rounds=name == "float" and self.wide,
        )  # fmt: skip

    def exact_line(self) -> tuple[np.ndarray, np.ndarray, int] | None:
        """Scales as exact integers over a power of two that all share; the offset rounds to nearest.

        None where numbers would not fit into :data:`WIDEST` bits.
        """
        if not self.live.any():
            return np.zeros(0, np.int64), np.zeros(0, np.int64), 1
        mantissa, exponent = np.frexp(self.scale[self.live].astype(np.float64))
        digits = np.ldexp(mantissa, SIGNIFICAND).astype(np.int64)
        shift, spread = SIGNIFICAND - int(exponent.min()), exponent - exponent.min()
        common = int(np.bitwise_or.reduce(digits))
        zeros = min((common & -common).bit_length() - 1, max(shift - 1, 0))  # a tie is half a step: one bit at least
        shift -= zeros
        output = int(np.abs([*self.ends, np.full_like(self.low, self.zero_point)]).max()).bit_length() + 1
        if not 1 <= shift <= WIDEST - output or spread.max() > WIDEST - SIGNIFICAND:
            return None
        multiplier = (digits >> zeros) << spread
        centre, kind = self.operand("float")
        reach = np.maximum(np.abs(self.low - centre), np.abs(self.high - centre))[self.live]
        if (np.minimum(reach, -kind.min) * multiplier.astype(np.float64)).max() >= 1 << WIDEST:
            return None
        return multiplier, np.full_like(multiplier, ((1 << shift) >> 1) + (self.zero_point << shift)), shift

    def proves(self, form: Requantization) -> bool:
        """Whether ``form`` steps where the definition does, at every threshold and both ends of the range.

        Both are staircases, so that is all. A few channels at a time: outputs of 16 bits have many thresholds.
        """
        return all(_equal(form.select(part), self.points(part)).all() for part in self._parts(form))

    def proved(self, form: Requantization) -> np.ndarray:
        """The channels, [C], of which that is so."""
        return np.concatenate([_equal(form.select(part), self.points(part)) for part in self._parts(form)])

    def _parts(self, form: Requantization) -> Iterator[slice]:
        step = max(_THRESHOLDS_AT_ONCE // (self.clamp[1] - self.clamp[0]), 1)
        return (slice(start, start + step) for start in range(0, form.channels, step))

    def points(self, part: slice) -> np.ndarray:
        """The thresholds of some channels; kept where they are all and few."""
        if self.scale.size * (self.clamp[1] - self.clamp[0]) <= _MOST_THRESHOLDS:
            return self._all_points[part]
        return thresholds(self.scale[part], self.zero_point, self.clamp, self.low[part], self.high[part])

    @cached_property
    def _all_points(self) -> np.ndarray:
        return thresholds(self.scale, self.zero_point, self.clamp, self.low, self.high)


def _equal(form: Requantization, points: np.ndarray) -> np.ndarray:
    """The channels, [C], where ``form`` gives at least ``k`` from each threshold on, and less than ``k`` before it."""
    outputs = np.arange(form.clamp[0] + 1, form.clamp[1] + 1)[:, None]
    points = points.T
    at, under = (form.apply(np.clip(p, form.low, form.high) - form.layer_bias) for p in (points, points - 1))
    reached, risen = points <= form.high, points > form.low
    return (((at >= outputs) == reached) & ((under < outputs) | ~risen)).all(axis=0)


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

    def with_ties(self, zero_point: int) -> "_Gates":
        return replace(self, up=(self.outputs - zero_point) & 1)

    def shifted(self, rows: np.ndarray, shift: np.ndarray) -> "_Bounds":
        """The bounds of some ``rows`` [R], each with the ``shift`` [R] of its own."""
        huge = np.int64(1) << 62
        target = (self.outputs << shift[:, None]) + self.up
        has_reach, has_under = self.has_reach[rows], self.has_under[rows]
        return _Bounds(
            np.where(has_reach, target, -huge),
            np.where(has_reach, self.reach[rows], 0),
            np.where(has_under, target - 1, huge),
            np.where(has_under, self.under[rows], 0),
        )


@dataclass(frozen=True, eq=False)
class _Bounds:
    """A line's offset is at least every ``above - M*reach`` and at most every ``below - M*under``, [R, K] each."""

    above: np.ndarray
    reach: np.ndarray
    below: np.ndarray
    under: np.ndarray

    def select(self, rows: np.ndarray) -> "_Bounds":
        return _Bounds(self.above[rows], self.reach[rows], self.below[rows], self.under[rows])

    def offsets(self, multiplier: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Least and greatest offset [R] for a multiplier [R], and which way the slack between them grows."""
        lower, upper = self.above - multiplier[:, None] * self.reach, self.below - multiplier[:, None] * self.under
        first, last, rows = lower.argmax(axis=1), upper.argmin(axis=1), np.arange(len(multiplier))
        return lower[rows, first], upper[rows, last], np.sign(self.reach[rows, first] - self.under[rows, last])


def _fit_lines(gates: _Gates, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Smallest multipliers and offsets over a common shift; a shift of -1 where a channel has no line."""
    channels = len(scale)
    if not channels:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), 0
    shift = np.full(channels, -1, np.int64)
    multiplier, offset = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    exponent = np.ceil(-np.log2(scale.astype(np.float64))).astype(np.int64)
    # The products formed for the offsets must stay within int64, with a bit to spare for each sum.
    largest = int(np.abs(gates.reach).max(initial=1)).bit_length()
    extras = min(_MAX_MULTIPLIER_BITS, 60 - largest)
    if largest <= 60 - _MAX_MULTIPLIER_BITS - 2 and not _any_line(gates, scale, exponent + extras - 1):
        return multiplier, offset, -1
    for extra in range(extras):
        todo = np.flatnonzero((shift < 0) & (exponent + extra >= 0) & (exponent + extra <= _MOST_SHIFT))
        trial = exponent[todo] + extra
        found, m, b = _bisect(gates.shifted(todo, trial), np.ldexp(scale[todo].astype(np.float64), trial), trial)
        shift[todo[found]], multiplier[todo[found]], offset[todo[found]] = trial[found], m[found], b[found]
        if (shift >= 0).all():
            break
    if (shift < 0).any():
        return multiplier, offset, -1
    widen = shift.max() - shift
    return multiplier << widen, offset << widen, int(shift.max())


def _any_line(gates: _Gates, scale: np.ndarray, most: np.ndarray) -> bool:
    """Whether every channel has a line at all: what a smaller shift can, the greatest, ``most``, can as well."""
    most, rows = np.minimum(most, _MOST_SHIFT), np.arange(len(scale))
    if (most < 0).any():
        return False
    ideal = np.ldexp(scale.astype(np.float64), most)
    return bool(_bisect(gates.shifted(rows, most), ideal, most, widest=4)[0].all())


def _bisect(
    bounds: _Bounds, ideal: np.ndarray, shift: np.ndarray, widest: float = 2.0**-6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Look for a multiplier with non-negative slack no further from ``ideal`` than ``widest`` of it, or 2: found [R],
    multiplier, offset."""
    reach = np.maximum(2, (ideal * widest).astype(np.int64))
    low = np.maximum(np.floor(ideal).astype(np.int64) - reach, 1)
    high = np.ceil(ideal).astype(np.int64) + reach
    found = np.zeros(len(ideal), bool)
    multiplier, offset = np.zeros_like(low), np.zeros_like(low)
    middle, rows = np.maximum(np.rint(ideal).astype(np.int64), 1), np.arange(len(ideal))
    while rows.size:
        least, greatest, growth = bounds.offsets(middle)
        fits = least <= greatest
        at = rows[fits]
        multiplier[at], offset[at] = middle[fits], _roundest(least[fits], greatest[fits], shift[at])
        found[at] = True
        low, high = np.where(growth > 0, middle + 1, low), np.where(growth > 0, high, middle - 1)
        left = ~fits & (low <= high)
        if not left.all():
            rows, low, high, bounds = rows[left], low[left], high[left], bounds.select(left)
        middle = (low + high) >> 1
    return found, multiplier, offset


def _roundest(least: np.ndarray, greatest: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The offset nearest to one half: well inside the bounds, and alike across channels where it can be."""
    return np.clip(np.int64(1) << np.maximum(shift - 1, 0), least, greatest)
