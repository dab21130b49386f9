"""Hardware in Amaranth's simulator: frames in, every layer's integers and the cycles out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from amaranth.sim import Simulator

from hwgen.dataflow.pipeline import Pipeline
from hwgen.dataflow.plan import Plan
from hwgen.graph.types import FeatureMap, IntType
from hwgen.hdl.contents import Contents
from hwgen.simulate.dram import Memory, memories, patience
from hwgen.simulate.feed import Feed, Ran, Reads, unpacked
from hwgen.simulate.waves import Waves
from hwgen.top.loader import LoadedPipeline

_PROGRESS_CYCLES = 64
_SHARE = 0.6  # of the cycles in which an end with pauses moves

Progress = Callable[[float], None]


def to_beats(values: np.ndarray, type_: IntType, lanes: int) -> list[int]:
    """Integers in raster order as payloads of ``lanes`` elements, the first lowest."""
    return list(Contents.packed(np.asarray(values).reshape(-1, lanes), type_.width))


def from_beats(beats: Sequence[int], type_: IntType, lanes: int) -> np.ndarray:
    """The integers of payloads, flat."""
    return unpacked(Contents.of(beats, type_.width * lanes).rows, type_, lanes)


def run_amaranth(
    plan: Plan,
    feed: Feed,
    progress: Progress,
    stall: int | None = None,
    trace: Waves | None = None,
    memory: Memory | None = None,
) -> Ran:
    """What comes of ``feed`` in the hardware of ``plan``.

    ``stall`` is a seed for random pauses at both ends; ``trace`` names a file for waveforms. ``memory`` is what the
    hardware reads from, the slowest within its contract unless given. Raises TimeoutError where the hardware stops,
    and :class:`hwgen.simulate.dram.MemoryFault` where it reads what it must not.
    """
    pipeline = Pipeline(plan) if feed.loads is None else LoadedPipeline(Pipeline(plan))
    simulator = Simulator(pipeline)  # elaborates, so that there are blocks to watch
    bench = _Bench(pipeline, feed, progress, stall, memory or Memory())
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench.run)
    with _waves(simulator, trace):
        simulator.run()
    return Ran(bench.tensors(), bench.source.cycles, [result.cycles for result in bench.results], bench.reads)


@contextmanager
def _waves(simulator: Simulator, trace: Waves | None) -> Iterator[None]:
    """Waveforms of the run, in a file that is closed where the disk is full, too."""
    if trace is None:
        yield
        return
    with open(trace.path, "w", encoding="utf-8") as file, simulator.write_vcd(file):
        yield


class _Recorder:
    """Watches one stream, of which ``expected`` beats are to come: what moved, and when."""

    def __init__(self, stream, expected: int):
        self.valid, self.ready, self.payload = stream.valid, stream.ready, stream.payload.as_value()
        self.expected = expected
        self.beats: list[int] = []
        self.cycles: list[int] = []

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


class _Frames(_Recorder):
    """Watches a stream of frames of ``map``."""

    def __init__(self, stream, tensor: str, map_: FeatureMap, frames: int):
        self.tensor, self.map, self.frames = tensor, map_, frames
        self.lanes = len(stream.payload.as_value()) // map_.type.width
        super().__init__(stream, frames * map_.elements // self.lanes)

    def integers(self) -> np.ndarray:
        flat = from_beats(self.beats[: self.expected], self.map.type, self.lanes)
        return flat.reshape(self.frames, *self.map.shape)


class _Bench:
    """A source that always offers and a sink that always takes, or both with pauses; every layer is recorded."""

    def __init__(
        self, pipeline: Pipeline | LoadedPipeline, feed: Feed, progress: Progress, stall: int | None, memory: Memory
    ):
        network, frames = pipeline.plan.network, len(feed.integers)
        self.random = None if stall is None else np.random.default_rng(stall)
        self.progress, self.pipeline = progress, pipeline
        self.offered = 0  # beats that were offered so far
        # Some layer moves a beat at least once a frame.
        self.patience = 1000 + 2 * max(layer.cost.cycles for layer in pipeline.plan.layers) + patience(pipeline.plan)
        self.memories = memories(pipeline, pipeline.plan, memory, frames)
        self.integers = feed.integers
        self.beats = [int.from_bytes(payload.tobytes(), "little") for payload in feed.payloads]
        self.source = _Recorder(pipeline.i, len(self.beats))
        self.layers = [
            _Frames(pipeline.streams[layer.name], layer.output, network.tensors[layer.output].map, frames)
            for layer in pipeline.plan.layers
        ]
        self.results = [
            _Frames(getattr(pipeline, name), stream.name, stream.map, frames)
            for name, stream in pipeline.results.items()
        ]

    async def run(self, ctx) -> None:
        streams = (self.source, *self.layers, *self.results)
        total = sum(recorder.expected for recorder in streams)
        cycle, last_move = 0, 0
        while not all(recorder.full for recorder in (*self.layers, *self.results)):
            self._offer(ctx)
            for memory in self.memories:
                memory.drive(ctx)
            for result in self.results:
                ctx.set(result.ready, self._goes(ctx.get(result.valid)))
            if sum(recorder.sample(ctx, cycle) for recorder in streams):
                last_move = cycle
            elif cycle - last_move > self.patience:
                raise TimeoutError(f"the hardware stands still from cycle {last_move} on")
            for memory in self.memories:
                memory.sample(ctx, cycle)
            if cycle % _PROGRESS_CYCLES == 0:
                self.progress(min(sum(len(recorder.beats) for recorder in streams) / total, 1.0))
            await ctx.tick()
            cycle += 1
        self.reads = self._reads(ctx)

    def _reads(self, ctx) -> Reads:
        """What all memories brought, and what the hardware says of that."""
        return Reads.sum(
            Reads(memory.bytes, ctx.get(memory.port.late), ctx.get(memory.port.error)) for memory in self.memories
        )

    def _goes(self, seen: bool) -> bool:
        """Whether an end moves in this cycle: always at full speed, else at random."""
        return True if self.random is None else bool(seen and self.random.random() < _SHARE)

    def _offer(self, ctx) -> None:
        """What is offered stays until it is taken."""
        at = len(self.source.beats)
        if at == len(self.beats):
            self.offered = 0
        elif at == self.offered:
            self.offered += self._goes(True)
        ctx.set(self.pipeline.i.valid, self.offered > at)
        if self.offered > at:
            ctx.set(self.source.payload, self.beats[at])

    def tensors(self) -> dict[str, np.ndarray]:
        given = {self.pipeline.plan.network.input.name: self.integers}
        return given | {recorder.tensor: recorder.integers() for recorder in self.layers}
