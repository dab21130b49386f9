"""Hardware with loaded weights in simulation: load, infer, load others, infer, all in one run."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hwgen.dataflow.plan import Plan
from hwgen.graph.errors import InputError
from hwgen.simulate.bench import run_amaranth
from hwgen.simulate.compiled import CompiledPlan, level
from hwgen.simulate.feed import Feed, Ran, Step
from hwgen.simulate.simulation import HARDWARE, Progress, Simulation, Timing, compared


def simulate_steps(
    steps: Sequence[Step],
    engine: str = "amaranth",
    stall: int | None = None,
    progress: Progress = lambda share: None,
) -> list[Simulation]:
    """What comes of each step, every layer compared with golden; the hardware is that of the first plan.

    ``engine`` and ``stall`` are as in :func:`hwgen.simulate.simulation.simulate`. Raises InputError for an engine
    without hardware, RuntimeError where the hardware stops.
    """
    if engine not in HARDWARE:
        raise InputError(f"the engine {engine!r} has no hardware to load; choose one of {', '.join(HARDWARE)}")
    feed, plan = Feed.of_steps(steps), steps[0].plan
    if engine == "compiled":
        ran = CompiledPlan(plan, level(len(feed.integers)), loaded=True).run(feed, stall, progress)
    else:
        ran = run_amaranth(plan, feed, progress, stall)
    ends = np.cumsum([0, *(len(step.integers) for step in steps)]).tolist()
    return [
        _share(step.plan, engine, ran, feed, slice(*part)) for step, part in zip(steps, pairwise(ends), strict=True)
    ]


def _share(plan: Plan, engine: str, ran: Ran, feed: Feed, frames: slice) -> Simulation:
    """A step's share of the run. Layers correspond by their order, whatever they are called in its network."""
    network = plan.network
    whole = Timing.of(plan, [ran.taken[n] for n in feed.firsts], ran.given)
    names = [network.input.name, *(layer.output for layer in network.layers)]
    own = {name: values[frames] for name, values in zip(names, ran.tensors.values(), strict=True)}
    return compared(engine, network, own, Timing(whole.taken[frames], whole.done[frames]))
