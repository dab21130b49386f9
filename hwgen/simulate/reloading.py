"""Hardware with loaded weights in simulation: load, infer, load others, infer, all in one run."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from hwgen.dataflow.plan import Plan
from hwgen.graph import golden
from hwgen.graph.errors import InputError
from hwgen.simulate.bench import run_amaranth
from hwgen.simulate.compiled import CompiledPlan, level
from hwgen.simulate.feed import Feed, Ran, Step
from hwgen.simulate.simulation import HARDWARE, Progress, Simulation, Timing, check_engine, compared, simulate
from hwgen.simulate.waves import Waves
from hwgen.simulate.workers import HERE, Workers


def simulate_loaded(
    plan: Plan,
    frames: np.ndarray,
    engine: str,
    progress: Progress = lambda share: None,
    stall: int | None = None,
    trace: Waves | None = None,
    workers: Workers = HERE,
) -> Simulation:
    """:func:`hwgen.simulate.simulation.simulate` of hardware that works only once it is loaded.

    InputError for ``trace`` and ``workers``, which it does not have.
    """
    check_engine(engine, stall, trace, workers)
    if trace is not None or workers.several:
        raise InputError(
            "weights in SPRAM are loaded in one run, of which there are no waveforms: leave --trace, --jobs "
            "and --dask out, or build with --weights fixed"
        )
    integers = golden.network_input(plan.network, frames)
    if not len(integers):
        raise InputError("no frames given")
    (result,) = simulate_steps([Step(plan, integers)], engine, stall, progress)
    return result


def run_engine(plan: Plan, frames: np.ndarray, engine: str, *how: Any) -> Simulation:
    """``frames`` through ``engine``; hardware that holds no weights at power-up is loaded first."""
    if engine in HARDWARE and plan.waits_for_load:
        return simulate_loaded(plan, frames, engine, *how)
    return simulate(plan.network, plan, frames, engine, *how)


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
