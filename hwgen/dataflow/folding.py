"""The folding search: fewest cycles per frame within a budget, or least hardware for a rate."""

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass

from hwgen.blocks.operator import Operator, Products, Weigh
from hwgen.graph.errors import FitError, ModelError
from hwgen.graph.network import Network

from .plan import Plan, PlannedLayer, check_hardware
from .queues import size_queues


@dataclass
class Option:
    """A folding of one layer. ``cycles`` is a lower bound until it is ``exact``."""

    folding: object
    cycles: int
    multipliers: int
    area: int
    exact: bool = False

    @property
    def price(self) -> tuple[int, int]:
        return self.multipliers, self.area


class _Layer:
    """The options of one layer, from which a target in cycles picks the cheapest."""

    def __init__(self, name: str, op: Operator, weigh: Weigh):
        self.name, self.op = name, op
        self.options = [self._option(folding, weigh) for folding in op.foldings_for(weigh)]
        if not self.options:
            raise ModelError(f"node {name!r}: {type(op).__name__} has no folding for {op.input}")
        self.options = _undominated(self.options)
        self._sort()

    def _option(self, folding, weigh: Weigh) -> Option:
        products, area = self.op.price(folding)
        return Option(folding, self.op.interval(folding), sum(map(weigh, products)), area)

    def _sort(self) -> None:
        """The options that are cheaper than all faster ones, by falling price."""
        self.front: list[Option] = []
        for option in sorted(self.options, key=lambda o: (o.cycles, o.price)):
            if not self.front or option.price < self.front[-1].price:
                self.front.append(option)

    def cheapest(self, cycles: int) -> Option | None:
        at = bisect_right(self.front, cycles, key=lambda option: option.cycles)
        return self.front[at - 1] if at else None

    def settle(self, option: Option) -> bool:
        """Make ``option`` exact; True if that changed it."""
        if option.exact:
            return False
        before, option.exact = option.cycles, True
        option.cycles = self.op.timed(option.folding)[0]
        if option.cycles != before:
            self._sort()
        return option.cycles != before


def _undominated(options: list[Option]) -> list[Option]:
    """Drop options that are worse in cycles and price than three others with input beats as wide.

    Bubbles may yet cost a fast one its rank, so a few of the next best are kept, and wide beats cause fewer.
    """
    kept, lanes = [], sorted({option.folding.lanes_in for option in options})
    best: dict[int, list[tuple[int, int]]] = {width: [] for width in lanes}
    for option in sorted(options, key=lambda o: (o.cycles, o.price)):
        own = best[option.folding.lanes_in]
        if len(own) < 3 or option.price < own[-1]:
            kept.append(option)
            for width in lanes[: lanes.index(option.folding.lanes_in) + 1]:
                insort(best[width], option.price)
                del best[width][3:]
    return kept


def default_weigh(products: Products) -> int:
    """Multipliers of 18 x 18 bits."""
    return products.count * -(-products.a // 18) * -(-products.b // 18)


class FoldingSearch:
    """The foldings of a network's layers, looked at once and chosen from any number of times.

    Cycles are exact for each layer on its own. Raises :class:`ModelError` where layers have no hardware.
    """

    def __init__(self, network: Network, weigh: Weigh = default_weigh):
        check_hardware(network)
        self.network = network
        self._layers = [_Layer(layer.name, layer.op, weigh) for layer in network.layers]

    def for_rate(self, cycles: int) -> list[Option]:
        """The cheapest folding of each layer that takes at most ``cycles`` per frame; FitError where there is none."""
        while True:
            chosen = [layer.cheapest(cycles) for layer in self._layers]
            if None in chosen:
                slow = self._layers[chosen.index(None)]
                fastest = min(option.cycles for option in slow.options)
                raise FitError(
                    f"layer {slow.name!r}: {cycles} cycles per frame cannot be reached (limit {fastest} cycles); "
                    "ask for a lower frame rate or a higher clock"
                )
            if not self._settle(chosen):
                return chosen

    def for_budget(self, budget: int) -> list[Option]:
        """Foldings with the fewest cycles per frame that take at most ``budget`` multipliers; FitError if none do.

        The least target whose cheapest foldings fit; they are made exact only where they are about to be chosen.
        """
        while True:
            targets = sorted({option.cycles for layer in self._layers for option in layer.front})
            at = bisect_left(targets, True, key=lambda cycles: self._price(cycles) <= budget)
            if at == len(targets):
                least = self._price(targets[-1])
                raise FitError(
                    f"the network needs at least {least:.0f} multipliers (limit {budget}); raise --multipliers"
                )
            chosen = [layer.cheapest(targets[at]) for layer in self._layers]
            if not self._settle(chosen):
                return chosen

    def plan(self, chosen: list[Option]) -> Plan:
        """The plan with the foldings chosen, its queues such that it is as fast as its slowest layer."""
        layers = zip(self._layers, chosen, strict=True)
        plan = Plan(self.network, tuple(PlannedLayer(x.name, x.op, option.folding) for x, option in layers))
        return size_queues(plan, max(option.cycles for option in chosen))

    @property
    def least(self) -> int:
        """The multipliers without which it cannot be built."""
        return sum(min(option.multipliers for option in layer.options) for layer in self._layers)

    @property
    def most(self) -> int:
        """The multipliers beyond which nothing gets faster."""
        slowest = max(min(option.cycles for option in layer.options) for layer in self._layers)
        return int(self._price(slowest))

    def _settle(self, chosen: list[Option]) -> bool:
        return max([layer.settle(option) for layer, option in zip(self._layers, chosen, strict=True)])

    def _price(self, cycles: int) -> float:
        chosen = [layer.cheapest(cycles) for layer in self._layers]
        return float("inf") if None in chosen else sum(option.multipliers for option in chosen)


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
    return found.plan(found.for_rate(cycles) if cycles is not None else found.for_budget(multipliers or 100))
