"""What more multipliers buy: the fastest design for each of many budgets, as a table and as a picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from hwgen.dataflow.search.folding import FoldingSearch
from hwgen.device.clocks import Clock


@dataclass(frozen=True)
class Point:
    """The fastest foldings within a budget.

    ``multipliers`` are those used, ``cycles`` per frame, ``memory_bits`` of weights, windows and the blocks' own
    queues. ``useful`` is the share of multiplier cycles that do one of the network's multiplications. ``bottleneck``
    names the layer that takes the most cycles.
    """

    multipliers: int
    cycles: int
    memory_bits: int
    useful: float
    bottleneck: str

    def fps(self, clock: Clock) -> float:
        """Frames per second at ``clock``."""
        return clock.rate(self.cycles)


def explore(
    found: FoldingSearch, budgets: Sequence[int], progress: Callable[[float], None] = lambda share: None
) -> tuple[Point, ...]:
    """The Pareto front: a point for each of ``budgets`` that buys anything, fewest multipliers first."""
    points: list[Point] = []
    macs = sum(layer.op.macs for layer in found.network.layers)
    for n, budget in enumerate(sorted(budgets)):
        progress(n / len(budgets))
        chosen = found.for_budget(budget)
        multipliers, cycles = sum(option.multipliers for option in chosen), max(option.cycles for option in chosen)
        if points and cycles >= points[-1].cycles:
            continue
        layers = list(zip(found.network.layers, chosen, strict=True))
        memory = sum(layer.op.unit(option.folding).cost.memory_bits for layer, option in layers)
        slowest = max(layers, key=lambda pair: pair[1].cycles)[0].name
        points.append(Point(multipliers, cycles, memory, macs / (multipliers * cycles), slowest))
    progress(1.0)
    return tuple(points)


def usual_budgets(found: FoldingSearch, most: int | None = None, count: int = 24) -> list[int]:
    """``count`` budgets in equal steps of ratio, from the least that will do to ``most``, or to the last that helps."""
    least, most = found.least, min(most or found.most, found.most)
    return sorted({int(budget) for budget in np.ceil(np.geomspace(least, max(most, least), count))})


def draw(points: Sequence[Point], file: BinaryIO, form: str, name: str, clock: Clock) -> None:
    """Frames per second and memory against multipliers, to ``file`` as ``form``: "svg", "png" or "pdf"."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    speed, memory = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    multipliers = [point.multipliers for point in points]
    speed.step(multipliers, [point.fps(clock) for point in points], where="post", marker="o", color="tab:blue")
    previous = None
    for point in points:
        if point.bottleneck != previous:
            place = (point.multipliers, point.fps(clock))
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
    memory.set(xlabel="multipliers", ylabel="memory, KiB", ylim=(0, None))
    for axes in (speed, memory):
        axes.grid(True, which="both", alpha=0.3)
    figure.savefig(file, format=form, metadata={"Date": None} if form == "svg" else None)
