"""Simulate blocks in pytest.

>>> from hwgen.testing import check_unit
>>> check_unit(unit)          # golden, stalls, exact cycles
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import numpy as np
from amaranth.lib import wiring
from amaranth.sim import Simulator

from hwgen.blocks.stream import port_names
from hwgen.blocks.unit import Unit
from hwgen.cost.needs import Cost
from hwgen.cost.timing import STEADY_FRAMES, Run, run
from hwgen.graph.types import FeatureMap
from hwgen.hdl.contents import Contents
from hwgen.hdl.elements import Library, Once
from hwgen.simulate.bench import from_beats, to_beats
from hwgen.simulate.dram import ReadMemory, beats_of
from hwgen.simulate.verilated import Beats, CompiledDesign
from hwgen.tools.verilator import QUICK, available


class StreamViolation(AssertionError):
    """A block broke the stream contract: a valid beat was withdrawn or changed before it was taken."""


@dataclass(frozen=True)
class Trace:
    """What moved over one stream: payloads as plain integers, and the cycles in which they moved."""

    payloads: tuple[int, ...]
    cycles: tuple[int, ...]


Inputs = Mapping[str, Sequence[int]]
Outputs = Mapping[str, int]
Moved = tuple[dict[str, Trace], dict[str, Trace]]
#: Payloads of inputs, numbers of beats of outputs, and a seed for stalls: what was taken and what was given, by stream.
Simulation = Callable[[Inputs, Outputs, int | None], Moved]


class Simulated:
    """A block in Amaranth's simulator, elaborated once and run any number of times.

    Called, it feeds ``inputs`` (payloads by input stream) to the block until it gave as many beats as ``outputs`` says.
    Returns what was taken and what was given, by stream. At full speed the sources always offer and the sinks
    always take. With ``stall`` (a seed) both ends pause at random, and a sink takes nothing until it is first
    offered something, so that a ``valid`` that waits for ``ready`` is found. Every output is watched:
    :class:`StreamViolation` when the contract is broken. ``memories`` answer what the block reads. ``watch`` is called
    in every cycle, with what Amaranth gives a test bench and the number of the cycle. Raises :class:`TimeoutError`
    after ``limit`` cycles.
    """

    def __init__(self, block: wiring.Component):
        self.block = block
        self._simulator = Simulator(block)
        self._simulator.add_clock(1e-6)
        self._simulator.add_testbench(self._bench)
        self._ran = False

    def __call__(
        self,
        inputs: Inputs,
        outputs: Outputs,
        stall: int | None = None,
        *,
        limit: int = 1_000_000,
        watch: Callable[[Any, int], None] | None = None,
        memories: Sequence[ReadMemory] = (),
    ) -> Moved:
        random = None if stall is None else Random(stall)
        self._sources = [_Source(getattr(self.block, name), list(beats), random) for name, beats in inputs.items()]
        self._sinks = [_Sink(name, getattr(self.block, name), count, random) for name, count in outputs.items()]
        self._limit, self._watch, self._memories = limit, watch, memories
        if self._ran:
            self._simulator.reset()
        self._ran = True
        self._simulator.run()
        return (
            {name: source.trace for name, source in zip(inputs, self._sources, strict=True)},
            {name: sink.trace for name, sink in zip(outputs, self._sinks, strict=True)},
        )

    async def _bench(self, ctx) -> None:
        ports: list[_Source | _Sink | ReadMemory] = [*self._sources, *self._sinks, *self._memories]

        def cycle_ends(cycle: int) -> bool:
            """Whether all has come after this cycle."""
            for port in ports:
                port.drive(ctx)
            for port in ports:
                port.sample(ctx, cycle)
            if self._watch:
                self._watch(ctx, cycle)
            return all(len(sink.cycles) >= sink.count for sink in self._sinks)

        if cycle_ends(0):
            return
        cycle = 0
        async for _ in ctx.tick():  # one trigger for all cycles: making one takes longer than some blocks do
            cycle += 1
            if cycle == self._limit:
                break
            if cycle_ends(cycle):
                return
        raise TimeoutError(f"after {self._limit} cycles only {[len(sink.cycles) for sink in self._sinks]} beats came")


#: Cycles that Amaranth's simulator needs less time for than a compiler takes to make a program of a block, where it has
#: few multipliers; with this many more a cycle takes twice the time.
FEW_CYCLES, MANY_MULTIPLIERS = 2500, 16


def simulation(make: Callable[[], wiring.Component], cycles: int, library: Library | None = None) -> Simulation:
    """:class:`Simulated` of what ``make`` makes, to be called with ``inputs``, ``outputs`` and ``stall``; made once, as
    a program of its Verilog, where it will run for many ``cycles`` in all and this machine can compile one. Those of a
    pipeline are the cycles of all its blocks. What is in ``library`` already is not made again."""
    if cycles > FEW_CYCLES and available():
        return partial(_run_compiled, CompiledDesign(make(), QUICK, made=library))
    return Simulated(make())


def _run_compiled(design: CompiledDesign, inputs: Inputs, outputs: Outputs, stall: int | None = None) -> Moved:
    payloads = {name: Contents.of(beats, design.widths[name]).rows for name, beats in inputs.items()}
    traces = {name: _trace(moved) for name, moved in design.run(payloads, outputs, stall=stall).items()}
    return {name: traces[name] for name in inputs}, {name: traces[name] for name in outputs}


def _trace(beats: Beats) -> Trace:
    payloads = (int.from_bytes(row.tobytes(), "little") for row in beats.payloads)
    return Trace(tuple(payloads), tuple(beats.cycles.tolist()))


class _Source:
    """Offers payloads; an offered beat stays offered, so the source keeps the contract too."""

    def __init__(self, port, beats: list[int], random: Random | None):
        self.valid, self.ready, self.payload = port.valid, port.ready, port.payload.as_value()
        self.beats, self.random = beats, random
        self.cycles: list[int] = []
        self.offering = False
        self.shown: int | None = None  # the beat at the port; setting it in every cycle would take its time

    @property
    def trace(self) -> Trace:
        return Trace(tuple(self.beats[: len(self.cycles)]), tuple(self.cycles))

    def drive(self, ctx) -> None:
        left = len(self.cycles) < len(self.beats)
        self.offering = left and (self.offering or self.random is None or self.random.random() < 0.6)
        beat = len(self.cycles) if self.offering else -1
        if beat == self.shown:
            return
        self.shown = beat
        ctx.set(self.valid, self.offering)
        if self.offering:
            ctx.set(self.payload, self.beats[beat])

    def sample(self, ctx, cycle: int) -> None:
        if self.offering and ctx.get(self.ready):
            self.cycles.append(cycle)
            self.offering = False


class _Sink:
    """Takes ``count`` beats and watches what is offered."""

    def __init__(self, name: str, port, count: int, random: Random | None):
        self.valid, self.ready, self.payload = port.valid, port.ready, port.payload.as_value()
        self.name, self.count, self.random = name, count, random
        self.payloads: list[int] = []
        self.cycles: list[int] = []
        self.held: int | None = None
        self.seen = False
        self.taking: bool | None = None  # what is at ready

    @property
    def trace(self) -> Trace:
        return Trace(tuple(self.payloads), tuple(self.cycles))

    def drive(self, ctx) -> None:
        taking = self.random is None or (self.seen and self.random.random() < 0.5)
        if taking != self.taking:
            ctx.set(self.ready, taking)
            self.taking = taking

    def sample(self, ctx, cycle: int) -> None:
        valid = ctx.get(self.valid)
        payload: int | None = ctx.get(self.payload) if valid else None
        if self.held is not None and payload != self.held:
            raise StreamViolation(f"cycle {cycle}: {self.name} offered {self.held:#x}, then {payload}")
        self.held = payload if valid and not self.taking else None
        self.seen |= bool(valid)
        if payload is not None and self.taking:
            self.payloads.append(payload)
            self.cycles.append(cycle)


def random_frames(map_: FeatureMap, frames: int, seed: int = 0) -> np.ndarray:
    """Frames [N, H, W, C] of ``map_``'s type, extremes included."""
    generator = np.random.default_rng(seed)
    values = generator.integers(map_.type.min, map_.type.max, (frames, *map_.shape), endpoint=True, dtype=np.int64)
    extreme = generator.random(values.shape) < 0.1
    values[extreme] = generator.choice([map_.type.min, map_.type.max], int(extreme.sum()))
    return values.astype(map_.type.dtype)


