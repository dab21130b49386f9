"""The evaluation of max-plus recurrences, compiled: a hundred million steps a second.

Frames are evaluated one after the other. Within a frame an actor is advanced by as many steps as what is known of its
neighbours allows, then those are looked at again; the order does not matter, for each event has but one earliest
cycle. From one frame to the next only what later steps can look back to is kept: when the last beats moved, as many as
a queue has places, and when the last places of a buffer were set free. This is the state of the actors. Where it is the
same after two frames but for a shift in time, every later frame is the same with that shift.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from hwgen.cost.timing_layout import NO_END

from . import timing_layout as layout
from .actor import Actor, counting, ones

#: A cycle before all others.
NEVER = -(1 << 30)
#: Cycles kept as int32 lie below this, as long as no actor is busy with a frame for half as many.
LATEST = 1 << 30


class _Flat:
    """Arrays one after the other; the same array is kept once."""

    def __init__(self):
        self.parts: list[np.ndarray] = []
        self.places: dict[int, int] = {}
        self.length = 0

    def add(self, array: np.ndarray) -> int:
        """The place of an array."""
        if id(array) not in self.places:
            self.places[id(array)] = self.length
            self.parts.append(array)
            self.length += len(array)
        return self.places[id(array)]

    def counts(self, array: np.ndarray) -> int:
        """The place of what never falls, or -1 for a number a step."""
        return -1 if array is counting(len(array)) else self.add(array)

    def cycles(self, array: np.ndarray) -> int:
        """The place of cycles, or what they all are, negative."""
        first = int(array[0])
        same = array is ones(len(array)) or (first > 0 and (array == first).all())
        return -first if same else self.add(array)

    def joined(self) -> np.ndarray:
        joined, at = np.zeros(self.length + 1, np.int32), 0
        for part in self.parts:
            joined[at : at + len(part)] = part
            at += len(part)
        return joined


class _Rows:
    """Room for a frame of each of several sequences, and for what is kept of frames before it."""

    def __init__(self):
        self.at: list[int] = []
        self.spans: list[tuple[int, int, int]] = []
        self.length = 0

    def add(self, frame: int, kept: int) -> int:
        """Room for ``frame`` values behind ``kept`` older ones; returns the place of the frame."""
        self.spans.append((self.length, kept, frame))
        self.length += kept + frame
        return self.length - frame

    def array(self, dtype: type) -> np.ndarray:
        array: np.ndarray = np.zeros(self.length, dtype)
        for begin, kept, _ in self.spans:
            array[begin : begin + kept] = NEVER
        return array

    def advance(self, array: np.ndarray) -> None:
        """Keep the end of the frame for the next."""
        for begin, kept, frame in self.spans:
            array[begin : begin + kept] = array[begin + frame : begin + frame + kept].copy()


class Engine:
    """Actors joined by links, evaluated frame by frame.

    ``takes`` and ``gives`` hold the links of each actor's inputs and outputs, ``beats`` those of a frame on each link.
    After :meth:`frame` there are views of its cycles: ``offered`` and ``moved`` [beats] for each link, ``starts``
    [steps] for each actor. Cycles are int32 until one reaches ``latest``, then int64.
    """

    def __init__(
        self,
        actors: Sequence[Actor],
        takes: Sequence[Sequence[int]],
        gives: Sequence[Sequence[int]],
        beats: Sequence[int],
        latest: int | None = None,
    ):
        flat = _Flat()
        actor_table: list[tuple[int, ...]] = []
        take_table: list[tuple[int, ...]] = []
        give_table: list[tuple[int, ...]] = []
        kept = [(actor.takes, actor.gives) for actor in actors]  # alive, so that no two arrays have one identity
        links, steps, self._freed_rows = np.full((len(beats), 4), -1, np.int64), 0, _Rows()
        memory = [1] * len(beats)
        free_at = np.zeros(len(actors), np.int64)
        for n, (actor, (taken, given)) in enumerate(zip(actors, kept, strict=True)):
            first = len(take_table), len(give_table)
            for link, port in zip(takes[n], taken, strict=True):
                release, freed, delay = -1, -1, port.lead
                if port.release is not None and port.capacity:
                    release, freed = flat.counts(port.release), self._freed_rows.add(port.beats, port.capacity)
                    delay = port.start_delay
                    if port.need[0] == 0:  # it starts as if a beat had come just before the first cycle
                        free_at[n] = max(free_at[n], delay - 1)
                take_table.append((link, flat.counts(port.need), release, port.capacity, delay, freed))
                links[link, layout.CONSUMER] = n
            for link, end in zip(gives[n], given, strict=True):
                reserve = flat.counts(end.give if end.reserve is None else end.reserve)
                timing = end.latency, end.queue, end.credit_delay, end.spacing
                give_table.append((link, flat.counts(end.give), reserve, *timing))
                links[link, layout.PRODUCER] = n
                memory[link] = 1 if end.queue >= NO_END else end.queue + 1
            ends = first[0], len(take_table), first[1], len(give_table)
            actor_table.append((*ends, actor.steps, flat.cycles(actor.busy), steps))
            steps += actor.steps
        offered_rows, self._moved_rows = _Rows(), _Rows()
        for link, count in enumerate(beats):
            links[link, layout.OFFERED] = offered_rows.add(count, 1)
            links[link, layout.MOVED] = self._moved_rows.add(count, memory[link])
        self._tables = [np.array(table, np.int64).reshape(-1, 7) for table in (actor_table, give_table)]
        self._tables.insert(1, np.array(take_table, np.int64).reshape(-1, 6))
        self._links, self._values, self._free_at = links, flat.joined(), free_at
        self._offered, self._moved = offered_rows.array(np.int32), self._moved_rows.array(np.int32)
        self._freed, self._starts = self._freed_rows.array(np.int32), np.zeros(steps, np.int32)
        self._beats, self._latest, self._first = beats, latest or LATEST, True
        if any(actor.interval >= self._latest // 2 for actor in actors):
            self._widen()

    @property
    def offered(self) -> list[np.ndarray]:
        """For each link the cycle in which each beat was offered."""
        return [self._offered[at : at + n] for at, n in zip(self._links[:, layout.OFFERED], self._beats, strict=True)]

    @property
    def moved(self) -> list[np.ndarray]:
        """For each link the cycle in which each beat was taken."""
        return [self._moved[at : at + n] for at, n in zip(self._links[:, layout.MOVED], self._beats, strict=True)]

    @property
    def starts(self) -> list[np.ndarray]:
        """For each actor the cycle in which each step began."""
        return [self._starts[row[layout.STARTS] : row[layout.STARTS] + row[layout.STEPS]] for row in self._tables[0]]

    def frame(self, offers: Mapping[int, np.ndarray]) -> list[int]:
        """Evaluate the next frame; returns the numbers of actors that cannot complete it.

        ``offers`` are the cycles in which the links from outside offer its beats.
        """
        if not self._first:
            self._moved_rows.advance(self._moved)
            self._freed_rows.advance(self._freed)
        self._first = False
        if max((int(cycles[-1]) for cycles in offers.values()), default=0) >= self._latest:
            self._widen()
        begun = self._evaluated(offers)
        while begun is None:
            self._widen()
            begun = self._evaluated(offers)
        return np.flatnonzero(begun < self._tables[0][:, layout.STEPS]).tolist()

    def _evaluated(self, offers: Mapping[int, np.ndarray]) -> np.ndarray | None:
        """How many steps each actor began; None, and nothing changed that matters, where cycles became too late."""
        from hwgen.cost.timing_kernel import evaluate

        actors, takes, _ = self._tables
        known, gone, free, begun = (np.zeros(n, np.int64) for n in (*[len(self._beats)] * 2, len(takes), len(actors)))
        due, free_at, views = np.ones(len(actors), np.bool_), self._free_at.copy(), self.offered
        for link, cycles in offers.items():
            views[link][:], known[link] = cycles, self._beats[link]
        arrays = self._offered, self._moved, self._freed, self._starts
        state = known, gone, free, due, begun, free_at
        if not evaluate(*self._tables, self._links, self._values, *arrays, *state, self._latest):
            return None
        self._free_at = free_at
        return begun

    def _widen(self) -> None:
        """Go on with cycles of 64 bits."""
        self._latest = np.iinfo(np.int64).max
        self._offered, self._moved = self._offered.astype(np.int64), self._moved.astype(np.int64)
        self._freed, self._starts = self._freed.astype(np.int64), self._starts.astype(np.int64)

    def state(self) -> np.ndarray:
        """All that later frames depend on, as cycles."""
        kept = [
            array[begin + frame : begin + frame + kept]
            for array, rows in ((self._moved, self._moved_rows), (self._freed, self._freed_rows))
            for begin, kept, frame in rows.spans
        ]
        return np.concatenate([self._free_at, *kept])
