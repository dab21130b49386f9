"""When everything happens: the timing of the whole pipeline, evaluated without simulating it."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from hwgen.cost.actor import Actor, Give
from hwgen.cost.timing import Deadlock, Run, Web
from hwgen.cost.timing_engine import Engine
from hwgen.cost.timing_layout import NO_END

from .plan import Plan
from .stages import INPUT, Source, Stage

#: An output of a stage: their numbers.
Port = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Schedule:
    """Cycles of a run over several frames, back to back, from a source and to a sink that never wait.

    ``interval``: cycles from frame to frame in steady state. ``latency``: from the first input beat of a frame in an
    idle pipeline to its last output beat. ``links`` are those over which each stage gives.
    """

    plan: Plan
    run: Run
    links: list[list[int]]

    @property
    def interval(self) -> int:
        """Cycles from frame to frame in steady state."""
        return self.run.interval

    @property
    def latency(self) -> int:
        """Cycles from the first beat of the first frame to the last of its result."""
        return int(self.run.frame_ends[0] - self.run.taken[0])

    @property
    def first_output(self) -> int:
        """From the first input beat of a frame in an idle pipeline to its first output beat, on whatever output."""
        return int(min(self.run.moved[sink][0] for sink in self.run.sinks) - self.run.taken[0])

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


def schedule(plan: Plan, frames: int | None = None, unbounded: Container[int] = ()) -> Schedule:
    """Evaluate ``plan`` over ``frames`` frames, or until it is settled, as :meth:`hwgen.cost.timing.Web.settle` says.

    For a number of frames the queues at the outputs of the stages ``unbounded`` never fill. Raises
    :class:`hwgen.cost.timing.Deadlock`.
    """
    if frames is None:
        return _settled(plan)
    web, links, _ = web_of(plan, unbounded)
    return Schedule(plan, web.run(frames), links)


def interval_of(plan: Plan) -> float:
    """Cycles from frame to frame in steady state; infinite where it deadlocks."""
    try:
        return schedule(plan).interval
    except Deadlock:
        return float("inf")


@lru_cache(1)  # a plan is scheduled when its queues are chosen, and again for whoever asks
def _settled(plan: Plan) -> Schedule:
    web, links, _ = web_of(plan)
    return Schedule(plan, web.settle(), links)


def rooms(plan: Plan, pace: int, unbounded: Container[int], ports: Iterable[Port]) -> dict[Port, int]:
    """For each of ``ports`` the least queue, in beats, with which the settled run of ``plan`` is possible in which the
    queues at the outputs of the stages ``unbounded`` never fill and the source spreads each frame over ``pace`` cycles.

    Raises :class:`hwgen.cost.timing.Deadlock`.
    """
    web, links, actors = web_of(plan, unbounded)
    watched = {at: Room(*plan.stages[at[0]].ports[at[1]], actors[at[0]], links[at[0]][at[1]]) for at in ports}

    def look(engine: Engine) -> None:
        starts, moved = engine.starts, engine.moved
        for room in watched.values():
            room.look(starts, moved)

    web.settle(pace, look=look)
    return {at: room.most for at, room in watched.items()}


def web_of(plan: Plan, unbounded: Container[int] = ()) -> tuple[Web, list[list[int]], list[int]]:
    """The actors of all stages; the links over which each stage gives, and the number of its first actor.

    What reads from DRAM has the places that it was planned with in any case: nobody else tells it when to stop.
    """
    web, links, first = Web(), [], []
    given = {INPUT: web.link()}
    for n, stage in enumerate(plan.stages):
        first.append(len(web.actors))
        actors = _unbounded(stage) if n in unbounded and stage.sources else stage.actors
        links.append(web.add(actors, [given[source] for source in stage.sources]))
        given |= {Source(n, port): link for port, link in enumerate(links[-1])}
    return web, links, first


def _unbounded(stage: Stage) -> tuple[Actor, ...]:
    """The actors of a stage, with no end to the queues of its outputs."""
    last, actors = len(stage.actors) - 1, []
    for n, actor in enumerate(stage.actors):
        inner = 0 if n == last else 1
        gives = (*actor.gives[:inner], *(replace(port, queue=NO_END) for port in actor.gives[inner:]))
        actors.append(replace(actor, gives=gives))
    return tuple(actors)


class Room:
    """The least queue with which every step could have started when it did: what it reserves, less what had been
    taken by then. Or the most places ``used``: a step that reserves more than it gives does not use them all."""

    def __init__(self, actor: int, port: Give, first: int, link: int, used: bool = False):
        self.actor, self.port, self.link = first + actor, port, link
        debit = port.give if port.debit is None else port.debit
        self.reserve = debit if used or port.reserve is None else port.reserve
        self.most, self.left = 0, np.zeros(0, np.int32)

    def look(self, starts: Sequence[np.ndarray], moved: Sequence[np.ndarray]) -> None:
        """Look at one more frame."""
        from hwgen.cost.timing_kernel import places_used

        beats, before = moved[self.link], len(self.left)
        most, gone = places_used(self.reserve, starts[self.actor], self.port.credit_delay, self.left, beats)
        self.most = max(self.most, most)
        self.left = np.concatenate([self.left[gone:], beats[max(gone - before, 0) :]])