def check_unit(unit: Unit, frames: int = STEADY_FRAMES, seed: int = 0, library: Library | None = None) -> None:
    """The harness all units pass: equal to golden at full speed and under stalls, and exact in their cycles.

    Full speed: every output beat moves in the very cycle that :attr:`Unit.actors` gives, and every input beat
    too; :attr:`Unit.cost` states the cycles per frame and the latency seen here. A block that is compiled is made with
    ``library``, under the unit.
    """
    block = Once(unit.block(), unit)
    sources, sinks = port_names(block)
    x = [random_frames(port.map, frames, seed + n) for n, port in enumerate(unit.inputs)]
    streams = [name for name in sources if name != "w"]
    beats = {name: to_beats(v, p.map.type, p.lanes) for name, v, p in zip(streams, x, unit.inputs, strict=True)}
    if unit.memory:
        beats["w"] = list(beats_of(unit.memory.given(unit.memory_image) * frames, unit.memory.region.bus))
    wanted = dict(zip(sinks, zip(unit.golden(*x), unit.outputs, strict=True), strict=True))
    for want, port in wanted.values():
        if want.shape != (frames, *port.map.shape):
            raise AssertionError(f"golden gives {want.shape[1:]}, the type says {port.map.shape}")
    stalls, cost = (None, seed + 1, seed + 2), unit.cost
    work = 1 + sum(products.count for products in cost.products) / MANY_MULTIPLIERS
    simulated = simulation(lambda: block, int(len(stalls) * frames * cost.cycles * work), library)
    for stall in stalls:
        taken, given = simulated(beats, {name: frames * port.beats for name, (_, port) in wanted.items()}, stall)
        for name, (want, port) in wanted.items():
            got = from_beats(given[name].payloads, port.map.type, port.lanes).reshape(want.shape)
            np.testing.assert_array_equal(got, want, err_msg=f"{name}, stall {stall}", strict=False)
        if stall is None:
            check_cycles(run(unit.actors, frames), taken, given)
            _check_cost(cost, frames, taken[sources[0]], given[sinks[0]])


def check_cycles(predicted: Run, taken: Mapping[str, Trace], given: Mapping[str, Trace]) -> None:
    """Every beat moved in the very cycle that ``predicted`` has; AssertionError names the stream where not."""
    for name, trace, link in zip(taken, taken.values(), predicted.sources, strict=True):
        want = predicted.moved[link][: len(trace.cycles)]
        np.testing.assert_array_equal(trace.cycles, want, err_msg=f"cycles of beats taken by {name}")
    for name, trace, link in zip(given, given.values(), predicted.sinks, strict=True):
        want = predicted.moved[link][: len(trace.cycles)]
        np.testing.assert_array_equal(trace.cycles, want, err_msg=f"cycles of beats given by {name}")


def _check_cost(cost: Cost, frames: int, taken: Trace, given: Trace) -> None:
    latency = given.cycles[0] - taken.cycles[0]
    if latency != cost.latency:
        raise AssertionError(f"latency {latency}, cost says {cost.latency}")
    per_frame = len(given.cycles) // frames
    interval = given.cycles[-1] - given.cycles[-1 - per_frame]
    if frames == STEADY_FRAMES and interval != cost.cycles:
        raise AssertionError(f"{interval} cycles per frame, cost says {cost.cycles}")
