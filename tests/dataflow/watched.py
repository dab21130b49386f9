"""A pipeline watched from within: which beats move over every stream, and how many places of every queue are taken."""

from contextlib import contextmanager
from itertools import pairwise

import numpy as np
from amaranth.hdl import Cat, Mux, Signal

from hwgen.blocks.joints.convert import WidthConverter
from hwgen.blocks.stream import port_names
from hwgen.dataflow.activity import activity
from hwgen.dataflow.pipeline import Pipeline
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import schedule, web_of
from hwgen.graph import golden
from hwgen.memory.queue import Outlet
from hwgen.simulate.bench import from_beats, to_beats
from hwgen.simulate.dram import Memory, memories
from hwgen.testing import Simulated, random_frames

FRAMES = 3


class Watched(Pipeline):
    """A pipeline with ``moves``, a bit for each output of each stage, and the ``outlets`` behind them."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        streams = []
        self._made: list[list[Outlet]] = []
        for block in self.blocks:
            streams += [getattr(block, name) for name in port_names(block)[1]]
            block.elaborate = self._telling(block.elaborate)
        self.moves = Signal(len(streams))
        m.d.comb += self.moves.eq(Cat(stream.valid & stream.ready for stream in streams))
        return m

    def _telling(self, elaborate):
        """``elaborate``, after which outlets that are made are those of the next block."""

        def told(platform):
            self._made.append([])
            return elaborate(platform)

        return told

    @contextmanager
    def counting(self):
        """Remember the outlets of all blocks that are elaborated meanwhile; ``peak`` counts places in each."""
        init, elaborate = Outlet.__init__, Outlet.elaborate

        def remembered(outlet, *args, **options):
            init(outlet, *args, **options)
            self._made[-1].append(outlet)

        def counted(outlet, platform):
            m = elaborate(outlet, platform)
            taken, now, before = (Signal(range(2 * outlet.depth)) for _ in range(3))
            gone = [outlet.o.valid & outlet.o.ready, *(Signal() for _ in range(Outlet.CREDIT - 1))]
            outlet.peak = Signal.like(now)
            debit = Mux(outlet.debit, outlet.amount, 0)
            m.d.comb += [now.eq(taken + debit), outlet.peak.eq(Mux(now > before, now, before))]
            m.d.sync += [later.eq(sooner) for sooner, later in pairwise(gone)]
            m.d.sync += [taken.eq(now - gone[-1]), before.eq(outlet.peak)]
            return m

        Outlet.__init__, Outlet.elaborate = remembered, counted
        try:
            yield
        finally:
            Outlet.__init__, Outlet.elaborate = init, elaborate

    @property
    def outlets(self) -> list[Outlet]:
        """A block's own are made before those within its window buffer, that at the end of a converter is made last."""
        found = []
        for stage, made in zip(self.plan.stages, self._made, strict=True):
            found += made[-1:] if isinstance(stage.unit, WidthConverter) else made[: len(stage.ports)]
        return found


class _Watch:
    """What moves in every cycle, and in the end the most places of each queue that were debited and not given back."""

    def __init__(self, pipeline: Watched):
        self.pipeline, self.moved = pipeline, []

    def __call__(self, ctx, cycle: int) -> None:
        self._ctx = ctx
        self.moved.append(ctx.get(self.pipeline.moves))

    @property
    def peaks(self) -> list[int]:
        return [self._ctx.get(outlet.peak) for outlet in self.pipeline.outlets]


def faults(plan: Plan, seed: int = 0) -> list[str]:
    """Everything in which hardware and schedule of ``plan`` differ, or hardware and golden."""
    network, found = plan.network, []
    frames = random_frames(network.input.map, FRAMES, seed)
    wanted = golden.run(network, frames)
    pipeline = Watched(plan)
    beats = to_beats(frames, network.input.map.type, pipeline.lanes_in)
    lanes = dict(zip(pipeline.results, pipeline.lanes_out, strict=True))
    counts = {name: wanted[stream.name].size // lanes[name] for name, stream in pipeline.results.items()}
    with pipeline.counting():
        simulated = Simulated(pipeline)
    for stall in (None, seed + 1):
        watch = _Watch(pipeline)
        try:
            dram = memories(pipeline, plan, Memory(), FRAMES)
            taken, given = simulated({"i": beats}, counts, stall, limit=200_000, watch=watch, memories=dram)
        except TimeoutError as error:
            found.append(f"stall {stall}: {error}")
            continue
        for name, stream in pipeline.results.items():
            want = wanted[stream.name]
            got = from_beats(given[name].payloads[: counts[name]], stream.map.type, lanes[name]).reshape(want.shape)
            if not np.array_equal(got, want):
                found.append(f"stall {stall}: {name}: {np.count_nonzero(got != want)} of {want.size} are not golden's")
        places = [(stage.name, give.queue) for stage in plan.stages for _, give in stage.ports]
        found += [
            f"stall {stall}: {name}: {peak} places taken of {queue}"
            for (name, queue), peak in zip(places, watch.peaks, strict=True)
            if peak > queue
        ]
        if stall is None:
            found += _other_cycles(plan, watch.moved, taken["i"].cycles) + _other_peaks(plan, watch.peaks)
    return found


def _other_cycles(plan: Plan, moved: list[int], taken: tuple[int, ...]) -> list[str]:
    """Streams with a beat at another cycle than the schedule says, up to the last cycle simulated."""
    run, found = schedule(plan, FRAMES).run, []
    links = [link for group in web_of(plan)[1] for link in group]
    names = [f"{stage.name}.{port}" for stage in plan.stages for port in range(len(stage.ports))]
    for bit, (name, link) in enumerate(zip(names, links, strict=True)):
        got = np.flatnonzero([moves >> bit & 1 for moves in moved])
        want = run.moved[link][run.moved[link] < len(moved)]
        if got.tolist() != want.tolist():
            found.append(f"{name}: beats move in cycles {got[:9]}..., the schedule says {want[:9]}...")
    want = run.taken[run.taken < len(moved)]
    return found if list(taken) == want.tolist() else [*found, f"input: taken in {taken[:9]}, not in {want[:9]}"]


def _other_peaks(plan: Plan, peaks: list[int]) -> list[str]:
    """Queues that were not as full as the schedule says; the hardware ran for fewer frames, and so not all are.

    Places for what comes from DRAM are taken when it is asked for, not when the memory gets to it.
    """
    predicted = activity(plan, FRAMES).peaks
    return [
        f"{plan.stages[n].name}: {got} places taken, the schedule says {want}"
        for ((n, _), want), got in zip(predicted.items(), peaks, strict=True)
        if got != want and n not in plan.memories
    ]
