"""The check of a design's hardware against golden, in the engine that is done first, and remembered.

What is remembered is that this Verilog, with these frames, gave these integers in every layer. It is kept in the user's
cache folder under a hash of all three, so whatever changes any of them has the hardware simulated again.
"""

import json
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from hwgen.accelerator import Hardware
from hwgen.graph import golden
from hwgen.graph.errors import InputError
from hwgen.simulate.simulation import Simulation, Timing, simulate
from hwgen.tools import cache, verilator
from hwgen.tools.fingerprint import fingerprint
from hwgen.top.image import image as dram_image

COMPILED_FROM = 100_000  # places in multipliers, busy or not, that Amaranth simulates in a few seconds
STEP = "checking RTL against golden"
_SHOWN = {"compiled": "compiled by Verilator", "amaranth": "Amaranth's simulator"}


def check(made: Hardware, frames: np.ndarray) -> Simulation:
    """``frames`` through the hardware, equal to golden in every integer of every layer and in the cycles predicted.

    Raises RuntimeError where anything differs: a bug, not a bad model.
    """
    verilog = made.verilog.files(made.name)
    expected = golden.run(made.network, golden.network_input(made.network, frames))
    file = cache.folder("checked") / f"{_key(made, verilog, expected)}.json"
    result = _recalled(file, made, expected)
    if result is None:
        result = _simulated(made, frames, checker(made, len(frames)))
    faults = [str(mismatch) for mismatch in result.mismatches]
    timing = result.measured
    if timing.latency != made.schedule.latency:
        faults.append(f"latency is {timing.latency} cycles, predicted {made.schedule.latency}")
    if faults:
        raise RuntimeError("; ".join(faults))
    if not result.remembered:
        cache.keep(file, json.dumps({"engine": result.engine, "taken": timing.taken, "done": timing.done}))
    return result


def checker(made: Hardware, frames: int) -> str:
    """The engine that checks hardware soonest: compiling does not pay for small designs."""
    cycles = made.schedule.latency + (frames - 1) * made.schedule.interval
    products = made.plan.multipliers * cycles
    return "compiled" if products > COMPILED_FROM and verilator.available() else "amaranth"


def _simulated(made: Hardware, frames: np.ndarray, engine: str) -> Simulation:
    """``frames`` through ``engine``, or through Amaranth's simulator where a compiler that is there does not work."""
    step = f"{STEP} ({_SHOWN[engine]})"
    made.progress(step)
    try:
        return simulate(made.plan.network, made.plan, frames, engine, partial(made.progress, step))
    except InputError:
        if engine != "compiled":
            raise
        return _simulated(made, frames, "amaranth")


def _key(made: Hardware, verilog: dict[str, str], expected: dict[str, np.ndarray]) -> str:
    """A hash of the hardware, of what goes in, and of what must come out of every layer."""
    image = made.plan.load_image() if made.plan.loading else b""
    image += dram_image(made.plan) if made.plan.memories else b""
    return fingerprint(version("hwgen"), made.plan.to_json(), verilog, expected, image)


def _recalled(file: Path, made: Hardware, expected: dict[str, np.ndarray]) -> Simulation | None:
    """The simulation as it was, if it is remembered and can be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        taken, done = (tuple(map(int, kept[name])) for name in ("taken", "done"))
        frames = len(expected[made.network.input.name])
        if len(taken) == len(done) == frames:
            made.progress("recalling that the same RTL equalled golden")
            network = made.network
            streams = {stream.name: expected[stream.name] for stream in network.results}
            compared = sum(expected[layer.output].size for layer in made.plan.layers)
            results = golden.network_outputs(network, streams)
            return Simulation(
                str(kept["engine"]), network, streams, results, expected, Timing(taken, done), (), compared, True
            )
    return None
