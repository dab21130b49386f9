"""Exact straight lines through tables: the integer form of a rounded, scaled sum, found and proved on all pairs.

A table ``values[a, b]`` that a sum of scaled terms was rounded to is looked for as
``(sum(term * multiplier) + offset) >> shift``, limited to the table's range. Each level of the table bounds the
offset from both sides: no sum of the level may fall below it, none may reach the next. Where the two meet, the line
is exact. It is the two-dimensional sibling of :mod:`hwgen.graph.exact.requantize`.

``ties``: with scales that are powers of two, sums lie exactly between two levels, and half to even sends every
other one down. Such a line ends one lower where the rest is 0 and the level is odd.

``exceptions``: float32 moves a few pairs across a boundary where no straight line can follow. Up to
:data:`FEW` of them are corrected by one, each at the cost of a comparison of both operands. Scales in a ratio of
small whole numbers make hundreds of ties that float32 breaks at random; then the line lies high, and a ROM of one
bit a pair says where to go down.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

#: The longest shift that is tried. Beyond 24 bits, float32 itself is not straight.
MOST_SHIFT = 24
#: Pairs that are corrected one by one; more are found in a ROM.
FEW = 32
#: Sums of each level, from both its ends, that a candidate must get right before all others are looked at.
_PROBES = 8
_HUGE = 1 << 60


@dataclass(frozen=True, eq=False)
class Line:
    """``clip(((sum(terms * multipliers) + offset) >> shift) - down + delta, *clamp)``.

    ``down`` is 1 where ``ties`` (the parity of even levels, or None) says so, ``delta`` what ``exceptions`` (rows of
    two table indices and +1 or -1) has for the pair. More than :data:`FEW` exceptions are all -1.
    """

    multipliers: tuple[int, ...]
    offset: int
    shift: int
    clamp: tuple[int, int]
    ties: int | None = None
    exceptions: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int64))

    def apply(self, *terms: np.ndarray) -> np.ndarray:
        """The table that hardware computes, for terms int64 that broadcast to it."""
        total = np.asarray(sum(term * by for term, by in zip(terms, self.multipliers, strict=True))) + self.offset
        result = total >> self.shift
        if self.ties is not None:
            result = result - ((total & ((1 << self.shift) - 1) == 0) & (result & 1 != self.ties))
        if len(self.exceptions):
            first, second, delta = self.exceptions.T
            result[first, second] += delta
        return np.clip(result, *self.clamp)

    def times(self, multipliers: tuple[int, ...]) -> "Line":
        """The same line of terms with other ``multipliers``."""
        return replace(self, multipliers=multipliers)

    def certificate(self) -> dict[str, object]:
        """What was proved, in a form for reports."""
        form = "line" if self.ties is None else "line with ties"
        return {
            "form": f"{form} with exceptions" if len(self.exceptions) else form,
            "multiplier_bits": max(by.bit_length() for by in self.multipliers),
            "shift": self.shift,
            "exceptions": len(self.exceptions),
        }


def fit_line(terms: Sequence[np.ndarray], ratios: Sequence[float], values: np.ndarray) -> Line | None:
    """The line of least shift through ``values`` int64 [A, B], or None where there is none.

    ``terms`` broadcast to the table; a step of a term is about ``ratios`` steps of ``values``. An exact line comes
    first, then one with ``ties``, then one with few exceptions.
    """
    levels = _Levels(terms, ratios, values)
    for shift in _shifts(ratios, 0, 1):
        candidates = _candidates(ratios, shift)
        ends = levels.ends(candidates)
        for ties in (None, 0, 1):
            least, greatest = levels.bounds(ends, shift, ties)
            for n in np.flatnonzero(least <= greatest):
                multipliers, offset = tuple(candidates[n].tolist()), _middle(least[n], greatest[n])
                line = Line(multipliers, offset, shift, levels.clamp, ties)
                if (line.apply(*terms) == values).all():
                    return line
    return _with_exceptions(levels, terms, ratios, values)


def _shifts(ratios: Sequence[float], first: int, step: int) -> list[int]:
    """Shifts to try: none with which products could leave int64."""
    return [shift for shift in range(first, MOST_SHIFT + 1, step) if max(ratios) * 2.0**shift < 1 << 40]


def _candidates(ratios: Sequence[float], shift: int) -> np.ndarray:
    """Multipliers [candidates, terms] around the ideal ones, nearest first."""
    ideal = np.array([ratio * 2.0**shift for ratio in ratios])
    near = np.rint(ideal) + np.array(sorted(product((-1, 0, 1), repeat=len(ratios)), key=np.linalg.norm))
    return near[(near >= 0).all(axis=1)].astype(np.int64)


class _Levels:
    """The pairs of a table sorted by level, and in each level by their place in it: its ends decide."""

    def __init__(self, terms: Sequence[np.ndarray], ratios: Sequence[float], values: np.ndarray):
        flat = [np.broadcast_to(term, values.shape).ravel() for term in terms]
        order = np.argsort(sum(term * ratio for term, ratio in zip(flat, ratios, strict=True)))
        ranks = (values - values.min()).astype(np.uint16).ravel()  # short integers are sorted by radix
        order = order[np.argsort(ranks[order], kind="stable")]
        counts = np.bincount(ranks)
        self.levels = np.flatnonzero(counts) + values.min()
        counts = counts[counts > 0]
        starts = counts.cumsum() - counts
        self.clamp = int(self.levels[0]), int(self.levels[-1])
        edges = np.minimum(np.arange(_PROBES)[:, None], counts - 1)
        low, high = order[starts + edges], order[starts + counts - 1 - edges]
        self.low, self.high = [term[low] for term in flat], [term[high] for term in flat]  # [probes, levels]

    def ends(self, multipliers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest sum of each level [candidates, levels], as far as the probes go."""
        columns = multipliers.T[:, :, None, None]
        low, high = (sum(by * p for by, p in zip(columns, probes, strict=True)) for probes in (self.low, self.high))
        return low.min(axis=1), high.max(axis=1)

    def bounds(
        self, ends: tuple[np.ndarray, np.ndarray], shift: int, ties: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest offset [candidates] that the ends of levels allow."""
        up = np.zeros_like(self.levels) if ties is None else (self.levels & 1) ^ ties
        reach, under = (self.levels << shift) + up, (self.levels + 1 << shift) - 1
        under += 0 if ties is None else 1 - up
        least = (reach - ends[0])[:, 1:].max(axis=1, initial=-_HUGE)
        return least, (under - ends[1])[:, :-1].min(axis=1, initial=_HUGE)


def _middle(least: int, greatest: int) -> int:
    """Half way; 0 where one level alone leaves it open."""
    return (int(least) + int(greatest)) >> 1


def _with_exceptions(
    levels: _Levels, terms: Sequence[np.ndarray], ratios: Sequence[float], values: np.ndarray
) -> Line | None:
    """The line that leaves the fewest pairs to correct: few of them either way, or many that all go down."""
    best, fewest = None, (True, values.size)
    for shift, ties in product(_shifts(ratios, 16, 2), (None, 0, 1)):
        nearest = _candidates(ratios, shift)[:1]
        least, greatest = (int(bound[0]) for bound in levels.bounds(levels.ends(nearest), shift, ties))
        for offset in (_middle(least, greatest), least):
            line = Line(tuple(nearest[0].tolist()), offset, shift, levels.clamp, ties)
            delta = values - line.apply(*terms)
            count = int(np.count_nonzero(delta))
            few = count <= FEW and np.abs(delta).max() <= 1
            if (few or {delta.min(), delta.max()} <= {-1, 0}) and (not few, count) < fewest:
                places = np.argwhere(delta)
                exceptions = np.column_stack([places, delta[tuple(places.T)]])
                best, fewest = replace(line, exceptions=exceptions), (not few, count)
    return best if best and (best.apply(*terms) == values).all() else None
