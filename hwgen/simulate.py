"""The engines in front of which a design is tried: the golden model, and the hardware in two simulators.

``golden`` computes every layer with numpy; ``rtl`` runs the Amaranth pipeline cycle by cycle with a source that
always offers and a sink that always takes; ``both`` runs the two and compares every layer's stream, integer by
integer; ``compiled`` does the same with the hardware as a compiled program, which is made first and runs much faster.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from amaranth.sim import Simulator

from hwgen.compiled import CompiledPlan
from hwgen.dataflow.pipeline import Pipeline, output_names
from hwgen.dataflow.plan import Plan
from hwgen.graph import golden
from hwgen.graph.errors import InputError
from hwgen.graph.network import Network
from hwgen.graph.types import FeatureMap
from hwgen.testing import from_beats, to_beats

ENGINES = ("golden", "rtl", "both", "compiled")
_GOLDEN_BATCH = 128
_PROGRESS_CYCLES = 64

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Mismatch:
    """The first integer in which a layer's hardware differs from golden, and how many there are."""

    layer: str
    frame: int
    row: int
    column: int
    channel: int
    golden: int
    rtl: int
    count: int
    total: int

    def __str__(self) -> str:
        return (
            f"layer {self.layer!r} differs from golden in {self.count} of {self.total} integers, first in frame "
            f"{self.frame} at row {self.row}, column {self.column}, channel {self.channel}: "
            f"golden {self.golden}, RTL {self.rtl}"
        )


@dataclass(frozen=True)
class Timing:
    """Cycles seen in RTL simulation: ``taken[n]`` and ``done[n]`` are those in which the first beat of frame ``n``
    was taken and the last one of its result given."""

    taken: tuple[int, ...]
    done: tuple[int, ...]

    @property
    def latency(self) -> int:
        """From the first beat of the first frame to the last beat of its result."""
        return self.done[0] - self.taken[0]

    @property
    def interval(self) -> int | None:
        """Cycles per frame, between the last two frames; None for a single frame."""
        return self.done[-1] - self.done[-2] if len(self.done) > 1 else None


@dataclass(frozen=True, eq=False)
class Simulation:
    """What came out.

    ``streams`` holds the integers [N, H, W, C] of every stream that leaves the network, as the hardware gives them,
    ``results`` each output [N, *shape] by its name, as the model does (before its Softmax or ArgMax, if it had one).
    ``tensors`` holds every layer's integers, ``timing`` the cycles and ``mismatches`` the differences found; they are
    empty where the engine does not give them.
    """

    engine: str
    network: Network
    streams: Mapping[str, np.ndarray]
    results: Mapping[str, np.ndarray]
    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    timing: Timing | None = None
    mismatches: tuple[Mismatch, ...] = ()

    @property
    def integers(self) -> np.ndarray:
        """The stream that leaves a network with one; the first of several."""
        return self.streams[self.network.output.name]

    @property
    def outputs(self) -> np.ndarray:
        """The result of a network with one; the first of several."""
        return self.results[self.network.outputs[0].name]

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
) -> Simulation:
    """Run ``frames`` (of the model's own shape, [N, ...] or one) through ``engine``, one of ``ENGINES``.

    ``progress`` is told the share done. Raises InputError for an unknown engine or frames that do not fit,
    TimeoutError where the hardware stops.
    """
    if engine not in ENGINES:
        raise InputError(f"the engine {engine!r} is unknown; choose one of {', '.join(ENGINES)}")
    integers = golden.network_input(network, frames)
    if not len(integers):
        raise InputError("no frames given")
    progress = progress or (lambda share: None)
    if engine == "golden":
        streams = _golden_streams(network, integers, progress)
        return Simulation(engine, network, streams, golden.network_outputs(network, streams))
    run = run_compiled if engine == "compiled" else run_rtl
    tensors, timing = run(network, plan, integers, progress)
    mismatches = () if engine == "rtl" else compare(network, golden.run(network, integers), tensors)
    streams = {stream.name: tensors[stream.name] for stream in network.results}
    results = golden.network_outputs(network, streams)
    return Simulation(engine, network, streams, results, tensors, timing, mismatches)


def compare(
    network: Network, expected: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray]
) -> tuple[Mismatch, ...]:
    """Every layer whose integers [N, H, W, C] differ, in the order of the network."""
    return tuple(
        _first_mismatch(layer.name, expected[layer.output], got[layer.output])
        for layer in network.layers
        if not np.array_equal(expected[layer.output], got[layer.output])
    )


def _first_mismatch(layer: str, expected: np.ndarray, got: np.ndarray) -> Mismatch:
    wrong = expected != got
    place = tuple(int(index) for index in np.argwhere(wrong)[0])
    return Mismatch(layer, *place, int(expected[place]), int(got[place]), int(wrong.sum()), wrong.size)


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


