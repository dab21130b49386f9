"""The search: of what layers offer one unit each, so that all fit a device and frames follow each other fastest.

The least target, in cycles per frame, at which some units fit: the cheapest by multipliers where these alone are
scarce, else any that keep within all that the device has (:mod:`hwgen.dataflow.search.choose`). What joins the layers
is counted in, but for queues, which are known once a plan is made, and set aside then. Cycles of units are made exact
only when they are about to be chosen: as none is faster than its bound, none that was not looked at could do better.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import TypeVar

import numpy as np

from hwgen.blocks.operator import OperatorUnit
from hwgen.cost.needs import Cost
from hwgen.dataflow.fit import FitTable, fit_table
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.queues import size_queues
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.taps import tap_shortcuts
from hwgen.device.mapping import counted
from hwgen.device.targets import Device, device
from hwgen.graph.errors import FitError
from hwgen.graph.network import Network

from .descent import Descent
from .last_resort import loaded_or_not
from .latency import least_latency
from .layers import NetworkOffers
from .offers import Choice
from .resources import NO_END, RESOURCES, has_large_ram, limits, vector

MULTIPLIERS = 100  # for a device without any
#: Shares of a device that are tried in turn once a plan is found that takes nearly all of something.
SHARES = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
#: Shares of the LUTs of a plan that are tried in turn once it is found and multipliers are left.
LIGHTER = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
#: Rounds in which what queues take is set aside.
ROUNDS = 12
#: Cycles of a frame times stages beyond which the slowest plan gets no queues: scheduling would take too long.
MOST_SCHEDULED = 1 << 28
#: What counts multipliers where nothing else of a device matters.
USUAL = "lfe5u-85f"

#: Offers by number, one for each layer, or None where nothing suffices.
Picks = TypeVar("Picks", list[int], list[int] | None)


@dataclass(frozen=True, eq=False)
class Found:
    """Offers by number, the plan with their units, and these as they were chosen."""

    picks: list[int]
    plan: Plan
    choices: list[Choice]


@dataclass(frozen=True, eq=False)
class Search:
    """The search for ``network`` on ``device`` with at most ``multipliers``, as many as the device has unless given.

    With ``bound`` the plan must fit the device: where none does that is an error, or with ``lenient`` it is as without.
    With ``large`` weights may be in large RAM, if the device has any; with UltraRAM as the ``last_resort`` they may be
    there only if nothing fits otherwise, ``large`` or not. With ``in_luts`` products may be made of LUTs.
    ``costs`` of units are kept there for searches on other devices, else for the next one of the same network.
    """

    network: Network
    device: Device
    multipliers: int | None = None
    bound: bool = True
    lenient: bool = False
    large: bool = False
    last_resort: bool = False
    costs: dict[OperatorUnit, Cost] | None = None
    in_luts: bool = False

    def on(self, device: Device) -> "Search":
        """The same on another device, with what is known of the layers."""
        return self._with_offers(replace(self, device=device))

    def within(self, multipliers: int) -> "Search":
        """The same with another budget."""
        return self._with_offers(replace(self, multipliers=multipliers))

    def _with_offers(self, other: "Search") -> "Search":
        alike = self._large == other._large and bool(self.device.ultra_rams) == bool(other.device.ultra_rams)
        if other.device.family is self.device.family and alike:
            other.__dict__["offers"] = self.offers
        return other

    @cached_property
    def offers(self) -> NetworkOffers:
        """What the layers offer; where no device was named, nothing that only some devices have."""
        costs, whole = _costs(self.network) if self.costs is None else self.costs, self.device
        able = whole if self.bound else replace(whole, family=replace(whole.family, slices=()))
        return NetworkOffers(self.network, able, self._large, costs, self.in_luts)

    @property
    def _large(self) -> bool:
        return self.large and has_large_ram(self.device) and not (self.last_resort and self.device.ultra_rams)

    @property
    def budget(self) -> int:
        """Multipliers that it may take."""
        return self.multipliers or self.device.multipliers or MULTIPLIERS

    def spent(self, plan: Plan) -> int:
        """Multipliers of ``plan``, as the budget counts them."""
        return sum(counted(stage.cost.products, self.device) for stage in plan.stages)

    # What is asked for

    def fastest(self) -> Plan:
        """The plan with the fewest cycles per frame; FitError where none fits."""
        return loaded_or_not(self, lambda search: search._fastest().plan)

    def choices(self) -> list[Choice]:
        """The units of :meth:`fastest`; that takes no queues where nothing but multipliers limits it."""
        found = self._fastest() if self.bound else None
        return found.choices if found else self.offers.choices(self.picks())

    def picks(self) -> list[int]:
        """Offers by number with the fewest cycles per frame within the budget, whatever else they take."""
        return self._exact(self._within_budget)

    def plan(self, picks: list[int], spare: int = 0) -> Plan:
        """The plan with the offers picked, and queues such that it is as fast as its slowest layer. Convolutions hand
        shortcuts on where they can, for at most ``spare`` multipliers more, and where no more is lacking then."""
        target = self.cycles(picks)
        queued = size_queues(self.offers.plan(picks), target)
        tapped = tap_shortcuts(queued, target, spare, self.device)
        plans = [plan.placed(self.device) for plan in ([tapped, queued] if tapped is not queued else [queued])]
        return min(plans, key=self._lack) if self.bound else plans[0]

    def _lack(self, plan: Plan) -> float:
        """What is lacking of the device, in shares of what it has."""
        return float(np.maximum(self._total(plan) / np.maximum(self._limits, 1) - 1, 0).sum())

    def cycles(self, picks: Sequence[int]) -> int:
        """Of the slowest of the offers picked."""
        return max(choice.cycles for choice in self.offers.choices(picks))

    def for_rate(self, cycles: int) -> Plan:
        """The plan with the least hardware that takes at most ``cycles`` per frame; FitError where none fits."""
        return loaded_or_not(self, lambda search: search._for_rate(cycles))

    def _for_rate(self, cycles: int) -> Plan:
        cheapest = self.plan(self._exact(lambda: self._cheapest_in(cycles)))
        if self.suffices(cheapest):
            return cheapest
        for able in filter(None, (self, self._spared)):
            fitting = able._fitting(partial(able.offers.within, cycles))
            if fitting:
                return able._evened(fitting).plan
        if self.lenient:
            return cheapest
        other = self._fastest_fitting(cycles)
        best = f"{schedule(other.plan).interval:,} cycles do fit, so lower --fps or " if other else ""
        table = fit_table(cheapest, self.device)
        raise FitError(
            f"device {self.device.name} is too small: {cycles:,} cycles per frame need {_excess(table, best)}"
        )

    def least_latency(self) -> Plan:
        """The plan with which a frame takes the fewest cycles from end to end; never more than with :meth:`fastest`."""
        return loaded_or_not(self, lambda search: search._least_latency())

    def _least_latency(self) -> Plan:
        fastest, ways = self._fastest(), []
        if self.offers.least <= self.budget:
            ways.append((self, self._usual))
        if self._spared and fastest.plan.in_luts:
            ways.append((self._spared, fastest))
        plans = [fastest.plan, *(way._quick(start) for way, start in ways)]
        return min((plan for plan in plans if plan), key=lambda plan: schedule(plan).latency)

    def _quick(self, start: Found) -> Plan | None:
        """The plan for the shortest way that is found from ``start``; None where it does not fit."""
        picks = least_latency(self.offers, start.picks, self.budget, self._fits)
        plan = self.plan(self.offers.moved(picks, self._limits[-1]))
        return plan if self.suffices(plan) and self.spent(plan) <= self.budget else None

    def slowest(self) -> tuple[Plan, bool]:
        """A plan, however slow, that fits if one is found that does; and whether it has its queues, which are not
        looked for where a frame takes too long to be scheduled. Products are made of LUTs where there are too few
        multipliers, and weights loaded where nothing fits otherwise."""
        found = self._slowest_spared()
        if self.suffices(found[0]) or not self.loaded:
            return found
        loaded = self.loaded._slowest_spared()
        return loaded if self.suffices(loaded[0]) else found

    def _slowest_spared(self) -> tuple[Plan, bool]:
        found = self._slowest()
        if fit_table(found[0], self.device).total.dsps <= self.device.dsps or not self._spared:
            return found
        spared = self._spared._slowest()
        return spared if self._spared.suffices(spared[0]) else found

    def _slowest(self) -> tuple[Plan, bool]:
        offers, rest = self.offers, np.zeros_like(self._limits)
        plainest = [layer.everywhere(layer.plainest) for layer in offers.layers]
        for _ in range(ROUNDS):
            picks = offers.moved(offers.nearest(plainest, self._limits - rest), self._limits[-1])
            plan = offers.plan(picks).placed(self.device)
            if fit_table(plan, self.device).fits:
                return self._queued(plan, picks)
            more = np.maximum(rest, self._besides(picks, plan))
            if (more <= rest).all() or (self._limits - more < 0).any():
                break
            rest = more
        return plan, False

    def _queued(self, plan: Plan, picks: list[int]) -> tuple[Plan, bool]:
        beats = max(layer.cycles[at] for layer, at in zip(self.offers.layers, picks, strict=True)) * len(plan.stages)
        return (plan, False) if beats > MOST_SCHEDULED else (self.plan(self._exact(lambda: picks)), True)

    # How it is found

    @cached_property
    def loaded(self) -> "Search | None":
        """The same with weights that may be in UltraRAM; None where they may not, or may be from the start."""
        if not (self.bound and self.last_resort and self.device.ultra_rams):
            return None
        loaded = replace(self, large=True, last_resort=False, lenient=False)
        for own, known in zip(loaded.offers.layers, self.offers.layers, strict=True):
            own.learn(known)
        return loaded

    def _fastest(self) -> Found:
        """The fastest that fits, with products made of LUTs where that is faster; FitError where there is none."""
        spared = self._spared
        if spared and self.offers.least > self.budget:
            return spared._faster() or self._usual
        usual = self._usual
        if not self.suffices(usual.plan):
            return usual
        return (spared and spared._faster(self.cycles(usual.picks))) or self._lighter(usual)

    @cached_property
    def _spared(self) -> "Search | None":
        """The same with products that may be made of LUTs: where nothing is asked for but that all fits the device."""
        if not self.bound or self.multipliers is not None or not self.device.multipliers:
            return None
        whole, most = self.device, self.device.most_logic
        device = replace(whole, luts=int(whole.luts * most), ffs=int(whole.ffs * most))
        spared = replace(self, device=device, lenient=False, in_luts=True)
        for own, known in zip(spared.offers.layers, self.offers.layers, strict=True):
            own.learn(known)
        return spared

    def _faster(self, than: int = NO_END) -> Found | None:
        """What fits and takes fewer cycles per frame."""
        found = self._least_fitting(lambda target: target < than)
        return found and self._lighter(found)

    @cached_property
    def _usual(self) -> Found:
        """The fastest that fits without products in LUTs."""
        picks = self.picks()
        cheapest = self._cheapest(picks) if self._fits(picks) else None
        if cheapest and self.suffices(cheapest.plan):
            return cheapest
        fitting = self._fastest_fitting(self.cycles(picks))
        if fitting:
            return fitting
        if self.lenient:
            return cheapest or self._cheapest(picks)
        nearest = fit_table(self._nearest.plan, self.device)
        raise FitError(f"device {self.device.name} is too small: the design needs {_excess(nearest)}")

    def _cheapest(self, picks: list[int]) -> Found:
        """With the offers picked as the budget alone would have it."""
        return self._found(picks, self.budget - sum(choice.multipliers for choice in self.offers.choices(picks)))

    def _fastest_fitting(self, least: int) -> Found | None:
        """The fastest that fits and takes no fewer than ``least`` cycles per frame."""
        fitting = self._least_fitting(lambda target: target >= least)
        if fitting is not None:
            return self._evened(fitting)
        nearest = self._nearest.plan
        return self._nearest if self.suffices(nearest) and self.spent(nearest) <= self.budget else None

    def _least_fitting(self, able: Callable[[int], bool]) -> Found | None:
        """What fits, for the least of the targets that are ``able`` for which anything does."""
        descent, offers = Descent(), self.offers

        def choose(left: np.ndarray) -> list[int] | None:
            return descent.least(list(filter(able, offers.targets)), partial(offers.within, limits=left))

        return self._fitting(choose)

    def _fitting(self, choose: Callable[[np.ndarray], list[int] | None]) -> Found | None:
        """What fits, of offers chosen within limits that leave room for the queues."""
        rest = np.zeros_like(self._limits)
        for _ in range(ROUNDS):
            picks = self._exact(partial(choose, self._limits - rest))
            if picks is None:
                return None
            picks = self.offers.moved(picks, self._limits[-1])
            plan = self.offers.plan(picks).placed(self.device)
            if self.suffices(plan):  # queues take a run of the whole schedule
                found = self._found(picks)
                if self.suffices(found.plan) and self.spent(found.plan) <= self.budget:
                    return found
                plan = found.plan
            more = np.maximum(rest, self._besides(picks, plan))
            # Of RAMs others may go to UltraRAM than those that were counted on.
            rest = more if (more > rest).any() else rest + np.maximum(self._total(plan) - self._limits, 0)
        return None

    def _evened(self, found: Found) -> Found:
        """As fast with less of what there is least left of: smaller and smaller shares of it all, but for multipliers,
        as long as that suffices."""
        cycles, rest = self.cycles(found.picks), self._besides(found.picks, found.plan)
        shared = np.array([name not in ("multipliers", "dsps") for name in RESOURCES])
        best = None
        for share in SHARES:
            limits_ = np.where(shared, share, 1.0) * self._limits
            picks = self._exact(partial(self.offers.within, cycles, limits_ - rest))
            if picks is None:
                break
            best = picks
        if best is None:
            return found
        return self._instead(found, best)

    def _instead(self, found: Found, picks: list[int]) -> Found:
        """The plan with ``picks``, where that does fit; else ``found``."""
        other = self._found(picks)
        return other if self.suffices(other.plan) and self.spent(other.plan) <= self.budget else found

    def _lighter(self, found: Found) -> Found:
        """As fast with fewer LUTs: smaller and smaller shares of them, as long as multipliers that are left suffice
        for that. Of all else it takes no more, or little of what there is."""
        taken = self._total(found.plan)
        if not self.bound or taken[0] >= self.budget:
            return found
        cycles, rest, best = self.cycles(found.picks), self._besides(found.picks, found.plan), None
        able = np.maximum(taken, SHARES[-1] * self._limits) if SHARES else taken
        for name in ("multipliers", "dsps"):
            able[RESOURCES.index(name)] = self._limits[RESOURCES.index(name)]
        for share in LIGHTER:
            able[RESOURCES.index("luts")] = share * taken[RESOURCES.index("luts")]
            picks = self._exact(partial(self.offers.within, cycles, able - rest))
            if picks is None:
                break
            best = picks
        return found if best is None else self._instead(found, best)

    def _besides(self, picks: Sequence[int], plan: Plan) -> np.ndarray:
        """What a plan takes besides what is known of its units and what joins them, with these where they would be in
        UltraRAM without it."""
        total = self._total(plan)
        if self.device.ultra_rams:
            bare = self.offers.plan(picks)
            total = total - self._total(bare.placed(self.device)) + self._total(bare)
        return total - self.offers.taken(picks)

    def _total(self, plan: Plan) -> np.ndarray:
        return vector(fit_table(plan, self.device).total, self.spent(plan))

    def _exact(self, choose: Callable[[], Picks]) -> Picks:
        """What ``choose`` picks once cycles of all that it picks are exact."""
        while True:
            picks = choose()
            if picks is None or self.offers.settled(picks):
                return picks

    def _within_budget(self) -> list[int]:
        """The least target whose cheapest units by multipliers keep within the budget."""
        targets = self.offers.fronts
        at = bisect_left(targets, True, key=lambda cycles: self.offers.multipliers(cycles) <= self.budget)
        if at < len(targets):
            return self.offers.cheapest(targets[at], self._limits[-1])
        needed = f"the network needs at least {self.offers.least:.0f} multipliers (limit {self.budget})"
        if self.multipliers is not None:
            raise FitError(f"{needed}; raise --multipliers")
        raise FitError(
            f"device {self.device.name} is too small: {needed}; raise --multipliers, or take a larger --device"
        )

    def _cheapest_in(self, cycles: int) -> list[int]:
        """The cheapest units by multipliers that take at most ``cycles``."""
        slow = next((layer for layer in self.offers.layers if layer.least(cycles) == float("inf")), None)
        if slow:
            raise FitError(
                f"layer {slow.name!r}: {cycles} cycles per frame cannot be reached (limit {slow.cycles.min()} "
                "cycles); ask for a lower frame rate or a higher clock"
            )
        return self.offers.cheapest(cycles, self._limits[-1])

    @cached_property
    def _nearest(self) -> Found:
        """What lacks as little as can be, however slow."""
        offers, slowest = self.offers, self.offers.targets[-1]
        able = [layer.everywhere(layer.near(slowest)) for layer in offers.layers]
        picks = offers.moved(self._exact(lambda: offers.nearest(able, self._limits)), self._limits[-1])
        if self._fits(picks):
            return self._found(picks)
        return Found(
            picks, offers.plan(picks).placed(self.device), offers.choices(picks)
        )  # queues would only add to it

    @cached_property
    def _limits(self) -> np.ndarray:
        return limits(self.device, self.budget, large=self._large)

    def _found(self, picks: list[int], spare: int = 0) -> Found:
        return Found(picks, self.plan(picks, spare), self.offers.choices(picks))

    def _fits(self, picks: list[int]) -> bool:
        """Whether they do, before there are queues."""
        if self.bound and self.device.ultra_rams:
            return fit_table(self.offers.plan(picks).placed(self.device), self.device).fits
        return not self.bound or bool((self.offers.taken(picks) <= self._limits).all())

    def suffices(self, plan: Plan) -> bool:
        """Whether ``plan`` fits, if it must."""
        return not self.bound or fit_table(plan, self.device).fits


def search(network: Network, *, multipliers: int | None = None, cycles: int | None = None, on: str = USUAL) -> Plan:
    """The plan with the fewest cycles per frame within ``multipliers``, or the cheapest within ``cycles``, whatever
    else it takes; multipliers are counted as those of device ``on``.

    With neither, the fastest within 100 multipliers. Raises :class:`FitError` naming what would do, and
    :class:`ModelError` where layers have no hardware.
    """
    found = Search(network, device(on), multipliers or MULTIPLIERS, bound=False)
    return found.fastest() if cycles is None else found.for_rate(cycles)


@lru_cache(1)
def _costs(network: Network) -> dict[OperatorUnit, Cost]:
    """Of units that a search for the network has looked at."""
    return {}


def _excess(table: FitTable, remedy: str = "") -> str:
    """What is too much, by how much, and what would do."""
    needed = ", ".join(
        f"{row.used:,} {row.resource} (limit {row.available:,}, {-row.free:,} too many)" for row in table.lacking
    )
    larger = f" ({table.larger})" if table.larger else ""
    return f"{needed}; {remedy}take a larger --device{larger}"
