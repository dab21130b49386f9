"""What more multipliers buy: the fastest design for each of many budgets, as a table and as a picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from hwgen.device.clocks import Clock
from hwgen.graph.errors import FitError

from .resources import NO_END
from .search import Search


@dataclass(frozen=True)
class Point:
    """The fastest units within a budget.

    ``multipliers`` are those used, ``in_luts`` products made of LUTs beside them, ``cycles`` per frame, ``memory_bits``
    of weights, windows and the blocks' own queues. ``useful`` is the share of multiplier cycles, products made of LUTs
    included, that do one of the network's multiplications. ``bottleneck`` names the layer that takes the most cycles.
    """

    multipliers: int
    in_luts: int
    cycles: int
    memory_bits: int
    useful: float
    bottleneck: str

    def fps(self, clock: Clock) -> float:
        """Frames per second at ``clock``."""
        return clock.rate(self.cycles)


def explore(
    search: Search, budgets: Sequence[int], progress: Callable[[float], None] = lambda share: None
) -> tuple[Point, ...]:
    """The Pareto front: a point for each of ``budgets`` that buys anything, the slowest first. Each is what ``search``
    finds within that budget, the last one with products made of LUTs where a device has too few multipliers; FitError
    where that is nothing for any of them."""
    points: list[Point] = []
    for n, budget in enumerate(sorted(budgets, reverse=True)):
        progress(n / len(budgets))
        if points and not points[-1].in_luts and budget >= points[-1].multipliers:
            continue
        try:
            point = _point(search if budget == search.budget else search.within(budget))
        except FitError:
            if not points:
                raise
            break
        while points and point.cycles <= points[-1].cycles:  # as fast for less
            points.pop()
        points.append(point)
    progress(1.0)
    return tuple(reversed(points))


def _point(search: Search) -> Point:
    chosen = search.choices()
    macs = sum(layer.op.macs for layer in search.network.layers)
    multipliers, cycles = sum(choice.multipliers for choice in chosen), max(choice.cycles for choice in chosen)
    memory = sum(choice.unit.cost.memory_bits for choice in chosen)
    layers = zip(search.network.layers, chosen, strict=True)
    slowest = max(layers, key=lambda pair: pair[1].cycles)[0].name
    in_luts = sum(each.count for choice in chosen for each in choice.unit.cost.products if each.luts)
    return Point(multipliers, in_luts, cycles, memory, macs / ((multipliers + in_luts) * cycles), slowest)


def usual_budgets(search: Search, most: int | None = None, count: int = 24) -> list[int]:
    """``count`` budgets in equal steps of ratio, from the least that will do to ``most``, or to the last that helps, or
    to all that the device has."""
    offers, fastest = search.offers, search.within(NO_END).picks()
    last = sum(choice.multipliers for choice in offers.choices(fastest))
    most = min(most or (search.budget if search.bound else last), last)
    if offers.least >= most:
        return [most if search.bound else offers.least]
    return sorted({int(budget) for budget in np.ceil(np.geomspace(offers.least, most, count))})


def draw(points: Sequence[Point], file: BinaryIO, form: str, name: str, clock: Clock) -> None:
    """Frames per second and memory against multipliers, those made of LUTs included, to ``file`` as ``form``: "svg",
    "png" or "pdf"."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    speed, memory = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    multipliers = [point.multipliers + point.in_luts for point in points]
    speed.step(multipliers, [point.fps(clock) for point in points], where="post", marker="o", color="tab:blue")
    previous = None
    for point in points:
        if point.bottleneck != previous:
            place = (point.multipliers + point.in_luts, point.fps(clock))
            speed.annotate(
                point.bottleneck, place, textcoords="offset points", xytext=(6, -10), fontsize=7, color="0.35"
            )
        previous = point.bottleneck
    speed.set(
        title=f"{name}: fastest design for a number of multipliers",
        ylabel=f"frames per second at {clock}",
        xscale="log",
        yscale="log",
    )
    memory.plot(multipliers, [point.memory_bits / 8192 for point in points], marker="o", color="tab:green")
    memory.set(xlabel="multipliers, those made of LUTs included", ylabel="memory, KiB", ylim=(0, None))
    for axes in (speed, memory):
        axes.grid(True, which="both", alpha=0.3)
    figure.savefig(file, format=form, metadata={"Date": None} if form == "svg" else None)