# The hardware


def run_rtl(
    network: Network, plan: Plan, integers: np.ndarray, progress: Progress | None = None
) -> tuple[dict[str, np.ndarray], Timing]:
    """Every layer's integers and the cycles seen, for input integers [N, H, W, C]."""
    pipeline = Pipeline(plan)
    simulator = Simulator(pipeline)  # elaborates, so that there are blocks to watch
    bench = _Bench(network, pipeline, integers, progress or (lambda share: None))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench.run)
    simulator.run()
    return bench.tensors(), bench.timing()


def run_compiled(
    network: Network, plan: Plan, integers: np.ndarray, progress: Progress | None = None
) -> tuple[dict[str, np.ndarray], Timing]:
    """The same by the compiled engine."""
    tensors, beats = CompiledPlan(plan).run(integers, progress=progress or (lambda share: None))
    taken, per_frame = beats["i"].cycles.tolist(), network.input.map.elements // plan.lanes_in
    given = [beats[name].cycles.reshape(len(integers), -1)[:, -1] for name in output_names(len(network.results))]
    return tensors, Timing(tuple(taken[::per_frame]), tuple(np.max(given, axis=0).tolist()))


class _Tap:
    """Watches one stream: what moved, and when."""

    def __init__(self, stream, tensor: str, map_: FeatureMap, frames: int):
        self.valid, self.ready, self.payload = stream.valid, stream.ready, stream.payload.as_value()
        self.tensor, self.map, self.frames = tensor, map_, frames
        self.lanes = len(self.payload) // map_.type.width
        self.per_frame = map_.elements // self.lanes
        self.beats: list[int] = []
        self.cycles: list[int] = []

    @property
    def expected(self) -> int:
        """Beats of all frames."""
        return self.frames * self.per_frame

    @property
    def full(self) -> bool:
        return len(self.beats) >= self.expected

    def sample(self, ctx, cycle: int) -> bool:
        """Whether a beat moves in this cycle; it is kept if so."""
        moves = bool(ctx.get(self.valid) and ctx.get(self.ready))
        if moves:
            self.beats.append(ctx.get(self.payload))
            self.cycles.append(cycle)
        return moves

    def integers(self) -> np.ndarray:
        flat = from_beats(self.beats[: self.expected], self.map.type, self.lanes)
        return flat.reshape(self.frames, *self.map.shape).astype(self.map.type.dtype)


class _Bench:
    """A source that always offers, a sink that always takes, and a tap on every layer."""

    def __init__(self, network: Network, pipeline: Pipeline, integers: np.ndarray, progress: Progress):
        frames = len(integers)
        self.progress, self.pipeline = progress, pipeline
        # Some layer moves a beat at least once a frame.
        self.patience = 1000 + 2 * max(layer.cost.cycles for layer in pipeline.plan.layers)
        self.source = _Tap(pipeline.i, network.input.name, network.input.map, frames)
        self.beats = to_beats(integers, network.input.map.type, self.source.lanes)
        self.taps = [
            _Tap(pipeline.streams[layer.name], layer.output, network.tensors[layer.output].map, frames)
            for layer in network.layers
        ]
        self.results = [
            _Tap(getattr(pipeline, name), stream.name, stream.map, frames) for name, stream in pipeline.results.items()
        ]

    async def run(self, ctx) -> None:
        for result in self.results:
            ctx.set(result.ready, 1)
        streams = (self.source, *self.taps, *self.results)
        total = sum(tap.expected for tap in streams)
        cycle, last_move = 0, 0
        while not all(tap.full for tap in (*self.taps, *self.results)):
            self._offer(ctx)
            if sum(tap.sample(ctx, cycle) for tap in streams):
                last_move = cycle
            elif cycle - last_move > self.patience:
                raise TimeoutError(f"the hardware stands still from cycle {last_move} on")
            if cycle % _PROGRESS_CYCLES == 0:
                self.progress(min(sum(len(tap.beats) for tap in streams) / total, 1.0))
            await ctx.tick()
            cycle += 1

    def _offer(self, ctx) -> None:
        at = len(self.source.beats)
        left = at < len(self.beats)
        ctx.set(self.pipeline.i.valid, left)
        if left:
            ctx.set(self.source.payload, self.beats[at])

    def tensors(self) -> dict[str, np.ndarray]:
        return {tap.tensor: tap.integers() for tap in (self.source, *self.taps)}

    def timing(self) -> Timing:
        ends = zip(*(result.cycles[result.per_frame - 1 :: result.per_frame] for result in self.results), strict=False)
        return Timing(tuple(self.source.cycles[:: self.source.per_frame]), tuple(map(max, ends)))
