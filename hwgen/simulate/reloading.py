"""Hardware with loaded weights in simulation: load, infer, load others, infer, all in one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.dataflow.pipeline import Pipeline, output_names
from hwgen.dataflow.plan import Plan
from hwgen.graph import golden
from hwgen.graph.errors import InputError
from hwgen.simulate.bench import run_bench
from hwgen.simulate.compiled import level, unpacked
from hwgen.simulate.simulation import HARDWARE, Cycles, Progress, Simulation, Timing, check_engine, compare, simulate
from hwgen.simulate.verilated import Beats, CompiledDesign
from hwgen.simulate.waves import Waves
from hwgen.simulate.workers import HERE, Workers
from hwgen.top.axi import tdata_words
from hwgen.top.loader import LoadedPipeline, LoadPlan
from hwgen.top.made import library_of


@dataclass(frozen=True, eq=False)
class Step:
    """``integers`` [N, H, W, C] through the hardware with the constants of ``plan``, which are loaded before unless
    ``loads`` is False: then it has them already."""

    plan: Plan
    integers: np.ndarray
    loads: bool = True


def simulate_loaded(
    plan: Plan,
    frames: np.ndarray,
    engine: str,
    progress: Progress = lambda share: None,
    stall: int | None = None,
    trace: Waves | None = None,
    workers: Workers = HERE,
) -> Simulation:
    """:func:`hwgen.simulate.simulation.simulate` of hardware that works only once it is loaded.

    InputError for ``trace`` and ``workers``, which it does not have.
    """
    check_engine(engine, stall, trace, workers)
    if trace is not None or workers.several:
        raise InputError(
            "weights in SPRAM are loaded in one run, of which there are no waveforms: leave --trace, --jobs "
            "and --dask out, or build with --weights fixed"
        )
    integers = golden.network_input(plan.network, frames)
    if not len(integers):
        raise InputError("no frames given")
    (result,) = simulate_steps([Step(plan, integers)], engine, stall, progress)
    return result


def run_engine(plan: Plan, frames: np.ndarray, engine: str, *how: Any) -> Simulation:
    """``frames`` through ``engine``; hardware that holds no weights at power-up is loaded first."""
    if engine in HARDWARE and plan.waits_for_load:
        return simulate_loaded(plan, frames, engine, *how)
    return simulate(plan.network, plan, frames, engine, *how)


def simulate_steps(
    steps: Sequence[Step],
    engine: str = "amaranth",
    stall: int | None = None,
    progress: Progress = lambda share: None,
) -> list[Simulation]:
    """What comes of each step, every layer compared with golden; the hardware is that of the first plan.

    ``engine`` and ``stall`` are as in :func:`hwgen.simulate.simulation.simulate`. Raises InputError for an engine
    without hardware, RuntimeError where the hardware stops.
    """
    if engine not in HARDWARE:
        raise InputError(f"the engine {engine!r} has no hardware to load; choose one of {', '.join(HARDWARE)}")
    core = LoadedPipeline(Pipeline(steps[0].plan, watched=engine == "compiled"))
    beats, firsts = _beats(steps, core.loads)
    integers = np.concatenate([step.integers for step in steps])
    run = _compiled if engine == "compiled" else _amaranth
    tensors, taken, given = run(core, integers, beats, stall, progress)
    results, start = [], 0
    for step in steps:
        end = start + len(step.integers)
        own = {name: values[start:end] for name, values in tensors.items()}
        results.append(_result(step.plan, engine, own, [taken[n] for n in firsts[start:end]], given, slice(start, end)))
        start = end
    return results


def _beats(steps: Sequence[Step], loads: LoadPlan) -> tuple[list[int], list[int]]:
    """Payloads of everything that comes in, and which of them are the first of frames."""
    beats: list[int] = []
    firsts: list[int] = []
    for step in steps:
        if step.loads:
            beats += load_payloads(step.plan.load_image(), loads)
        firsts += range(len(beats), len(beats) + len(step.integers) * loads.beats, loads.beats)
        beats += frame_payloads(step.integers, loads)
    return beats, firsts


def load_payloads(image: bytes, loads: LoadPlan) -> list[int]:
    """A load of ``image`` as payloads of :attr:`LoadPlan.layout`, the last byte filled up with zeros."""
    size = loads.beat_bytes
    parts = [image[at : at + size] for at in range(0, len(image), size)]
    words = [int.from_bytes(part, "little") for part in parts]
    return [_payload(word, loads, n == len(words) - 1, True) for n, word in enumerate(words)]


def frame_payloads(integers: np.ndarray, loads: LoadPlan) -> list[int]:
    """Frames [N, H, W, C] as payloads of :attr:`LoadPlan.layout`."""
    words = tdata_words(integers, loads.type, loads.lanes)
    return [_payload(word, loads, n % loads.beats == loads.beats - 1, False) for n, word in enumerate(words)]


def _payload(word: int, loads: LoadPlan, last: bool, load: bool) -> int:
    bits = 8 * loads.beat_bytes
    return word | last << bits | load << bits + 1


Ran = tuple[dict[str, np.ndarray], Cycles, Sequence[Cycles]]


def _amaranth(core: LoadedPipeline, integers: np.ndarray, beats: list[int], stall: int | None, progress) -> Ran:
    return run_bench(core, integers, beats, progress, stall)


def _compiled(core: LoadedPipeline, integers: np.ndarray, beats: list[int], stall: int | None, progress) -> Ran:
    plan, frames = core.plan, len(integers)
    counts = {f"watch_{n}": frames * x.op.output.elements // x.unit.lanes_out for n, x in enumerate(plan.layers)}
    outputs = output_names(len(core.results))
    for name, stream, lanes in zip(outputs, plan.network.results, plan.lanes_out, strict=True):
        counts[name] = frames * stream.map.elements // lanes
    size = -(-(8 * core.loads.beat_bytes + 2) // 8)
    payloads = np.frombuffer(b"".join(beat.to_bytes(size, "little") for beat in beats), np.uint8).reshape(-1, size)
    patience = 10_000 + 4 * max(layer.cost.cycles for layer in plan.layers) + 2 * core.loads.load_bytes
    design = CompiledDesign(core, level(frames), made=library_of(plan))
    moved: dict[str, Beats] = design.run({"i": payloads}, counts, stall=stall, patience=patience, progress=progress)
    tensors = {plan.network.input.name: integers}
    for n, (layer, place) in enumerate(zip(plan.layers, plan.network.layers, strict=True)):
        map_ = layer.op.output
        flat = unpacked(moved[f"watch_{n}"].payloads, map_.type, layer.unit.lanes_out)
        tensors[place.output] = flat.reshape(frames, *map_.shape)
    return tensors, moved["i"].cycles, [moved[name].cycles for name in outputs]


def _result(plan: Plan, engine: str, tensors, taken: Cycles, given: Sequence[Cycles], frames: slice) -> Simulation:
    """A step's share of the run. Layers correspond by their order, whatever they are called in its network."""
    network = plan.network
    ends = []
    for stream, lanes, cycles in zip(network.results, plan.lanes_out, given, strict=True):
        beats = stream.map.elements // lanes
        ends.append(list(cycles[beats - 1 :: beats])[frames])
    timing = Timing(tuple(map(int, taken)), tuple(max(map(int, frame)) for frame in zip(*ends, strict=True)))
    names = [network.input.name, *(layer.output for layer in network.layers)]
    own = dict(zip(names, tensors.values(), strict=True))
    mismatches = compare(network, golden.run(network, own[network.input.name]), own)
    streams = {stream.name: own[stream.name] for stream in network.results}
    results = golden.network_outputs(network, streams)
    compared = sum(own[layer.output].size for layer in network.layers)
    return Simulation(engine, network, streams, results, own, timing, mismatches, compared)
