"""Any function of a bounded integer as its steps: where it changes, and what it is from there on.

It is how sums become few bits where no straight line does: rounding to a few levels behind batch normalisation, a leaky
ReLU with its two slopes, an activation in real numbers. Hardware finds the step by binary search, as exact as the
definition, since it is the definition at every point where that changes.

The steps of a monotone function are found by bisection, those of others by evaluating all its arguments.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hwgen.graph.errors import ModelError

#: Arguments of all channels together up to which a function that need not be monotone is evaluated everywhere.
MOST_ARGUMENTS = 1 << 27
#: Steps of a channel up to which a search is offered.
MOST_STEPS = (1 << 12) - 1
_AT_ONCE = 1 << 20  # evaluations, so that memory stays bounded

Definition = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Steps:
    """For each of ``C`` channels a step function of the integers from ``low`` to ``high``, int64 [C].

    ``points`` int64 [C, 2^levels - 1] never fall along a row: the value is ``values[channel, n]`` where ``n`` of them
    are not above the argument; one that is never reached is ``high + 1``. ``base`` is what to add to ``n`` where that
    is all (``values`` is then None), else None.
    """

    low: np.ndarray
    high: np.ndarray
    points: np.ndarray
    values: np.ndarray | None
    base: int | None

    @property
    def channels(self) -> int:
        """How many step functions there are."""
        return len(self.points)

    def repeated(self, times: int) -> "Steps":
        """The same for so many times the channels, which come round."""
        rows = np.tile(np.arange(self.channels), times)
        values = None if self.values is None else self.values[rows]
        return replace(self, low=self.low[rows], high=self.high[rows], points=self.points[rows], values=values)

    @property
    def table(self) -> np.ndarray:
        """``values`` where there are any; ValueError where there is but a ``base``."""
        if self.values is None:
            raise ValueError("the values follow each other, and need no table")
        return self.values

    @property
    def levels(self) -> int:
        """Comparisons that a search takes."""
        return self.points.shape[1].bit_length()

    @property
    def count(self) -> int:
        """Steps that can be reached, in all channels."""
        return int((self.points <= self.high[:, None]).sum())

    def apply(self, x: np.ndarray) -> np.ndarray:
        """The values at ``x`` int64 [..., C], by the search that hardware makes."""
        x = np.asarray(x, np.int64)
        rows, index = np.broadcast_to(np.arange(self.channels), x.shape), np.zeros(x.shape, np.int64)
        for level in range(self.levels):
            index = 2 * index + (x >= self.level(level)[rows, index])
        return index + (self.base or 0) if self.values is None else self.values[rows, index]

    def level(self, level: int) -> np.ndarray:
        """What is compared with at a level of the search, int64 [C, 2^level], by the comparisons made until then."""
        stride = 1 << (self.levels - level)
        return self.points[:, stride // 2 - 1 :: stride]


def find_steps(definition: Definition, low: np.ndarray, high: np.ndarray, monotone: bool) -> Steps:
    """The steps of ``definition`` between ``low`` and ``high``, int64 [C].

    It maps int64 [K, C] to int64 [K, C]. ``monotone`` says that every channel never falls or never rises. Raises
    ModelError where there are too many arguments or steps.
    """
    low, high = (np.asarray(bound, np.int64).reshape(-1) for bound in (low, high))
    found = _bisected(definition, low, high) if monotone else _enumerated(definition, low, high)
    steps = _packed(found, low, high)
    if not _proved(steps, definition):
        raise ModelError("its steps are not those of the definition")
    return steps


def steps_between(definition: Definition, arguments: np.ndarray) -> Steps:
    """The steps of ``definition`` of one channel where it has no arguments but these: int64, in order, each once.

    Proved for all of them. Raises ModelError where there are too many steps.
    """
    values = definition(arguments[:, None])[:, 0]
    starts = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
    ends = np.array([arguments[0]]), np.array([arguments[-1]])
    steps = _packed([(arguments[starts], values[starts])], *ends)
    if not (steps.apply(arguments[:, None])[:, 0] == values).all():
        raise ModelError("its steps are not those of the definition")
    return steps


def _bisected(definition: Definition, low: np.ndarray, high: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Starts of the steps of each channel, and values from there on; the first start is ``low``."""
    ends = definition(np.stack([low, high]))
    sign = np.where(ends[1] < ends[0], -1, 1)
    first, last = ends * sign
    most = int((last - first).max())
    _limit("steps of a channel", most, MOST_STEPS)
    wanted = first + np.arange(1, most + 1)[:, None]
    below, above = (np.broadcast_to(bound, wanted.shape).copy() for bound in (low, high + 1))
    while (above - below > 1).any():  # invariant: below is under the step, above is not
        middle = (below + above) >> 1
        reached = definition(middle) * sign >= wanted
        above, below = np.where(reached, middle, above), np.where(reached, below, middle)
    starts = [
        np.unique(np.append(at, column[column <= end])) for at, column, end in zip(low, above.T, high, strict=True)
    ]
    return list(zip(starts, _at(definition, starts), strict=True))


