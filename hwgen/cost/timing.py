"""The schedule of actors joined by links: the recurrences of :mod:`hwgen.cost.actor`, evaluated frame by frame."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count, islice

import numpy as np

from hwgen.cost.timing_engine import Engine

from .actor import Actor


@dataclass(frozen=True, eq=False)
class Run:
    """What actors did: ``moved[n]`` are the cycles in which beats moved over link ``n``, ``offered[n]`` those from
    which they were offered, ``starts[n]`` when the steps of actor ``n`` began. ``sources`` and ``sinks`` are the
    links that come from and lead to the outside; of a run until it was settled (:meth:`Web.settle`) only what moved
    over these is kept. ``periodic``: proved that all later frames are as the last one was."""

    frames: int
    moved: dict[int, np.ndarray]
    sources: tuple[int, ...]
    sinks: tuple[int, ...]
    offered: dict[int, np.ndarray]
    starts: tuple[np.ndarray, ...] = ()
    periodic: bool = False

    @property
    def taken(self) -> np.ndarray:
        """The cycles in which beats of the first input moved."""
        return self.moved[self.sources[0]]

    @property
    def given(self) -> np.ndarray:
        """The cycles in which beats of the first output moved."""
        return self.moved[self.sinks[0]]

    @property
    def frame_ends(self) -> np.ndarray:
        """The cycle in which the last beat of each frame has left, on whatever output."""
        return np.max([self.moved[sink].reshape(self.frames, -1)[:, -1] for sink in self.sinks], axis=0)

    def frame_end(self, frame: int) -> int:
        """The cycle in which the last beat of a frame has left; frames after the run are like its last one."""
        ends = self.frame_ends
        return int(ends[min(frame, self.frames - 1)]) + max(frame - self.frames + 1, 0) * self.interval

    @property
    def latency(self) -> int:
        """Cycles from the first beat of the first input moving, or the first cycle where there is no input, to the
        first beat of the first output moving."""
        return int(self.given[0] - (self.taken[0] if self.sources else 0))

    @property
    def settled(self) -> bool:
        """Whether the last two frames took as many cycles as each other."""
        last = np.diff(self.frame_ends)[-2:]
        return len(last) == 2 and last[0] == last[1]

    @property
    def interval(self) -> int:
        """Cycles per frame, measured over the last two frames."""
        ends = self.frame_ends
        return int(ends[-1] - ends[-2]) if len(ends) > 1 else int(ends[-1])


class Deadlock(RuntimeError):
    """Actors that wait for each other for ever; the message names them."""


class Web:
    """Actors joined by links. Links are known by number; blocks are added from the inputs to the outputs."""

    def __init__(self):
        self.actors: list[Actor] = []
        self.takes: list[list[int]] = []
        self.gives: list[list[int]] = []
        self._links = 0

    def link(self) -> int:
        """A new link, from the outside until an actor gives over it."""
        self._links += 1
        return self._links - 1

    def add(self, block: Sequence[Actor], inputs: Sequence[int]) -> list[int]:
        """Add the chain of actors of a block that reads ``inputs``; returns the links that it gives over.

        The first output of an actor is the first input of the next. The inputs of a block are the first of its first
        actor, then what each takes besides; its outputs are the first of its last actor, then what each gives besides.
        """
        chained: list[int] = []
        rest, outputs = list(inputs), list[int]()
        for actor in block:
            more = len(actor.takes) - len(chained)
            taken, rest = [*chained, *rest[:more]], rest[more:]
            if len(taken) != len(actor.takes):
                raise ValueError(f"{actor.name}: given {len(taken)} inputs, but it has {len(actor.takes)}")
            given = [self.link() for _ in actor.gives]
            self.actors.append(actor)
            self.takes.append(taken)
            self.gives.append(given)
            chained, outputs = given[:1], outputs + given[1:]
        if rest:
            raise ValueError(f"{block[0].name}: given {len(inputs)} inputs, {len(rest)} of which it does not have")
        return [*chained, *outputs]

    def run(self, frames: int, pace: int = 0) -> Run:
        """Evaluate the recurrences with sources that always offer and sinks that always take.

        The first beats are offered in cycle 0; with ``pace`` the sources spread each frame evenly over so many
        cycles. Raises :class:`Deadlock` where they come to a stop.
        """
        moved, offered, starts = [], [], []
        for engine in islice(self.frames(pace), frames):
            moved.append({n: cycles.astype(np.int64) for n, cycles in enumerate(engine.moved)})
            offered.append({n: cycles.astype(np.int64) for n, cycles in enumerate(engine.offered)})
            starts.append([cycles.astype(np.int64) for cycles in engine.starts])
        began = tuple(map(np.concatenate, zip(*starts, strict=True)))
        return Run(frames, _joined(moved), *self.ends, _joined(offered), began)

    def settle(
        self, pace: int = 0, shortest: int = 8, longest: int = 64, look: Callable[[Engine], None] | None = None
    ) -> Run:
        """The same until it is proved that all later frames are like the last one, or else for ``shortest`` frames
        and twice, four times as many up to ``longest``, until the last two took as many cycles as each other.

        ``look`` is shown every frame.
        """
        outside, moved, before, enough = sum(self.ends, ()), [], None, shortest
        for engine in self.frames(pace):
            if look:
                look(engine)
            moved.append({link: engine.moved[link].astype(np.int64) for link in outside})
            state = engine.state()
            periodic = before is not None and _shifted(before, state)
            before = state
            if periodic or len(moved) == enough:
                run = Run(len(moved), _joined(moved), *self.ends, {}, periodic=periodic)
                if periodic or run.settled or enough >= longest:
                    return run
                enough *= 2
        raise AssertionError("frames have no end")

    def frames(self, pace: int = 0) -> Iterator[Engine]:
        """Evaluate frame after frame without end; the engine shows the cycles of the frame it is at."""
        engine = Engine(self.actors, self.takes, self.gives, self.beats)
        offers = {link: _offers(self.beats[link], pace) for link in self.ends[0]}
        for frame in count():
            stuck = engine.frame({link: cycles + frame * pace for link, cycles in offers.items()})
            if stuck:
                raise Deadlock(f"the schedule deadlocks at {', '.join(self.actors[n].name for n in stuck)}")
            yield engine

    @property
    def beats(self) -> list[int]:
        """Beats of a frame on each link."""
        beats = [0] * self._links
        for actor, taken, given in zip(self.actors, self.takes, self.gives, strict=True):
            for link, port in zip((*taken, *given), actor.ports, strict=True):
                if beats[link] not in (0, port.beats):
                    raise ValueError(f"{actor.name}: {port.beats} beats on a stream of {beats[link]}")
                beats[link] = port.beats
        return beats

    @property
    def ends(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The links that come from the outside, and those that lead there."""
        readers = {link for taken in self.takes for link in taken}
        makers = {link for given in self.gives for link in given}
        links = range(self._links)
        return tuple(n for n in links if n not in makers), tuple(n for n in links if n not in readers)


