"""Units for the shortest way of a single frame through the pipeline, instead of the most frames a second."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import Schedule, schedule
from hwgen.dataflow.stages import INPUT, Source

from .layers import NetworkOffers

#: How much a layer's cycles may change at a time at first, in one try after the other: where the way leads depends on
#: it by luck. And when to stop trying.
WIDEST, NARROWEST = (4.0, 3.0, 2.0), 1.03
_HALVINGS = 60


@dataclass(frozen=True)
class _Trial:
    """Offers by number, the cycles after which a single frame has left, and for each layer how long it goes on after
    what it reads has ended: these tails add up along the way."""

    picks: list[int]
    latency: int
    tails: list[int]


def least_latency(
    offers: NetworkOffers, start: list[int], budget: int, fits: Callable[[list[int]], bool] = lambda picks: True
) -> list[int]:
    """Offers within ``budget`` multipliers, and such that all ``fits``, with which a frame takes less time from end to
    end than with ``start``; those themselves where none do.

    A layer's tail is taken to be in proportion to its cycles. With that the budget is shared out anew, cycles changing
    no more than by a factor; the schedule says whether it was better, and the factor falls where it was not. The best
    of several such ways is taken.
    """
    first = _tried(offers, start)
    ways = (_descent(offers, first, budget, factor, fits) for factor in WIDEST)
    return min(ways, key=lambda trial: trial.latency).picks


def _descent(
    offers: NetworkOffers, first: _Trial, budget: int, factor: float, fits: Callable[[list[int]], bool]
) -> _Trial:
    """From ``first`` on to better ones, until ``factor`` is as good as 1."""
    best = first
    while factor > NARROWEST:
        chosen = _shared_out(offers, best, budget, factor)
        trial = _tried(offers, chosen) if chosen != best.picks else best
        if trial.latency < best.latency and fits(trial.picks):
            best = trial
        else:
            factor **= 0.5
    return best


def _tried(offers: NetworkOffers, picks: list[int]) -> _Trial:
    """One frame through a pipeline whose queues have no end."""
    offers.settled(picks)
    plan = offers.plan(picks)
    timing = schedule(plan, 1, unbounded=range(len(plan.stages)))
    return _Trial(picks, timing.latency, _tails(plan, timing))


def _tails(plan: Plan, timing: Schedule) -> list[int]:
    ends, tails = {INPUT: int(timing.run.taken[-1])}, {}
    for n, (stage, links) in enumerate(zip(plan.stages, timing.links, strict=True)):
        before = max((ends[source] for source in stage.sources), default=0)
        ends |= {Source(n, port): int(timing.run.moved[link][-1]) for port, link in enumerate(links)}
        if stage.is_layer:
            tails[stage.layer] = max(ends[Source(n)] - before, 0)
    return [tails[layer.name] for layer in plan.layers]


def _shared_out(offers: NetworkOffers, best: _Trial, budget: int, factor: float) -> list[int]:
    """The least sum of tails within the budget, by the price of a multiplier in cycles at which it is just kept."""
    rows = []
    for layer, at, tail in zip(offers.layers, best.picks, best.tails, strict=True):
        now = layer.cycles[at]
        near = np.flatnonzero((layer.cycles <= now * factor) & (layer.cycles * factor >= now))
        rows.append((near, tail / now * layer.cycles[near], layer.multipliers[near], layer.cycles[near]))
    low, high = 0.0, float(best.latency)
    chosen = best.picks
    for _ in range(_HALVINGS):
        price = (low + high) / 2
        picks = [int(near[np.lexsort((cycles, cost + price * few))[0]]) for near, cost, few, cycles in rows]
        if sum(layer.multipliers[at] for layer, at in zip(offers.layers, picks, strict=True)) <= budget:
            chosen, high = picks, price
        else:
            low = price
    return chosen
