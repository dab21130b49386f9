"""What the layers of a network offer on a device: units with their cycles and what they take, by number."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwgen.blocks.operator import Offers, Operator, OperatorUnit
from hwgen.cost.needs import ULTRA, Cost
from hwgen.device.mapping import counted, logic_luts
from hwgen.device.targets import Device
from hwgen.graph.errors import ModelError
from hwgen.memory.weights import LARGE, LARGE_PLACES, LUTS

from .resources import NO_END

#: One in so many multipliers more than the least may be worth it for what else a unit takes.
NEARLY = 8


@dataclass(frozen=True)
class Choice:
    """A unit for a layer with its exact ``cycles`` per frame, and its ``multipliers`` as budgets count them."""

    unit: OperatorUnit
    cycles: int
    multipliers: int


class LayerOffers:
    """The offers of one layer, by number. Cycles are lower bounds until an offer is settled. The first ``usual`` have
    their weights where they usually are; all others are the same units with weights elsewhere.

    ``sizes`` are their multipliers, those included that are made of LUTs, which is offered with ``in_luts`` only.
    ``front``: the cycles at which a smaller size than before will do, rising, and those sizes. ``alike`` is the same
    for layers with the same offers, whatever their weights. ``lut_product``: LUTs for a product that is made of them,
    at least.
    """

    def __init__(
        self,
        name: str,
        op: Operator,
        device: Device,
        large: bool,
        costs: dict[OperatorUnit, Cost],
        in_luts: bool = False,
    ):
        offered = [each for each in op.offers() if each.slices is None or each.slices in device.family.slices]
        offered = [each for each in offered if in_luts or not each.in_luts]
        if not len(offered[0]):
            raise ModelError(f"node {name!r}: {type(op).__name__} has no hardware for {op.input}")
        prices = {kind: counted([kind], device) for group in offered for kind in group.products}
        usual = _undone([(group, _multipliers(group, prices)) for group in offered if group.moved is None])
        moves = [(each, each.moved) for each in offered if each.moved is not None and each.moved.group in usual]
        there = LARGE_PLACES[device.large_style] if large and device.large_style else None
        able = {(LUTS, False), (there, False), (LUTS, there == ULTRA)}
        moves = [(each, move) for each, move in moves if (move.place, move.last) in able]
        self.name, self.op, self.groups = name, op, [*usual, *(each for each, _ in moves)]
        self.cycles = np.concatenate([group.table.cycles for group in self.groups])
        self.multipliers = np.concatenate([_multipliers(group, prices) for group in self.groups])
        sizes = [each.table.counts.sum(axis=0) if each.in_luts else _multipliers(each, prices) for each in self.groups]
        self.sizes = np.concatenate(sizes)
        logic = [logic_luts(each.in_luts, device.family.per_bit) for each in usual if each.in_luts]
        self.lut_product = min(logic, default=float("inf"))
        self._nearly = NO_END if in_luts else NEARLY
        self.starts = np.cumsum([0, *map(len, self.groups)])
        self.usual = int(self.starts[len(usual)])
        self.alike = tuple(
            (id(each.table), each.slices, each.in_luts, *(prices[kind] for kind in each.products)) for each in usual
        )
        self._homes = np.arange(len(self.cycles))
        self._places = {move.place: np.full(self.usual, -1) for _, move in moves}
        for start, (_, move) in zip(self.starts[len(usual) :], moves, strict=False):
            numbers, own = self.starts[usual.index(move.group)] + move.numbers, start + np.arange(len(move.numbers))
            self._homes[own], self._places[move.place][numbers] = numbers, own
        self._settled, self._costs = set[int](), costs
        self._lanes: dict[int, tuple[int, int]] = {}
        self._find_front()

    def __len__(self) -> int:
        return len(self.cycles)

    def _find_front(self) -> None:
        order = np.lexsort((self.sizes, self.cycles))
        least = np.minimum.accumulate(self.sizes[order])
        better = np.flatnonzero(np.diff(least, prepend=least[0] + 1))
        self.front = self.cycles[order][better].tolist(), least[better].tolist()

    def unit(self, at: int) -> OperatorUnit:
        """An offer."""
        group = self._group(at)
        return self.groups[group][int(at - self.starts[group])]

    def _group(self, at: int) -> int:
        return int(np.searchsorted(self.starts, at, side="right")) - 1

    def lanes(self, some: np.ndarray) -> np.ndarray:
        """Lanes in and lanes out, int64 [2, offers], of some offers."""
        for at in set(some.tolist()) - self._lanes.keys():
            unit = self.unit(at)
            self._lanes[at] = unit.lanes_in, unit.lanes_out
        return np.array([self._lanes[at] for at in some.tolist()], np.int64).T

    def cost(self, at: int) -> Cost:
        """What an offer is made of, which no device changes."""
        unit = self.unit(at)
        if unit not in self._costs:
            self._costs[unit] = unit.cost
        return self._costs[unit]

    def choice(self, at: int) -> Choice:
        """An offer that has been settled."""
        return Choice(self.unit(at), int(self.cycles[at]), int(self.multipliers[at]))

    def settle(self, at: int) -> bool:
        """Make the cycles of an offer exact; True if that changed them."""
        if at in self._settled:
            return False
        same = self.everywhere(self._homes[[at]])
        self._settled.update(same.tolist())
        cycles = self.unit(at).timed()[0]
        changed, self.cycles[same] = cycles != self.cycles[at], cycles
        if changed:
            self._find_front()
        return changed

    def learn(self, other: "LayerOffers") -> None:
        """Take over exact cycles of offers that another of the same layer has settled."""
        starts = {_key(group): start for group, start in zip(self.groups, self.starts, strict=False)}
        known = [at for at in sorted(other._settled) if at < other.usual]
        for at in known:
            group = other._group(at)
            start = starts.get(_key(other.groups[group]))
            if start is not None:
                same = self.everywhere(start + np.array([at]) - other.starts[group])
                self.cycles[same] = other.cycles[at]
                self._settled.update(same.tolist())
        if known:
            self._find_front()

    def least(self, cycles: int) -> float:
        """The least size with which it takes at most ``cycles``, infinite if there is none."""
        at = bisect_right(self.front[0], cycles)
        return self.front[1][at - 1] if at else float("inf")

    def cheapest(self, cycles: int) -> int:
        """Of the offers with the :meth:`least` multipliers and weights where they usually are the one with the least
        area."""
        first, usual = len(self.groups[0]), slice(self.usual)
        same = (self.cycles[usual] <= cycles) & (self.multipliers[usual] == self.least(cycles))
        numbers = np.flatnonzero(same[:first] if same[:first].any() else same)
        return min(numbers.tolist(), key=lambda at: (self.cost(at).area, self.cycles[at], at))

    def within(self, cycles: int, size: float) -> np.ndarray:
        """The usual offers that take at most so many cycles, of at most this size."""
        usual = slice(self.usual)
        return np.flatnonzero((self.cycles[usual] <= cycles) & (self.sizes[usual] <= size))

    def near(self, cycles: int) -> np.ndarray:
        """The usual offers that take at most ``cycles`` and are, among those of their kind, of nearly the least
        size."""
        fast, found = self.cycles <= cycles, []
        for own in self._kinds:
            some = own[fast[own]]
            least = self.sizes[some].min(initial=np.iinfo(np.int64).max // 2)
            found.append(some[self.sizes[some] <= least + least // self._nearly])
        return np.concatenate(found)

    def everywhere(self, some: np.ndarray) -> np.ndarray:
        """These usual offers, and the same with weights elsewhere."""
        there = [place[some] for place in self._places.values()]
        return np.concatenate([some, *(numbers[numbers >= 0] for numbers in there)])

    @cached_property
    def plainest(self) -> np.ndarray:
        """Of the usual offers of each kind the first with the least multipliers."""
        return np.array([own[np.argmin(self.multipliers[own])] for own in self._kinds])

    @cached_property
    def _kinds(self) -> list[np.ndarray]:
        """Numbers of the usual offers of each kind."""
        return [
            start + np.flatnonzero(group.table.kinds == kind)
            for start, group in zip(self.starts, self.groups, strict=False)
            for kind in dict.fromkeys(group.table.kinds.tolist())
            if group.moved is None
        ]

    def moved(self, at: int) -> int | None:
        """The same unit as offer ``at`` with its weights in large RAM; None where that is not offered."""
        there = self._places.get(LARGE)
        return int(there[at]) if there is not None and at < self.usual and there[at] >= 0 else None


def _key(group: Offers) -> tuple:
    """What tells a group of offers of a layer from others."""
    return id(group.table), group.slices, group.in_luts is None


def _multipliers(group: Offers, prices: dict) -> np.ndarray:
    """int64 [offers]"""
    return np.array([prices[kind] for kind in group.products], np.int64) @ group.table.counts


def _undone(groups: list[tuple[Offers, np.ndarray]]) -> list[Offers]:
    """Groups, with their multipliers, but for those of which others are the same for never more multipliers."""
    return [group for n, (group, own) in enumerate(groups) if not _outdone(group, own, groups[:n], groups[n + 1 :])]


def _outdone(group: Offers, own: np.ndarray, before: Sequence, behind: Sequence) -> bool:
    """Whether others are the same offers for never more multipliers; of two that are equal the first stays."""

    def alike(other: Offers) -> bool:
        return (other.in_luts is None) == (group.in_luts is None) and np.array_equal(
            other.table.cycles, group.table.cycles
        )

    first = any(alike(other) and (few <= own).all() for other, few in before)
    return first or any(alike(other) and (few <= own).all() and (few < own).any() for other, few in behind)
