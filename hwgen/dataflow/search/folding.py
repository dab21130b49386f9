"""The folding search: fewest cycles per frame within a budget, or least hardware for a rate."""

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwgen.blocks.mac_operator import MacOperator
from hwgen.blocks.operator import Offer, Operator, Unit, Weigh
from hwgen.cost.needs import Products
from hwgen.dataflow.plan import Plan, PlannedLayer, check_hardware
from hwgen.dataflow.queues import size_queues
from hwgen.dataflow.taps import tap_shortcuts
from hwgen.graph.errors import FitError, ModelError
from hwgen.graph.network import Network
from hwgen.memory.rom import rom_style
from hwgen.memory.weights import LARGE

#: One in so many multipliers more than the least may be worth it for what else a folding takes.
NEARLY = 8


@dataclass(frozen=True)
class Option:
    """A folding of one layer with its exact ``cycles`` per frame, and ``multipliers`` as they were weighed."""

    folding: object
    cycles: int
    multipliers: int


class SearchedLayer:
    """The foldings of one layer, by number. Cycles are lower bounds until a folding is settled.

    ``front``: the cycles at which fewer multipliers than before will do, rising, and those multipliers.
    """

    def __init__(self, name: str, op: Operator, weigh: Weigh, huge: bool = False):
        self.name, self.op = name, op
        self.offers = _with_large_ram(op, op.offers(weigh)) if huge else op.offers(weigh)
        if not self.offers:
            raise ModelError(f"node {name!r}: {type(op).__name__} has no folding for {op.input}")
        self.cycles = np.array([offer.cycles for offer in self.offers], np.int64)
        self.multipliers = np.array([offer.multipliers for offer in self.offers], np.int64)
        self._settled: set[int] = set()
        self._areas: dict[int, int] = {}
        self._find_front()

    def _find_front(self) -> None:
        order = np.lexsort((self.multipliers, self.cycles))
        least = np.minimum.accumulate(self.multipliers[order])
        better = np.flatnonzero(np.diff(least, prepend=least[0] + 1))
        self.front = self.cycles[order][better].tolist(), least[better].tolist()

    def least(self, cycles: int) -> float:
        """The multipliers with which it takes at most ``cycles``, infinite if none do."""
        at = bisect_right(self.front[0], cycles)
        return self.front[1][at - 1] if at else float("inf")

    def cheapest(self, cycles: int) -> int:
        """Of the foldings with the :meth:`least` multipliers the one with the least area."""
        same = np.flatnonzero((self.cycles <= cycles) & (self.multipliers == self.least(cycles)))
        return min(same.tolist(), key=lambda at: (self._huge(at), self._area(at), self.cycles[at], at))

    def _huge(self, at: int) -> bool:
        return getattr(self.offers[at].folding, "weights", None) == LARGE

    def near(self, cycles: int) -> list[int]:
        """The foldings that take at most ``cycles`` and, among those of their kind, nearly the least multipliers."""
        fast, found = self.cycles <= cycles, []
        for own in self._kinds:
            some = own[fast[own]]
            least = self.multipliers[some].min(initial=np.iinfo(np.int64).max // 2)
            found += some[self.multipliers[some] <= least + least // NEARLY].tolist()
        return found

    @cached_property
    def plainest(self) -> list[int]:
        """Of the foldings of each kind the first with the least multipliers."""
        return [int(own[np.argmin(self.multipliers[own])]) for own in self._kinds]

    @cached_property
    def _kinds(self) -> list[np.ndarray]:
        """Numbers of the foldings of each kind."""
        kinds: dict[Hashable, list[int]] = {}
        for at, offer in enumerate(self.offers):
            kinds.setdefault(offer.kind, []).append(at)
        return [np.array(own) for own in kinds.values()]

    def _area(self, at: int) -> int:
        if at not in self._areas:
            self._areas[at] = self.unit(at).cost.area
        return self._areas[at]

    def settle(self, at: int) -> bool:
        """Make the cycles of a folding exact; True if that changed them."""
        if at in self._settled:
            return False
        self._settled.add(at)
        cycles = self.unit(at).timed()[0]
        changed, self.cycles[at] = cycles != self.cycles[at], cycles
        if changed:
            self._find_front()
        return changed

    def unit(self, at: int) -> Unit:
        """The layer laid out by a folding."""
        return self.op.unit(self.offers[at].folding)

    def option(self, at: int) -> Option:
        return Option(self.offers[at].folding, int(self.cycles[at]), self.offers[at].multipliers)


def _with_large_ram(op: Operator, offers: Sequence[Offer]) -> Sequence[Offer]:
    """``offers`` and, where weights would be in block RAM, the same with them in large RAM."""
    if not isinstance(op, MacOperator):
        return offers
    block = [offer for offer in offers if rom_style(op.unit(offer.folding).plan.weights.depth) == "block"]
    huge = [replace(x, folding=replace(x.folding, weights=LARGE), kind=(x.kind, LARGE)) for x in block]
    return (*offers, *huge)


def default_weigh(products: Products) -> int:
    """Multipliers of 18 x 18 bits."""
    return products.count * -(-products.a // 18) * -(-products.b // 18)


class FoldingSearch:
    """The foldings of a network's layers, looked at once and chosen from any number of times.

    Cycles are exact for each layer on its own. With ``huge`` there are foldings with weights in large RAM, too, which
    are never the cheapest. Raises :class:`ModelError` where layers have no hardware.
    """

    def __init__(self, network: Network, weigh: Weigh = default_weigh, huge: bool = False):
        check_hardware(network)
        self.network, self.weigh = network, weigh
        self.layers = [SearchedLayer(layer.name, layer.op, weigh, huge) for layer in network.layers]

    def for_rate(self, cycles: int) -> list[Option]:
        """The cheapest folding of each layer that takes at most ``cycles`` per frame; FitError where there is none."""
        while True:
            slow = next((layer for layer in self.layers if layer.least(cycles) == float("inf")), None)
            if slow:
                raise FitError(
                    f"layer {slow.name!r}: {cycles} cycles per frame cannot be reached (limit {slow.cycles.min()} "
                    "cycles); ask for a lower frame rate or a higher clock"
                )
            chosen = [layer.cheapest(cycles) for layer in self.layers]
            options = self.settled(chosen)
            if options:
                return options

    def for_budget(self, budget: int) -> list[Option]:
        """Foldings with the fewest cycles per frame that take at most ``budget`` multipliers; FitError if none do.

        The least target whose cheapest foldings fit; they are made exact only where they are about to be chosen. As
        no folding is faster than its bound, none that was not looked at could do better.
        """
        while True:
            targets = self.targets
            at = bisect_left(targets, True, key=lambda cycles: self._price(cycles) <= budget)
            if at == len(targets):
                least = self._price(targets[-1])
                raise FitError(
                    f"the network needs at least {least:.0f} multipliers (limit {budget}); raise --multipliers"
                )
            chosen = [layer.cheapest(targets[at]) for layer in self.layers]
            options = self.settled(chosen)
            if options:
                return options

    @property
    def targets(self) -> list[int]:
        """The cycles per frame, rising, at which fewer multipliers than before will do."""
        return sorted({cycles for layer in self.layers for cycles in layer.front[0]})

    def plan(self, chosen: list[Option], spare: int = 0) -> Plan:
        """The plan with the foldings chosen, its queues such that it is as fast as its slowest layer.

        Convolutions hand shortcuts on where they can, for at most ``spare`` multipliers more.
        """
        target = max(option.cycles for option in chosen)
        return tap_shortcuts(size_queues(self.without_queues(chosen), target), target, spare, self.weigh)

    def without_queues(self, chosen: list[Option]) -> Plan:
        """The plan with the foldings chosen and no queues but the layers' own."""
        layers = zip(self.layers, chosen, strict=True)
        return Plan(self.network, tuple(PlannedLayer(x.name, x.op.unit(option.folding)) for x, option in layers))

    def settled(self, chosen: list[int]) -> list[Option] | None:
        """The foldings chosen, by number; None where making their cycles exact has changed any."""
        if max([layer.settle(at) for layer, at in zip(self.layers, chosen, strict=True)]):
            return None
        return [layer.option(at) for layer, at in zip(self.layers, chosen, strict=True)]

    @property
    def least(self) -> int:
        """The multipliers without which it cannot be built."""
        return sum(layer.front[1][-1] for layer in self.layers)

    @property
    def most(self) -> int:
        """The multipliers beyond which nothing gets faster."""
        return int(self._price(max(layer.front[0][0] for layer in self.layers)))

    def _price(self, cycles: int) -> float:
        return sum(layer.least(cycles) for layer in self.layers)


def search(
    network: Network,
    *,
    multipliers: int | None = None,
    cycles: int | None = None,
    weigh: Weigh = default_weigh,
) -> Plan:
    """The plan with the fewest cycles per frame within ``multipliers``, or the cheapest within ``cycles``.

    With neither, the fastest within 100 multipliers. Raises :class:`FitError` naming what would do, and
    :class:`ModelError` where layers have no hardware.
    """
    found = FoldingSearch(network, weigh)
    if cycles is not None:
        return found.plan(found.for_rate(cycles))
    chosen = found.for_budget(multipliers or 100)
    return found.plan(chosen, (multipliers or 100) - sum(option.multipliers for option in chosen))
