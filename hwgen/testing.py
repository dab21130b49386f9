"""Simulate blocks in pytest.

>>> from hwgen.testing import check_operator
>>> check_operator(operator, folding)          # golden, stalls, exact cycles
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from amaranth.lib import wiring
from amaranth.sim import Simulator

from hwgen.blocks.operator import STEADY_FRAMES, Operator
from hwgen.blocks.timing import run
from hwgen.graph.types import FeatureMap, IntType


class StreamViolation(AssertionError):
    """A block broke the stream contract: a valid beat was withdrawn or changed before it was taken."""


@dataclass(frozen=True)
class Trace:
    """What moved over one stream: payloads as plain integers, and the cycles in which they moved."""

    payloads: tuple[int, ...]
    cycles: tuple[int, ...]


def to_beats(values: np.ndarray, type_: IntType, lanes: int) -> list[int]:
    """Integers in raster order as payloads of ``lanes`` elements, the first lowest."""
    masked = np.asarray(values).astype(np.int64).reshape(-1, lanes) & ((1 << type_.width) - 1)
    return [sum(int(value) << (type_.width * lane) for lane, value in enumerate(beat)) for beat in masked]


def from_beats(beats: Sequence[int], type_: IntType, lanes: int) -> np.ndarray:
    """The integers of payloads, flat."""
    mask = (1 << type_.width) - 1
    flat = np.array([(beat >> (type_.width * lane)) & mask for beat in beats for lane in range(lanes)], np.int64)
    return np.where(flat > type_.max, flat - (1 << type_.width), flat) if type_.signed else flat


def simulate(
    block: wiring.Component,
    inputs: Sequence[int],
    outputs: int,
    *,
    stall: int | None = None,
    limit: int = 1_000_000,
    vcd: str | None = None,
) -> tuple[Trace, dict[str, Trace]]:
    """Run ``block`` (one input stream ``i``, output streams ``o`` or ``o_0``, ...) until it gave ``outputs`` beats.

    At full speed the source always offers and the sinks always take. With ``stall`` (a seed) both ends pause
    at random, and the sinks take nothing until they are first offered something, so that a ``valid`` that waits
    for ``ready`` is found. Every output is watched: :class:`StreamViolation` when the contract is broken. Raises
    :class:`TimeoutError` after ``limit`` cycles.
    """
    names = [name for name in block.signature.members if name == "o" or name.startswith("o_")]
    bench = _Bench(block, names, list(inputs), outputs, stall, limit)
    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench.run)
    if vcd:
        with simulator.write_vcd(vcd):
            simulator.run()
    else:
        simulator.run()
    return Trace(tuple(inputs[: len(bench.taken)]), tuple(bench.taken)), {
        name: Trace(tuple(payload for payload, _ in moved), tuple(cycle for _, cycle in moved))
        for name, moved in bench.given.items()
    }


class _Bench:
    """The test bench: one source, any number of sinks, a monitor on each."""

    def __init__(self, block, names, inputs, outputs, stall, limit):
        self.block, self.inputs, self.outputs, self.limit = block, inputs, outputs, limit
        self.taken: list[int] = []
        self.given: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
        self.held: dict[str, int | None] = dict.fromkeys(names)
        self.seen: set[str] = set()
        self.random = None if stall is None else Random(stall)
        self.offering = False

    async def run(self, ctx):
        for cycle in range(self.limit):
            self._drive_source(ctx)
            for name in self.given:
                self._drive_sink(ctx, name)
            self._sample(ctx, cycle)
            if all(len(moved) >= self.outputs for moved in self.given.values()):
                return
            await ctx.tick()
        raise TimeoutError(f"after {self.limit} cycles only {[len(moved) for moved in self.given.values()]} beats came")

    def _drive_source(self, ctx) -> None:
        left = len(self.taken) < len(self.inputs)
        # An offered beat stays offered: the source keeps the contract too.
        self.offering = left and (self.offering or self.random is None or self.random.random() < 0.6)
        ctx.set(self.block.i.valid, self.offering)
        if self.offering:
            ctx.set(self.block.i.payload.as_value(), self.inputs[len(self.taken)])

    def _drive_sink(self, ctx, name: str) -> None:
        ready = self.random is None or (name in self.seen and self.random.random() < 0.5)
        ctx.set(getattr(self.block, name).ready, ready)

    def _sample(self, ctx, cycle: int) -> None:
        if self.offering and ctx.get(self.block.i.ready):
            self.taken.append(cycle)
            self.offering = False
        for name, moved in self.given.items():
            port = getattr(self.block, name)
            valid, ready = ctx.get(port.valid), ctx.get(port.ready)
            payload = ctx.get(port.payload.as_value()) if valid else None
            if self.held[name] is not None and payload != self.held[name]:
                raise StreamViolation(f"cycle {cycle}: {name} offered {self.held[name]:#x}, then {payload}")
            self.held[name] = payload if valid and not ready else None
            if valid:
                self.seen.add(name)
                if ready:
                    moved.append((payload, cycle))


def random_frames(map_: FeatureMap, frames: int, seed: int = 0) -> np.ndarray:
    """Frames [N, H, W, C] of ``map_``'s type, extremes included."""
    generator = np.random.default_rng(seed)
    values = generator.integers(map_.type.min, map_.type.max, (frames, *map_.shape), endpoint=True, dtype=np.int64)
    extreme = generator.random(values.shape) < 0.1
    values[extreme] = generator.choice([map_.type.min, map_.type.max], int(extreme.sum()))
    return values.astype(map_.type.dtype)


def check_operator(operator: Operator, folding, frames: int = STEADY_FRAMES, seed: int = 0) -> None:
    """The harness all operators pass: equal to golden at full speed and under stalls, and exact in its cycles.

    Full speed: every output beat moves in the very cycle that :meth:`Operator.actors` gives, and every input beat
    too; :meth:`Operator.cost` states the cycles per frame and the latency seen here.
    """
    x = random_frames(operator.input, frames, seed)
    want = operator.golden(x)
    if want.shape != (frames, *operator.output.shape):
        raise AssertionError(f"golden gives {want.shape[1:]}, the type says {operator.output.shape}")
    type_, lanes = operator.output.type, folding.lanes_out
    beats = to_beats(x, operator.input.type, folding.lanes_in)
    for stall in (None, seed + 1, seed + 2):
        expected = frames * operator.output.elements // lanes
        taken, given = simulate(operator.block(folding), beats, expected, stall=stall)
        for name, trace in given.items():
            got = from_beats(trace.payloads, type_, lanes).reshape(want.shape)
            np.testing.assert_array_equal(got, want, err_msg=f"{name}, stall {stall}", strict=False)
        if stall is None:
            for trace in given.values():
                _check_cycles(operator, folding, frames, taken, trace)


def _check_cycles(operator: Operator, folding, frames: int, taken: Trace, given: Trace) -> None:
    predicted = run(operator.actors(folding), frames)
    np.testing.assert_array_equal(given.cycles, predicted.moved[-1], err_msg="cycles of output beats")
    seen = len(taken.cycles)
    np.testing.assert_array_equal(taken.cycles, predicted.moved[0][:seen], err_msg="cycles of input beats")
    cost = operator.cost(folding)
    latency = given.cycles[0] - taken.cycles[0]
    if latency != cost.latency:
        raise AssertionError(f"latency {latency}, cost says {cost.latency}")
    per_frame = len(given.cycles) // frames
    interval = given.cycles[-1] - given.cycles[-1 - per_frame]
    if frames == STEADY_FRAMES and interval != cost.cycles:
        raise AssertionError(f"{interval} cycles per frame, cost says {cost.cycles}")