def _at(definition: Definition, starts: list[np.ndarray]) -> list[np.ndarray]:
    """The values at each channel's own arguments."""
    most = max(map(len, starts))
    padded = np.stack([np.append(own, np.full(most - len(own), own[-1])) for own in starts], axis=1)
    return [column[: len(own)] for column, own in zip(definition(padded).T, starts, strict=True)]


def _enumerated(definition: Definition, low: np.ndarray, high: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """:func:`_bisected` for any function: all its arguments, some at a time."""
    span, channels = int((high - low).max()) + 1, len(low)
    _limit("sums of all channels, of which each is evaluated", span * channels, MOST_ARGUMENTS)
    rows = max(_AT_ONCE // channels, 1)
    before = definition(low[None])
    changes = [(np.zeros(channels, np.int64), np.arange(channels), before[0])]
    for start in range(1, span, rows):
        at = np.arange(start, min(start + rows, span))[:, None]
        values = np.concatenate([before, definition(np.minimum(low + at, high))])
        places, which = np.nonzero(values[1:] != values[:-1])
        changes.append((start + places, which, values[1:][places, which]))
        _limit("steps of a channel", max(np.bincount(which, minlength=1)), MOST_STEPS)
        before = values[-1:]
    places, which, values = (np.concatenate(parts) for parts in zip(*changes, strict=True))
    own = [which == channel for channel in range(channels)]
    return [(low[n] + places[mine], values[mine]) for n, mine in enumerate(own)]


def _limit(what: str, count: int, limit: int) -> None:
    if count > limit:
        raise ModelError(f"{count:,} {what} (limit {limit:,})")


def _packed(found: list[tuple[np.ndarray, np.ndarray]], low: np.ndarray, high: np.ndarray) -> Steps:
    """Steps to search through: values are counted where all channels rise and that takes no more comparisons."""
    most = max(len(starts) for starts, _ in found) - 1
    _limit("steps of a channel", most, MOST_STEPS)
    count = (1 << max(most.bit_length(), 1)) - 1
    base, top = min(int(values[0]) for _, values in found), max(int(values.max()) for _, values in found)
    points = np.repeat((high + 1)[:, None], count, axis=1)  # never reached
    if all((np.diff(values) > 0).all() for _, values in found) and top - base <= count:
        for row, (starts, values) in zip(points, found, strict=True):
            row[: values[-1] - base] = np.repeat(starts, np.diff(values, prepend=base))
        return Steps(low, high, points, None, base)
    table = np.zeros((len(found), count + 1), np.int64)
    for row, entries, (starts, values) in zip(points, table, found, strict=True):
        row[: len(starts) - 1] = starts[1:]
        entries[: len(values)], entries[len(values) :] = values, values[-1]
    return Steps(low, high, points, table, None)


def _proved(steps: Steps, definition: Definition) -> bool:
    """Whether both are equal at both ends and on both sides of every step; in between neither changes."""
    inside = np.clip(steps.points.T, steps.low, steps.high)
    beside = np.maximum(inside - 1, steps.low)
    return all((steps.apply(x) == definition(x)).all() for x in (inside, beside, np.stack([steps.low, steps.high])))
