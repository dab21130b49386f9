"""What a block says of its timing: chains of actors, each with what it takes and what it gives.

An actor repeats a fixed list of steps for every frame (cyclo-static dataflow). With ``s[k]`` the cycle in which step
``k`` starts, ``x[i]`` the cycle in which beat ``i`` moves over a stream and all indices running on over the frames, the
recurrences are max-plus:

- ``s[k] >= s[k-1] + busy[k-1]``: one step at a time;
- ``s[k] >= x_in[need[k] - 1] + start_delay``: its input has been stored (buffered inputs), or
  ``s[k] = x_in[need[k] - 1] + lead``: it takes its input as it starts (direct inputs);
- ``s[k] >= x_out[reserve[k] - queue - 1] + credit_delay``: there is room for what it will give;
- ``x_in[i] >= s[k] + busy[k]`` for the step ``k`` that releases the place of beat ``i - capacity``;
- beat ``j`` of step ``k`` is offered at ``s[k] + busy[k] + latency + j * spacing``;
- a stream moves at most one beat per cycle.

They hold for each input and each output.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

#: Cycles from a place in a queue being free to what starts steps knowing of it: they are a register apart.
CREDIT = 2


@lru_cache(256)
def counting(count: int) -> np.ndarray:
    """1 to ``count``: what steps need or give that move a beat each. Shared, so not to be written to."""
    numbers = np.arange(1, count + 1)
    numbers.flags.writeable = False
    return numbers


@lru_cache(256)
def ones(count: int) -> np.ndarray:
    """Steps of one cycle each. Shared, so not to be written to."""
    cycles = np.ones(count, np.int64)
    cycles.flags.writeable = False
    return cycles


@dataclass(frozen=True, eq=False)
class Take:
    """One input of an actor; arrays are int64 [steps], beats are counted within a frame.

    ``need``: beats that step k needs. ``release``: beats whose places are free after step k. ``capacity``: places
    for beats, or 0 for a direct input.
    """

    need: np.ndarray
    release: np.ndarray | None = None
    capacity: int = 0
    start_delay: int = 2
    lead: int = 0

    @property
    def beats(self) -> int:
        """Beats of a frame."""
        return int(self.need[-1] if self.release is None or not self.capacity else self.release[-1])


@dataclass(frozen=True, eq=False)
class Give:
    """One output of an actor.

    ``give``: beats given up to and including step k. ``reserve``: beats for which there must be room before step
    k, ``give`` unless said otherwise. ``debit``: beats whose places are taken when step k starts, ``give`` unless said
    otherwise. ``queue``: places for them.
    """

    give: np.ndarray
    latency: int
    queue: int
    reserve: np.ndarray | None = None
    credit_delay: int = CREDIT
    spacing: int = 1
    debit: np.ndarray | None = None

    @property
    def beats(self) -> int:
        """Beats of a frame."""
        return int(self.give[-1])


@dataclass(frozen=True, eq=False)
class Actor:
    """Steps that are ``busy`` for so many cycles each, int64 [steps], and the inputs and outputs, which the neighbours
    in a chain share: the first that it gives is the first that the next one takes."""

    name: str
    busy: np.ndarray
    takes: tuple[Take, ...]
    gives: tuple[Give, ...]

    @property
    def ports(self) -> tuple[Take | Give, ...]:
        """All inputs, then all outputs."""
        return (*self.takes, *self.gives)

    @property
    def steps(self) -> int:
        """Steps of a frame."""
        return len(self.busy)

    @property
    def interval(self) -> int:
        """Cycles a frame takes at least: the greatest of taking, working and giving."""
        return max(int(self.busy.sum()), *(port.beats for port in self.ports))
