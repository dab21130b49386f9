"""One of several rows for each layer, so that in sum they keep within limits: a knapsack with several resources.

Every resource gets a price, which rises as long as too much of it is asked for (multiplicative weights on the
Lagrangian), and each layer takes its cheapest row by these prices; then rows are changed one at a time. Where that
finds nothing the prices often prove that there is nothing. Else rows are tried in turn, the cheapest first, as long as
what is left of the limits can suffice for the layers to come: exhaustive, up to a number of steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

#: Rounds in which prices follow what is asked for, and how fast.
PRICE_ROUNDS, PRICE_STEP = 80, 2.0
#: Layers looked at in the exhaustive part.
STEPS = 2000


@dataclass(frozen=True)
class Join:
    """What stands between two layers: ``taken`` [resources] by the lanes that a row of layer ``before`` gives and that
    a row of layer ``behind`` takes."""

    before: int
    behind: int
    gives: np.ndarray
    takes: np.ndarray
    taken: Callable[[int, int], np.ndarray]

    def of(self, a: int, b: int) -> np.ndarray:
        """For a row of each."""
        return self.taken(int(self.gives[a]), int(self.takes[b]))

    def beside(self, n: int, other: int) -> np.ndarray:
        """[rows, resources] for all rows of layer ``n``, where the other layer has row ``other``."""
        if n == self.before:
            lanes, fixed = self.gives, int(self.takes[other])
            some = {each: self.taken(each, fixed) for each in set(lanes.tolist())}
        else:
            lanes, fixed = self.takes, int(self.gives[other])
            some = {each: self.taken(fixed, each) for each in set(lanes.tolist())}
        return np.stack([some[each] for each in lanes.tolist()])


class Chooser:
    """``rows`` [rows, resources] of each layer, what joins them, and the ``limits`` [resources] of their sum. The
    exhaustive part looks at a layer ``steps`` times."""

    def __init__(self, rows: Sequence[np.ndarray], joins: Sequence[Join], limits: np.ndarray, steps: int = STEPS):
        self._steps = steps
        self.rows, self.joins, self.limits = rows, joins, limits
        self.scale = np.maximum(limits, 1e-9)
        self.shares = [row / self.scale for row in rows]
        self._of_layer: list[list[Join]] = [[] for _ in rows]
        for join in joins:
            self._of_layer[join.before].append(join)
            self._of_layer[join.behind].append(join)

    def chosen(self) -> list[int] | None:
        """A row of each layer; None where none are found that keep within the limits."""
        if (sum(row.min(axis=0) for row in self.rows) > self.limits).any():
            return None
        picks, prices = self._by_prices()
        if not self._lacks(picks):
            return picks
        if sum((share @ prices).min() for share in self.shares) > prices @ (self.limits > 0) * (1 + 1e-9):
            return None
        picks = self._polished(picks)
        return picks if not self._lacks(picks) else self._tried(prices)

    def nearest(self) -> list[int]:
        """The same, or what lacks little where none are found."""
        picks, _ = self._by_prices()
        return self._polished(picks)

    def total(self, picks: Sequence[int]) -> np.ndarray:
        """What all take."""
        rows = sum(row[at] for row, at in zip(self.rows, picks, strict=True))
        return rows + sum(join.of(picks[join.before], picks[join.behind]) for join in self.joins)

    def _lacks(self, picks: Sequence[int]) -> bool:
        return bool((self.total(picks) > self.limits).any())

    def _by_prices(self) -> tuple[list[int], np.ndarray]:
        """Rows that keep within the limits, or of all looked at those that lack least; and the last prices."""
        prices = np.full(len(self.limits), 1.0)
        least, best = np.inf, []
        for turn in range(1, PRICE_ROUNDS + 1):
            picks = [int(np.argmin(share @ prices)) for share in self.shares]
            taken = self.total(picks)
            share = taken / self.scale
            if (taken <= self.limits).all():
                return picks, prices
            if np.maximum(share - 1, 0).sum() < least:
                least, best = np.maximum(share - 1, 0).sum(), picks
            prices = prices * np.exp(PRICE_STEP / turn**0.5 * (np.minimum(share, 4) - 1))
            prices /= prices.max()
        return best, prices

    def _polished(self, picks: list[int]) -> list[int]:
        """Change one layer at a time as long as less is lacking in sum."""
        picks = list(picks)
        total = self.total(picks) / self.scale
        lacking, before = np.maximum(total - 1, 0).sum(), np.inf
        while 0 < lacking < before:
            before = lacking
            for n in range(len(self.rows)):
                own = self._with_joins(n, picks)
                rest = total - own[picks[n]]
                lack = np.maximum(rest + own - 1, 0).sum(axis=1)
                if lack.min() < lacking:
                    picks[n] = int(lack.argmin())
                    total, lacking = rest + own[picks[n]], lack.min()
        return picks

    def _with_joins(self, n: int, picks: Sequence[int]) -> np.ndarray:
        """Shares [rows, resources] of layer ``n`` with what joins it to others."""
        own = self.shares[n]
        for join in self._of_layer[n]:
            other = join.behind if join.before == n else join.before
            own = own + join.beside(n, picks[other]) / self.scale
        return own

    def _tried(self, prices: np.ndarray) -> list[int] | None:
        """Exhaustive, up to a number of steps."""
        prices = prices / self.scale
        least = np.cumsum([row.min(axis=0) for row in self.rows[::-1]], axis=0)[::-1]
        cheap = np.cumsum([(row @ prices).min() for row in self.rows[::-1]])[::-1]
        room = np.vstack([self.limits - least[1:], self.limits])
        money = np.append(prices @ self.limits - cheap[1:], prices @ self.limits)
        return self._further([], np.zeros(len(self.limits)), prices, room, money * (1 + 1e-9))

    def _further(self, picks, taken, prices, room, money) -> list[int] | None:
        n = len(picks)
        if n == len(self.rows):
            return picks
        self._steps -= 1
        own = taken + self.rows[n]
        for join in self._of_layer[n]:
            other = join.behind if join.before == n else join.before
            if other < n:
                own = own + join.beside(n, picks[other])
        cost = own @ prices
        able = np.flatnonzero((own <= room[n]).all(axis=1) & (cost <= money[n]))
        for at in able[np.argsort(cost[able], kind="stable")].tolist():
            if self._steps <= 0:
                return None
            found = self._further([*picks, at], own[at], prices, room, money)
            if found is not None:
                return found
        return None
