"""The recurrences of ``hwgen/cost/timing.py``, iterated from below until nothing changes: slow, and plain to see."""

import numpy as np


class NoEnd(Exception):
    """The cycles grow without end: a deadlock."""


class Reference:
    """``takes`` and ``gives`` are the links of each actor's inputs and outputs; ``offers`` [frames * beats] when the
    sources offer. The attributes are those of :class:`hwgen.cost.timing.Run`."""

    def __init__(self, actors, takes, gives, beats, offers, frames):
        self.actors, self.takes, self.gives, self.frames = actors, takes, gives, frames
        self.starts = [np.zeros(frames * actor.steps, np.int64) for actor in actors]
        self.offered = [offers.get(link, np.zeros(frames * n, np.int64)).copy() for link, n in enumerate(beats)]
        self.moved = [np.zeros(frames * n, np.int64) for n in beats]
        self.read = {link for taken in takes for link in taken}
        # Were one thing done after the other, it would all be over by then.
        ports = [port for actor in actors for port in actor.gives]
        last = max(int(cycles[-1]) for cycles in offers.values())
        last += frames * sum(int(actor.busy.sum()) + 5 * actor.steps for actor in actors)
        last += frames * sum((port.latency + port.spacing + 3) * (port.beats + len(port.give)) for port in ports)
        while self._improve():
            if max(int(starts[-1]) for starts in self.starts) > last:
                raise NoEnd

    def _improve(self) -> bool:
        """One round through all recurrences; whether a cycle is later for it."""
        self.changed = False
        for n, actor in enumerate(self.actors):
            for frame in range(self.frames):
                for step in range(actor.steps):
                    self._start(n, actor, frame, step)
            for link, port in zip(self.takes[n], actor.takes, strict=True):
                self._move(n, actor, link, port)
            for link, port in zip(self.gives[n], actor.gives, strict=True):
                self._offer(n, actor, link, port)
        return self.changed

    def _raise(self, cycles, at, value) -> None:
        if value > cycles[at]:
            cycles[at], self.changed = value, True

    def _start(self, n, actor, frame, step) -> None:
        k, starts = frame * actor.steps + step, self.starts[n]
        if k:
            self._raise(starts, k, starts[k - 1] + actor.busy[(k - 1) % actor.steps])
        for link, port in zip(self.takes[n], actor.takes, strict=True):
            last = frame * port.beats + port.need[step] - 1
            if port.capacity:
                self._raise(starts, k, (self.moved[link][last] if last >= 0 else -1) + port.start_delay)
            elif last >= 0:
                self._raise(starts, k, self.offered[link][last] + port.lead)
        for link, port in zip(self.gives[n], actor.gives, strict=True):
            reserve = port.give if port.reserve is None else port.reserve
            credit = frame * port.beats + reserve[step] - port.queue - 1
            if credit >= 0:
                self._raise(starts, k, self.moved[link][credit] + port.credit_delay)

    def _move(self, n, actor, link, port) -> None:
        """When the beats of an input move: stored as there is room, or taken as the step that needs them starts."""
        need = np.concatenate([frame * port.beats + port.need for frame in range(self.frames)])
        ends = self.starts[n] + np.tile(actor.busy, self.frames)
        if port.capacity:
            release = np.concatenate([frame * port.beats + port.release for frame in range(self.frames)])
        for i in range(len(self.moved[link])):
            if i:
                self._raise(self.moved[link], i, self.moved[link][i - 1] + 1)
            if not port.capacity:
                self._raise(self.moved[link], i, self.starts[n][np.searchsorted(need, i, "right")] - port.lead)
                continue
            self._raise(self.moved[link], i, self.offered[link][i])
            if i >= port.capacity:
                self._raise(self.moved[link], i, ends[np.searchsorted(release, i - port.capacity, "right")])

    def _offer(self, n, actor, link, port) -> None:
        before = 0
        for k, start in enumerate(self.starts[n]):
            frame, step = divmod(k, actor.steps)
            for j, beat in enumerate(range(before, frame * port.beats + int(port.give[step]))):
                cycle = start + actor.busy[step] + port.latency + j * port.spacing
                self._raise(self.offered[link], beat, cycle)
                if link not in self.read:
                    self._raise(self.moved[link], beat, max(cycle, self.moved[link][beat - 1] + 1 if beat else 0))
                before = beat + 1
