"""When everything happens: the timing of the whole pipeline, evaluated without simulating it."""

from collections.abc import Container
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwgen.blocks.timing import Actor, Give, Run, Web

from .plan import Plan
from .stages import INPUT, Source, Stage

#: Frames of a run that goes on until it is settled: at least, and at most.
SHORTEST, LONGEST = 8, 64
#: A queue that never fills: more beats than any run has.
NO_END = 1 << 60


@dataclass(frozen=True, eq=False)
class Schedule:
    """Cycles of a run over several frames, back to back, from a source and to a sink that never wait.

    ``interval``: cycles from frame to frame in steady state. ``latency``: from the first input beat of a frame in an
    idle pipeline to its last output beat. ``links`` are those over which each stage gives.
    """

    plan: Plan
    run: Run
    links: tuple[tuple[int, ...], ...]

    @property
    def interval(self) -> int:
        return self.run.interval

    @property
    def latency(self) -> int:
        return int(self.run.frame_ends[0] - self.run.taken[0])

    @cached_property
    def bottleneck(self) -> str:
        """The layer that needs the most cycles for a frame on its own."""
        return max(self.plan.stages, key=lambda stage: stage.cost.cycles).layer

    @cached_property
    def busy(self) -> dict[str, float]:
        """Share of the interval in which each stage's busiest actor works."""
        return {
            stage.name: max(int(actor.busy.sum()) for actor in stage.actors) / self.interval
            for stage in self.plan.stages
        }

    @cached_property
    def room(self) -> tuple[tuple[int, ...], ...]:
        """For each stage and output the least queue with which this very run is possible, in beats."""
        begun = iter(self.run.starts)
        rooms = []
        for stage, links in zip(self.plan.stages, self.links, strict=True):
            starts = [next(begun) for _ in stage.actors]
            ports = zip(stage.ports, links, strict=True)
            rooms.append(tuple(_room(self.run, starts[actor], port, link) for (actor, port), link in ports))
        return tuple(rooms)


def schedule(plan: Plan, frames: int | None = None, pace: int = 0, unbounded: Container[int] = ()) -> Schedule:
    """Evaluate ``plan`` over ``frames`` frames, or over as many as it takes until two intervals are the same.

    With ``pace`` the source spreads each frame over so many cycles. The queues at the outputs of the stages
    ``unbounded`` never fill. Raises :class:`hwgen.blocks.timing.Deadlock`.
    """
    web, links = Web(), []
    given = {INPUT: web.link()}
    for n, stage in enumerate(plan.stages):
        actors = _unbounded(stage) if n in unbounded else stage.actors
        links.append(tuple(web.add(actors, [given[source] for source in stage.sources])))
        given |= {Source(n, port): link for port, link in enumerate(links[-1])}
    run = web.run(frames or SHORTEST, pace)
    while frames is None and run.frames < LONGEST and not run.settled:
        run = web.run(2 * run.frames, pace)
    return Schedule(plan, run, tuple(links))


def _unbounded(stage: Stage) -> tuple[Actor, ...]:
    """The actors of a stage, with no end to the queues of its outputs."""
    actors = [
        replace(actor, more_gives=tuple(replace(port, queue=NO_END) for port in actor.more_gives))
        for actor in stage.actors
    ]
    return (*actors[:-1], replace(actors[-1], queue=NO_END))


def _room(run: Run, starts: np.ndarray, port: Give, link: int) -> int:
    """The least queue with which every step could have started when it did: what it reserves, less what had been
    taken by then."""
    reserve = port.give if port.reserve is None else port.reserve
    reserved = (reserve + port.beats * np.arange(run.frames)[:, None]).ravel()
    gone = np.searchsorted(run.moved[link], starts - port.credit_delay, side="right")
    return int((reserved - gone).max())
