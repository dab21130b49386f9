"""The engines in front of which a design is tried: two models, and the hardware in two simulators.

``golden`` computes every layer with numpy. ``schedule`` adds the cycles that the model of time predicts. ``amaranth``
runs the hardware in Amaranth's simulator, ``compiled`` runs its Verilog as a compiled program, which is made first and
is much faster; both compare every layer's stream with golden, integer by integer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace

import numpy as np

from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import schedule
from hwgen.graph import golden
from hwgen.graph.errors import InputError
from hwgen.graph.network import Network
from hwgen.simulate.bench import run_amaranth
from hwgen.simulate.compiled import CompiledPlan, level
from hwgen.simulate.differences import RTL, Difference, difference, joined
from hwgen.simulate.dram import Memory
from hwgen.simulate.feed import Cycles, Feed, Reads
from hwgen.simulate.waves import Waves
from hwgen.simulate.workers import HERE, Workers

ENGINES = ("golden", "schedule", "amaranth", "compiled")
HARDWARE = ("amaranth", "compiled")
_GOLDEN_BATCH = 128

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Timing:
    """Cycles seen or predicted: ``taken[n]`` and ``done[n]`` are those in which the first beat of frame ``n`` was taken
    and the last one of its result given."""

    taken: tuple[int, ...]
    done: tuple[int, ...]

    @staticmethod
    def of(plan: Plan, taken: Cycles, given: Sequence[Cycles]) -> "Timing":
        """From the cycles of the first beats of frames, and of all beats given for each output stream."""
        ends = []
        for stream, lanes, cycles in zip(plan.network.results, plan.lanes_out, given, strict=True):
            beats = stream.map.elements // lanes
            ends.append(cycles[beats - 1 :: beats])
        done = tuple(max(map(int, frame)) for frame in zip(*ends, strict=False))
        return Timing(tuple(map(int, taken[: len(done)])), done)

    @property
    def latency(self) -> int:
        """From the first beat of the first frame to the last beat of its result."""
        return self.done[0] - self.taken[0]

    @property
    def interval(self) -> int | None:
        """Cycles per frame, between the last two frames; None for a single frame."""
        return self.done[-1] - self.done[-2] if len(self.done) > 1 else None


@dataclass(frozen=True)
class Traffic:
    """Bytes ``read`` from DRAM, and those ``planned``; how many beats the hardware says came later than the memory's
    contract allows, and from how many memories it had answers in error."""

    read: int
    planned: int
    late: int = 0
    errors: int = 0

    @property
    def equal(self) -> bool:
        """Whether they are as planned."""
        return self.read == self.planned

    def __str__(self) -> str:
        if self.equal:
            late = f"; {self.late:,} beats were late" if self.late else ""
            return f"DRAM        {self.read:,} bytes read, as planned{late}"
        return f"Different: {self.read:,} bytes were read from DRAM, planned {self.planned:,}"


@dataclass(frozen=True, eq=False)
class Simulation:
    """What came out.

    ``streams`` holds the integers [N, H, W, C] of every stream that leaves the network, as the hardware gives them,
    ``results`` each output [N, *shape] by its name, as the model does (before its Softmax or ArgMax, if it had one).
    ``tensors`` holds every layer's integers, ``timing`` the cycles and ``mismatches`` the differences found; they are
    empty where the engine does not give them. Frames simulated in parts leave no tensors, and the timing of the first
    part. ``compared`` counts the integers in which hardware and golden were compared; ``remembered`` says that this was
    done in an earlier run. ``traffic`` is that with DRAM, of hardware that reads from it.
    """

    engine: str
    network: Network
    streams: Mapping[str, np.ndarray]
    results: Mapping[str, np.ndarray]
    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    timing: Timing | None = None
    mismatches: tuple[Difference, ...] = ()
    compared: int = 0
    remembered: bool = False
    traffic: Traffic | None = None

    @property
    def integers(self) -> np.ndarray:
        """The stream that leaves a network with one; the first of several."""
        return self.streams[self.network.output.name]

    @property
    def outputs(self) -> np.ndarray:
        """The result of a network with one; the first of several."""
        return self.results[self.network.outputs[0].name]

    @property
    def measured(self) -> Timing:
        """``timing`` of an engine that has cycles; ValueError for golden."""
        if self.timing is None:
            raise ValueError(f"the engine {self.engine!r} has no cycles")
        return self.timing

    @property
    def equal(self) -> bool:
        """Whether hardware and golden agree in every integer of every layer, as far as both ran."""
        return not self.mismatches

    @property
    def classes(self) -> np.ndarray | None:
        """The class with the highest score of each frame; None where the result is not a vector of scores."""
        shape = self.network.outputs[0].shape
        if len(self.network.outputs) > 1 or max(shape, default=1) != np.prod(shape):
            return None
        return self.outputs.reshape(len(self.outputs), -1).argmax(axis=1)

    @property
    def scores(self) -> np.ndarray:
        """``outputs``, through the Softmax that the model ended in, if it did."""
        if "softmax" not in self.network.head:
            return self.outputs
        flat = self.outputs.reshape(len(self.outputs), -1).astype(np.float64)
        powers = np.exp(flat - flat.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).reshape(self.outputs.shape)


def simulate(
    network: Network,
    plan: Plan | None,
    frames: np.ndarray,
    engine: str = "golden",
    progress: Progress | None = None,
    stall: int | None = None,
    trace: Waves | None = None,
    workers: Workers = HERE,
    memory: Memory | None = None,
) -> Simulation:
    """Run ``frames`` (of the model's own shape, [N, ...] or one) through ``engine``, one of ``ENGINES``.

    ``progress`` is told the share done. In the hardware, ``stall`` is a seed for random pauses at both ends, and
    ``trace`` says what waveforms to write. ``workers`` simulate parts of the frames side by side. What the hardware
    reads from is ``memory``, the slowest within its contract unless given. Raises InputError for an unknown engine, for
    frames that do not fit, and for what an engine or a design does not have; RuntimeError where the hardware stops.
    """
    check_engine(engine, stall, trace, workers, memory)
    if memory is not None and plan is not None and not plan.memories:
        raise InputError("the design reads nothing from DRAM, so there is no memory to choose; leave --memory out")
    integers = golden.network_input(network, frames)
    if not len(integers):
        raise InputError("no frames given")
    progress = progress or (lambda share: None)
    waits = plan is not None and plan.waits_for_load and engine in HARDWARE
    if waits and (trace is not None or workers.several):
        raise InputError(
            "weights in SPRAM or UltraRAM are loaded in one run, of which there are no waveforms: leave --trace, "
            "--jobs and --dask out, or build with --weights fixed"
        )
    compiled = CompiledPlan(plan, level(len(integers)), waits) if plan is not None and engine == "compiled" else None
    task = _Task(engine, network, plan, compiled, trace, memory)
    if not workers.several:
        return task(integers, stall, progress)
    if compiled and workers.dask is None:
        compiled.design.load()  # once, before all threads would
    parts: list[tuple[int, Simulation]] = workers.run(
        replace(task, bare=True), integers, stall, progress, threads=engine == "compiled"
    )
    return _joined(parts)


@dataclass(frozen=True, eq=False)
class _Task:
    """Simulates frames wherever it is sent; ``bare`` leaves away what only a look inside needs."""

    engine: str
    network: Network
    plan: Plan | None
    compiled: CompiledPlan | None
    trace: Waves | None = None
    memory: Memory | None = None
    bare: bool = False

    @property
    def built(self) -> Plan:
        """The plan, which every engine but golden needs; ValueError where there is none."""
        if self.plan is None:
            raise ValueError(f"the engine {self.engine!r} needs a plan")
        return self.plan

    def __call__(self, integers: np.ndarray, stall: int | None, progress: Progress) -> Simulation:
        run = self._hardware if self.engine in HARDWARE else self._model
        result = run(integers, stall, progress)
        return replace(result, tensors={}) if self.bare else result

    def _model(self, integers: np.ndarray, stall: int | None, progress: Progress) -> Simulation:
        """Golden, and the cycles predicted where they are asked for."""
        streams = _golden_streams(self.network, integers, progress)
        timing = None
        if self.engine == "schedule":
            run = schedule(self.built, len(integers)).run
            per_frame = self.network.input.map.elements // self.built.lanes_in
            timing = Timing.of(self.built, run.taken[::per_frame], [run.moved[sink] for sink in run.sinks])
        results = golden.network_outputs(self.network, streams)
        return Simulation(self.engine, self.network, streams, results, timing=timing)

    def _hardware(self, integers: np.ndarray, stall: int | None, progress: Progress) -> Simulation:
        """Every layer from the hardware, compared with golden."""
        feed = Feed.of(self.built, integers)
        if self.compiled:
            ran = self.compiled.run(feed, stall, progress, self.trace, self.memory)
        else:
            ran = run_amaranth(self.built, feed, progress, stall, self.trace, self.memory)
        timing = Timing.of(self.built, [ran.taken[n] for n in feed.firsts], ran.given)
        result = compared(self.engine, self.network, ran.tensors, timing)
        return replace(result, traffic=_traffic(self.built, len(integers), ran.reads))


def _traffic(plan: Plan, frames: int, reads: Reads) -> Traffic | None:
    each = sum(unit.read.region.size for unit in plan.memories.values())
    return Traffic(reads.bytes, frames * each, reads.late, reads.errors) if plan.memories else None


def compared(engine: str, network: Network, tensors: dict[str, np.ndarray], timing: Timing) -> Simulation:
    """Every layer's integers from hardware, held against golden."""
    mismatches = compare(network, golden.run(network, tensors[network.input.name]), tensors)
    streams = {stream.name: tensors[stream.name] for stream in network.results}
    results = golden.network_outputs(network, streams)
    count = sum(tensors[layer.output].size for layer in network.layers if layer.output in tensors)
    return Simulation(engine, network, streams, results, tensors, timing, mismatches, count)


def _joined(parts: Sequence[tuple[int, Simulation]]) -> Simulation:
    """Simulations of parts, each with the number of its first frame, as one."""
    runs = [run for _, run in parts]
    frames = sum(len(run.integers) for run in runs)
    mismatches = (replace(each, frame=each.frame + first) for first, run in parts for each in run.mismatches)
    totals = {layer.output: frames * layer.op.output.elements for layer in runs[0].network.layers}
    return replace(
        runs[0],
        streams={name: np.concatenate([run.streams[name] for run in runs]) for name in runs[0].streams},
        results={name: np.concatenate([run.results[name] for run in runs]) for name in runs[0].results},
        mismatches=joined(mismatches, totals),
        compared=sum(run.compared for run in runs),
        traffic=_sum([run.traffic for run in runs if run.traffic]),
    )


def _sum(parts: Sequence[Traffic]) -> Traffic | None:
    return Traffic(*map(sum, zip(*map(astuple, parts), strict=True))) if parts else None


def check_engine(
    engine: str,
    stall: int | None = None,
    trace: Waves | None = None,
    workers: Workers = HERE,
    memory: Memory | None = None,
) -> None:
    """Raise InputError where there is no such engine, or where it does not do what is asked for."""
    if engine not in ENGINES:
        raise InputError(f"the engine {engine!r} is unknown; choose one of {', '.join(ENGINES)}")
    if workers.jobs > 1 and engine not in HARDWARE:
        raise InputError(f"the engine {engine!r} uses all processors as it is; leave --jobs out")
    if workers.several and engine == "schedule":
        raise InputError("the engine 'schedule' follows all frames through one pipeline; leave --dask out")
    if workers.several and trace is not None:
        raise InputError("waveforms are those of one run; leave --jobs and --dask out")
    for what, given in (("pauses (stall)", stall), ("waveforms (trace)", trace), ("memory", memory)):
        if given is not None and engine not in HARDWARE:
            raise InputError(f"the engine {engine!r} has no {what}; choose one of {', '.join(HARDWARE)}")
    if trace is not None and trace.chosen and engine != "compiled":
        raise InputError(f"the engine {engine!r} traces all layers and cycles; choose some with the engine 'compiled'")


def compare(
    network: Network, expected: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray]
) -> tuple[Difference, ...]:
    """Of every layer whose integers [N, H, W, C] were ``got`` and differ, in the order of the network."""
    found = (
        difference(RTL, layer.output, layer.name, expected[layer.output], got[layer.output])
        for layer in network.layers
        if layer.output in got
    )
    return tuple(filter(None, found))


def _golden_streams(network: Network, integers: np.ndarray, progress: Progress) -> dict[str, np.ndarray]:
    """The integers that leave only, a batch at a time, so that progress can be told."""
    parts = []
    for start in range(0, len(integers), _GOLDEN_BATCH):
        progress(start / len(integers))
        names = [stream.name for stream in network.results]
        batch = golden.run(network, integers[start : start + _GOLDEN_BATCH], names)
        parts.append([batch[name] for name in names])
    progress(1.0)
    joined = map(np.concatenate, zip(*parts, strict=True))
    return {stream.name: integers for stream, integers in zip(network.results, joined, strict=True)}