def _joined(frames: Sequence[Mapping[int, np.ndarray]]) -> dict[int, np.ndarray]:
    """Cycles of each link, frame after frame."""
    return {link: np.concatenate([frame[link] for frame in frames]) for link in frames[0]}


def _shifted(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether all cycles are later by the same number, and so by the same again in every later frame."""
    shift = after - before
    return bool(shift[0] > 0 and (shift == shift[0]).all())


def _offers(beats: int, pace: int) -> np.ndarray:
    """When a source offers the beats of the first frame."""
    return np.arange(beats) * pace // beats


def run(actors: Sequence[Actor], frames: int = 3) -> Run:
    """Evaluate one block alone, with sources that always offer and sinks that always take."""
    return _alone(actors).run(frames)


def _alone(actors: Sequence[Actor]) -> Web:
    web = Web()
    web.add(actors, [web.link() for _ in range(sum(len(actor.takes) for actor in actors) - len(actors) + 1)])
    return web


#: Frames after which a block is taken to be in steady state, unless it is proved to be before: costs are those from the
#: last but one to the last.
STEADY_FRAMES = 4
_STEADY: dict[bytes, tuple[int, int]] = {}


def steady(actors: Sequence[Actor]) -> tuple[int, int]:
    """Cycles per frame and latency of one block alone; remembered, for layers of a network are often alike."""
    digest = blake2b()
    for actor in actors:
        for value in (actor.busy, *(value for port in actor.ports for value in vars(port).values())):
            digest.update(np.ascontiguousarray(value).data if isinstance(value, np.ndarray) else f"{value};".encode())
    key = digest.digest()
    if key not in _STEADY:
        result = _alone(actors).settle(shortest=STEADY_FRAMES, longest=STEADY_FRAMES)
        _STEADY[key] = result.interval, result.latency
    return _STEADY[key]
