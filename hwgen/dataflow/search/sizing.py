"""Foldings for a device: the fastest design of which every resource suffices, not the multipliers alone.

Where the plan that is best by multipliers lacks something, every resource gets a price, which rises as long as too
much of it is asked for (multiplicative weights on the Lagrangian), and each layer takes its cheapest folding by these
prices. What joins the layers is known once a plan is made, and then set aside.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from hwgen.blocks.operator import Weigh
from hwgen.cost.needs import Cost
from hwgen.dataflow.fit import FitTable, fit_table
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.folding import FoldingSearch, Option, SearchedLayer
from hwgen.dataflow.search.large_ram import has_large_ram, placed
from hwgen.dataflow.search.latency import least_latency
from hwgen.device.mapping import dsps, needs
from hwgen.device.needs import Needs
from hwgen.device.targets import Device
from hwgen.graph.errors import FitError
from hwgen.graph.network import Network

MULTIPLIERS = 100  # for a device without any
#: Rounds in which prices follow what is asked for, how fast, and in which a plan's own needs are set aside.
PRICE_ROUNDS, PRICE_STEP, PLAN_ROUNDS = 80, 2.0, 12
#: Cycles of a frame times stages beyond which the slowest plan gets no queues: scheduling would take too long.
MOST_SCHEDULED = 1 << 28


def weigher(device: Device) -> Weigh:
    """What products take of a budget: multipliers of ``device``; what it makes of LUTs is not for nothing either."""
    return lambda products: max(dsps(products, device), products.count)


@dataclass(frozen=True, eq=False)
class Sizing:
    """The search for ``network`` on ``device`` with at most ``multipliers``, as many as the device has unless given.

    With ``bound`` the plan must fit the device: where none does that is an error, or with ``lenient`` it is as without.
    With ``large`` weights may be in large RAM, if the device has any. ``costs`` of foldings are kept there, by layers
    that are alike, for searches on other devices.
    """

    network: Network
    device: Device
    multipliers: int | None = None
    bound: bool = True
    lenient: bool = False
    large: bool = False
    costs: dict[tuple[int, Any], Cost] = field(default_factory=dict)
    _known: dict[tuple[int, int], np.ndarray] = field(default_factory=dict, init=False)

    def on(self, device: Device) -> "Sizing":
        """The same on another device of the family, with what is known of the layers."""
        other = replace(self, device=device)
        if self._large == other._large:
            other.__dict__["found"] = self.found
            other._known.update(self._known)
        return other

    @cached_property
    def found(self) -> FoldingSearch:
        return FoldingSearch(self.network, weigher(self.device), self._large)

    @property
    def _large(self) -> bool:
        return self.large and has_large_ram(self.device)

    def _placed(self, plan: Plan) -> Plan:
        """``plan`` with what it can have in large RAM."""
        return placed(plan, self.device) if self._large else plan

    @property
    def budget(self) -> int:
        return self.multipliers or self.device.multipliers or MULTIPLIERS

    def fastest(self) -> Plan:
        """The plan with the fewest cycles per frame; FitError where none fits."""
        chosen = self._within_budget()
        plan = self._placed(self.found.plan(chosen, self.budget - sum(option.multipliers for option in chosen)))
        if self._suffices(plan):
            return plan
        fitting = self._fastest_fitting(max(option.cycles for option in chosen))
        if fitting is None and self.lenient:
            return plan
        if fitting is None:
            nearest = fit_table(self._nearest, self.device)
            raise FitError(f"device {self.device.name} is too small: the design needs {_excess(nearest)}")
        return fitting

    def for_rate(self, cycles: int) -> Plan:
        """The plan with the least hardware that takes at most ``cycles`` per frame; FitError where none fits."""
        plan = self._placed(self.found.plan(self.found.for_rate(cycles)))
        if self._suffices(plan):
            return plan
        fitting = self._fitting(lambda limits: self._priced(cycles, limits))
        if fitting is None and self.lenient:
            return plan
        if fitting is None:
            other = self._fastest_fitting(cycles)
            best = f"{schedule(other).interval:,} cycles do fit, so lower --fps or " if other else ""
            table = fit_table(plan, self.device)
            raise FitError(
                f"device {self.device.name} is too small: {cycles:,} cycles per frame need {_excess(table, best)}"
            )
        return fitting

    def least_latency(self) -> Plan:
        """The plan with which a single frame takes the fewest cycles; never more than that of :meth:`fastest`."""
        plan = self.fastest()
        quick = self._placed(self.found.plan(least_latency(self.found, plan, self.budget)))
        better = schedule(quick).latency < schedule(plan).latency
        return quick if better and self._suffices(quick) else plan

    def spent(self, plan: Plan) -> int:
        """Multipliers of ``plan``, as the budget counts them."""
        weigh = weigher(self.device)
        return sum(weigh(products) for stage in plan.stages for products in stage.cost.products)

    def _suffices(self, plan: Plan) -> bool:
        return not self.bound or fit_table(plan, self.device).fits

    def _within_budget(self) -> list[Option]:
        try:
            return self.found.for_budget(self.budget)
        except FitError as error:
            if self.multipliers is not None:
                raise
            problems = (
                f"device {self.device.name} is too small: {problem}, or take a larger --device"
                for problem in error.problems
            )
            raise FitError(*problems) from None

    @property
    def _targets(self) -> list[int]:
        """Cycles per frame, rising, at which some layer has a choice more."""
        return np.unique(np.concatenate([layer.cycles for layer in self.found.layers])).tolist()

    @cached_property
    def _nearest(self) -> Plan:
        """A plan, however slow, that lacks as little as can be."""
        return self._placed(self.found.plan(self._priced(self._targets[-1], self._limits, nearest=True)))

    def _fastest_fitting(self, least: int) -> Plan | None:
        """The fastest plan that fits and takes no fewer than ``least`` cycles per frame."""
        fitting = self._fitting(lambda limits: self._fewest_cycles(limits, least))
        return self._nearest if fitting is None and self._suffices(self._nearest) else fitting

    def slowest(self) -> tuple[Plan, bool]:
        """A plan, however slow, that fits if one is found that does; and whether it has its queues, which are not
        looked for where a frame takes too long to be scheduled."""
        limits, joins = self._limits, np.zeros_like(self._limits)
        for _ in range(PLAN_ROUNDS):
            picks = self._picks_of([layer.plainest for layer in self.found.layers], limits - joins, nearest=True)
            if picks is None:
                break
            chosen = [layer.option(at) for layer, at in zip(self.found.layers, picks, strict=True)]
            plan = self._placed(self.found.without_queues(chosen))
            table = fit_table(plan, self.device)
            if table.fits:
                return self._queued(plan, picks)
            layers = sum(self._need(layer, at) for layer, at in zip(self.found.layers, picks, strict=True))
            more = np.maximum(joins, _amounts(table.total, 0) - layers)
            if (more <= joins).all() or (layers > limits).any():
                break
            joins = more
        return plan, False

    def _queued(self, plan: Plan, picks: list[int]) -> tuple[Plan, bool]:
        beats = max(layer.cycles[at] for layer, at in zip(self.found.layers, picks, strict=True)) * len(plan.stages)
        if beats > MOST_SCHEDULED:
            return plan, False
        options = self.found.settled(picks) or self.found.settled(picks)
        return self._placed(self.found.plan(options)), True

    @cached_property
    def _limits(self) -> np.ndarray:
        device = self.device
        resources = [device.luts, device.ffs, device.dsps, device.brams, device.ram_luts, self.budget]
        return np.array([*resources, device.large_rams if self._large else 0], float)

    def _fitting(self, choose: Callable[[np.ndarray], list[Option] | None]) -> Plan | None:
        """A plan that fits, of foldings chosen within limits that leave room for what joins the layers."""
        joins = np.zeros_like(self._limits)
        for _ in range(PLAN_ROUNDS):
            chosen = choose(self._limits - joins)
            if chosen is None:
                return None
            plan = self._placed(self.found.without_queues(chosen))
            if self._suffices(plan):  # queues take a run of the whole schedule
                plan = self._placed(self.found.plan(chosen))
            if self._suffices(plan) and self.spent(plan) <= self.budget:
                return plan
            layers = sum(_amounts(needs(x.cost, self.device), 0) for x in plan.layers)
            joins = np.maximum(joins, _amounts(fit_table(plan, self.device).total, 0) - layers)
        return None

    def _fewest_cycles(self, limits: np.ndarray, least: int) -> list[Option] | None:
        """Foldings within ``limits`` for the least target that has any, from ``least`` on."""
        while True:
            targets = [target for target in self._targets if target >= least]
            low, high = 0, len(targets)
            picks: dict[int, list[int] | None] = {}
            while low < high:
                middle = (low + high) // 2
                picks[middle] = self._picks(targets[middle], limits)
                low, high = (low, middle) if picks[middle] else (middle + 1, high)
            if low == len(targets):
                return None
            options = self.found.settled(picks[low])
            if options:
                return options

    def _priced(self, cycles: int, limits: np.ndarray, nearest: bool = False) -> list[Option] | None:
        """Foldings that take at most ``cycles`` and ``limits``, or are ``nearest`` to that."""
        while True:
            picks = self._picks(cycles, limits, nearest)
            options = self.found.settled(picks) if picks else None
            if options or not picks:
                return options

    def _picks(self, cycles: int, limits: np.ndarray, nearest: bool = False) -> list[int] | None:
        """A folding of each layer, by number, so that all take at most ``cycles`` and ``limits``; None if none are
        found, unless the ``nearest`` will do."""
        return self._picks_of([layer.near(cycles) for layer in self.found.layers], limits, nearest)

    def _picks_of(self, near: list[list[int]], limits: np.ndarray, nearest: bool) -> list[int] | None:
        """One of the foldings in ``near`` of each layer."""
        if not all(near) or (limits <= 0)[self._limits > 0].any():
            return None
        scale = np.maximum(limits, 1e-9)
        shares = [
            np.stack([self._need(layer, at) for at in some]) / scale
            for layer, some in zip(self.found.layers, near, strict=True)
        ]
        picks, lacking = _choose(shares)
        return None if lacking and not nearest else [some[at] for some, at in zip(near, picks, strict=True)]

    def _need(self, layer: SearchedLayer, at: int) -> np.ndarray:
        """What a folding takes. Layers that share their offers are taken to be alike; plans are counted exactly."""
        key = id(layer.offers), at
        if key not in self._known:
            offer = layer.offers[at]
            self._known[key] = _amounts(needs(self._cost(layer, at), self.device), offer.multipliers)
        return self._known[key]

    def _cost(self, layer: SearchedLayer, at: int) -> Cost:
        """What a folding is made of, which no device changes."""
        key = self._alike[id(layer.offers)], layer.offers[at].folding
        if key not in self.costs:
            self.costs[key] = layer.unit(at).cost
        return self.costs[key]

    @cached_property
    def _alike(self) -> dict[int, int]:
        """The first layer, by number, of those that share offers."""
        offers = [id(layer.offers) for layer in self.found.layers]
        return {own: offers.index(own) for own in offers}


def _amounts(taken: Needs, multipliers: int) -> np.ndarray:
    return np.array([taken.luts, taken.ffs, taken.dsps, taken.brams, taken.ram_luts, multipliers, taken.large], float)


def _choose(shares: list[np.ndarray]) -> tuple[list[int], float]:
    """A row [resources] of each layer's ``shares`` [foldings, resources], so that they sum up to 1 at most; and what is
    lacking of that, in sum."""
    prices = np.full(shares[0].shape[1], 1.0)
    least, best = np.inf, []
    for turn in range(1, PRICE_ROUNDS + 1):
        picks = [int(np.argmin(share @ prices)) for share in shares]
        total = sum(share[at] for share, at in zip(shares, picks, strict=True))
        if total.max() <= 1:
            return picks, 0.0
        if np.maximum(total - 1, 0).sum() < least:
            least, best = np.maximum(total - 1, 0).sum(), picks
        prices = prices * np.exp(PRICE_STEP / turn**0.5 * (np.minimum(total, 4) - 1))
        prices /= prices.max()
    return _polished(shares, best)


def _polished(shares: list[np.ndarray], picks: list[int]) -> tuple[list[int], float]:
    """Change one layer at a time as long as less is lacking in sum."""
    total = sum(share[at] for share, at in zip(shares, picks, strict=True))
    lacking, before = np.maximum(total - 1, 0).sum(), np.inf
    while 0 < lacking < before:
        before = lacking
        for n, share in enumerate(shares):
            rest = total - share[picks[n]]
            lack = np.maximum(rest + share - 1, 0).sum(axis=1)
            if lack.min() < lacking:
                picks[n] = int(lack.argmin())
                total, lacking = rest + share[picks[n]], lack.min()
    return picks, float(lacking)


def _excess(table: FitTable, remedy: str = "") -> str:
    """What is too much, by how much, and what would do."""
    needed = ", ".join(
        f"{row.used:,} {row.resource} (limit {row.available:,}, {-row.free:,} too many)"
        for row in table.rows
        if row.free < 0
    )
    larger = f" ({table.larger})" if table.larger else ""
    return f"{needed}; {remedy}take a larger --device{larger}"
