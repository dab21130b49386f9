"""When a block takes and gives beats: the contract that the hardware keeps and the schedule evaluates.

Every block is a chain of one or more *actors*. An actor repeats a fixed list of steps for every frame (cyclo-static
dataflow). With ``s[k]`` the cycle in which step ``k`` starts, ``x[i]`` the cycle in which beat ``i`` moves over a
stream and all indices running on over the frames, the recurrences are max-plus:

- ``s[k] >= s[k-1] + busy[k-1]``: one step at a time;
- ``s[k] >= x_in[need[k] - 1] + start_delay``: its input has been stored (buffered actors), or
  ``s[k] = x_in[need[k] - 1] + lead``: it takes its input as it starts (direct actors);
- ``s[k] >= x_out[reserve[k] - queue - 1] + credit_delay``: there is room for what it will give;
- ``x_in[i] >= s[k] + busy[k]`` for the step ``k`` that releases the place of beat ``i - capacity``;
- beat ``j`` of step ``k`` is offered at ``s[k] + busy[k] + latency + j * spacing``;
- a stream moves at most one beat per cycle.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Actor:
    """One actor; arrays are int64 [steps], beats are counted within a frame.

    ``need``: input beats that step k needs. ``release``: input beats whose places are free after step k.
    ``busy``: its cycles. ``give``: output beats given up to and including step k. ``reserve``: output beats for
    which there must be room before step k, ``give`` unless said otherwise. ``capacity``: places for input beats,
    or 0 for a direct actor.
    """

    name: str
    need: np.ndarray
    busy: np.ndarray
    give: np.ndarray
    latency: int
    queue: int
    release: np.ndarray | None = None
    reserve: np.ndarray | None = None
    capacity: int = 0
    start_delay: int = 2
    lead: int = 0
    credit_delay: int = 2
    spacing: int = 1

    @property
    def steps(self) -> int:
        return len(self.busy)

    @property
    def beats_in(self) -> int:
        """Input beats of a frame."""
        return int(self.release[-1] if self.capacity else self.need[-1])

    @property
    def beats_out(self) -> int:
        return int(self.give[-1])

    @property
    def interval(self) -> int:
        """Cycles a frame takes at least: the greatest of taking, working and giving."""
        return max(self.beats_in, int(self.busy.sum()), self.beats_out)


def _unroll(values: np.ndarray, total: int, frames: int) -> list[int]:
    """Cumulative ``values`` of one frame with ``total`` beats, continued over ``frames`` frames."""
    return (values[None, :] + total * np.arange(frames)[:, None]).ravel().tolist()


class _Link:
    """The beats that move over one stream: when offered, when taken."""

    def __init__(self):
        self.offered: list[int] = []
        self.moved: list[int] = []


class _Runner:
    """Evaluates the recurrences of one actor as far as what is known allows."""

    def __init__(self, actor: Actor, frames: int, source: _Link, sink: _Link):
        self.actor, self.source, self.sink = actor, source, sink
        self.need = _unroll(actor.need, actor.beats_in, frames)
        self.give = [0, *_unroll(actor.give, actor.beats_out, frames)]
        reserve = actor.give if actor.reserve is None else actor.reserve
        self.reserve = _unroll(reserve, actor.beats_out, frames)
        self.busy = np.tile(actor.busy, frames).tolist()
        self.release = _unroll(actor.release, actor.beats_in, frames) if actor.capacity else []
        self.starts: list[int] = []
        self.free_at = 0
        self.next_release = 0

    def advance(self) -> bool:
        """Compute what can be computed; True if anything was."""
        before = len(self.starts), len(self.source.moved)
        if self.actor.capacity:
            self._take()
        self._start()
        return before != (len(self.starts), len(self.source.moved))

    def _take(self) -> None:
        """Move input beats into the buffer while there is a place for them."""
        moved, offered, actor = self.source.moved, self.source.offered, self.actor
        while len(moved) < len(offered):
            beat, ready = len(moved), 0
            if beat >= actor.capacity:
                while self.next_release < len(self.starts) and self.release[self.next_release] <= beat - actor.capacity:
                    self.next_release += 1
                if self.next_release >= len(self.starts):
                    return
                ready = self.starts[self.next_release] + self.busy[self.next_release]
            moved.append(max(offered[beat], ready, moved[-1] + 1 if moved else 0))

    def _start(self) -> None:
        actor, starts = self.actor, self.starts
        while (k := len(starts)) < len(self.busy):
            start = self.free_at
            credit = self.reserve[k] - actor.queue - 1
            if credit >= 0:
                if credit >= len(self.sink.moved):
                    return
                start = max(start, self.sink.moved[credit] + actor.credit_delay)
            arrival = self._arrival(k, start)
            if arrival is None:
                return
            starts.append(arrival)
            self.free_at = arrival + self.busy[k]
            first = self.free_at + actor.latency
            self.sink.offered.extend(first + j * actor.spacing for j in range(self.give[k + 1] - self.give[k]))

    def _arrival(self, k: int, start: int) -> int | None:
        """The start of step ``k`` when its input is waited for, or None if that is not known yet."""
        last, actor = self.need[k] - 1, self.actor
        moved, offered = self.source.moved, self.source.offered
        if actor.capacity:
            if last < 0:
                return max(start, actor.start_delay - 1)
            return max(start, moved[last] + actor.start_delay) if last < len(moved) else None
        if last < len(moved):
            return start
        if last >= len(offered):
            return None
        start = max(start, offered[last] + actor.lead, (moved[-1] + 1 if moved else 0) + actor.lead)
        moved.append(start - actor.lead)
        return start


@dataclass(frozen=True, eq=False)
class Run:
    """What a chain did: ``moved[n]`` are the cycles in which beats moved over stream ``n`` (0: the input),
    ``offered[n]`` those from which they were offered, ``starts[n]`` when the steps of actor ``n`` began."""

    frames: int
    moved: tuple[np.ndarray, ...]
    offered: tuple[np.ndarray, ...]
    starts: tuple[np.ndarray, ...]

    @property
    def frame_ends(self) -> np.ndarray:
        """The cycle in which the last beat of each frame leaves the chain."""
        return self.moved[-1].reshape(self.frames, -1)[:, -1]

    @property
    def latency(self) -> int:
        """Cycles from the first input beat moving to the first output beat moving."""
        return int(self.moved[-1][0] - self.moved[0][0])

    @property
    def interval(self) -> int:
        """Cycles per frame, measured over the last two frames."""
        ends = self.frame_ends
        return int(ends[-1] - ends[-2]) if len(ends) > 1 else int(ends[-1])


def run(actors: tuple[Actor, ...], frames: int = 3) -> Run:
    """Evaluate a chain with a source that always offers and a sink that always takes.

    The first beat is offered in cycle 0. Raises :class:`RuntimeError` if the chain deadlocks.
    """
    links = [_Link() for _ in range(len(actors) + 1)]
    links[0].offered = [0] * (actors[0].beats_in * frames)
    runners = [
        _Runner(actor, frames, source, sink) for actor, source, sink in zip(actors, links, links[1:], strict=False)
    ]
    # An actor is looked at again when a neighbour has got further.
    waiting = set(range(len(runners)))
    while waiting:
        at = min(waiting)
        waiting.remove(at)
        progress = runners[at].advance()
        if at == len(runners) - 1:
            progress |= _drain(links[-1])
        if progress:
            waiting.update(n for n in (at - 1, at, at + 1) if 0 <= n < len(runners))
    stuck = [runner.actor.name for runner in runners if len(runner.starts) < len(runner.busy)]
    if stuck:
        raise RuntimeError(f"the schedule deadlocks at {', '.join(stuck)}")
    return Run(
        frames,
        tuple(np.array(link.moved) for link in links),
        tuple(np.array(link.offered) for link in links),
        tuple(np.array(runner.starts) for runner in runners),
    )


def _drain(link: _Link) -> bool:
    before = len(link.moved)
    for at in link.offered[before:]:
        link.moved.append(max(at, link.moved[-1] + 1 if link.moved else 0))
    return len(link.moved) > before
