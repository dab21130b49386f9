"""When everything happens: the timing of the whole pipeline, evaluated without simulating it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwgen.blocks.timing import Run, run

from .plan import Plan


@dataclass(frozen=True, eq=False)
class Schedule:
    """Cycles of a run over several frames, back to back, from a source and to a sink that never wait.

    ``interval``: cycles from frame to frame in steady state. ``latency``: from the first input beat of a frame in an
    idle pipeline to its last output beat.
    """

    plan: Plan
    run: Run

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
    def occupancy(self) -> dict[str, int]:
        """The most beats that each stage's input stream and buffers held: moved in but not yet out of its queue."""
        peaks, at = {}, 0
        for stage in self.plan.stages:
            taken, given = self.run.moved[at], self.run.moved[at + len(stage.actors)]
            at += len(stage.actors)
            share = len(taken) / len(given)
            held = np.arange(1, len(taken) + 1) - share * np.searchsorted(given, taken, side="left")
            peaks[stage.name] = int(np.ceil(held.max()))
        return peaks


def schedule(plan: Plan, frames: int = 4) -> Schedule:
    """Evaluate ``plan`` over ``frames`` frames."""
    actors = tuple(actor for stage in plan.stages for actor in stage.actors)
    return Schedule(plan, run(actors, frames))
