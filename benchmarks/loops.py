"""What loops take: cycles a frame, how many products are busy, what is read of memory and what is kept on the chip.

    python -m benchmarks.loops
    python -m benchmarks.loops --rtl

Chains of layers with random weights (benchmarks/random_networks.py), in one loop each, by the schedule, with the
slowest memory that keeps its contract. LUTs and flip-flops are not looked at, nor whether a device has all this.
``--rtl``: layers of LeNet-5 in a loop, the others before it, as compiled hardware: three random frames at random pauses
from five memories each that are as slow as their contract allows, at random within it, and later.
"""

from itertools import product
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from hwgen import flow
from hwgen.blocks.loop.programme import LoopFolding
from hwgen.blocks.loop.unit import LoopUnit
from hwgen.dataflow.loops import alone, chain, looped
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import search
from hwgen.simulate.dram import MODES, WORST, Memory
from hwgen.simulate.simulation import simulate

from .cycles import read

LENET5 = Path(__file__).parents[1] / "examples" / "lenet5_int8.onnx"


class Row(NamedTuple):
    """The layers of ``network`` from number ``first`` on, laid out by ``folding``."""

    network: str
    first: int
    folding: LoopFolding


def _folding(portion: int, outputs: int, positions: int, rate: str, kept: int = 1) -> LoopFolding:
    return LoopFolding(portion, outputs, 8, positions, 64, lanes_in=8, lanes_out=8, rate=rate, places=512, kept=kept)


ROWS = (
    Row("vgg16_features", 6, _folding(64, 64, 256, "48")),
    Row("vgg16_features", 6, _folding(64, 64, 256, "48", 0)),
    Row("vgg16_features", 6, _folding(32, 128, 256, "48")),
    Row("vgg16_features", 6, _folding(32, 64, 196, "24")),
    Row("vgg16_features", 6, _folding(64, 64, 256, "12")),
)
HEADER = (
    "| layers | products | positions | bytes a cycle | cycles | busy | bytes read | frame buffer | kept sets |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


#: First and last layer of LeNet-5 in a loop, and how it is laid out.
LOOPED = (
    ("fc1", "fc3", LoopFolding(16, 8, 2, 4, 16, latency=40)),
    ("conv2", "fc3", LoopFolding(8, 16, 2, 25, 16, lanes_in=2, latency=40, rate="16", kept=1200)),
)


@click.command()
@click.option("--rtl", is_flag=True, help="Layers of LeNet-5 as hardware.")
def main(rtl: bool) -> None:
    """Print the table."""
    if rtl:
        hardware()
        return
    print(HEADER)
    for row in ROWS:
        print(f"| {' | '.join(cells(row))} |", flush=True)


def cells(row: Row) -> tuple[str, ...]:
    """Of a row, but for the first."""
    folding = row.folding
    network = read(None, row.network)
    names = [layer.name for layer in network.layers][row.first :]
    _, op = chain(network, names)
    unit = LoopUnit(op, folding)
    if folding.kept:  # as many places as the largest set takes, and half as many for the next
        least = unit.programme.replay.least
        unit = LoopUnit(op, LoopFolding(**unit.settings | {"kept": least + least // 2}))
    problems = unit.problems()
    if problems:
        raise click.ClickException("; ".join(problems))
    programme, cycles = unit.programme, alone(unit)
    products = folding.portion * folding.outputs
    return (
        f"{row.network}, {names[0]} to {names[-1]}",
        f"{folding.portion} x {folding.outputs}",
        f"{folding.positions}",
        folding.rate,
        f"{cycles:,}",
        f"{op.macs / (products * cycles):.1%}",
        f"{programme.read:,}",
        f"{programme.depth * folding.portion * op.bits // 8:,}",
        f"{unit.folding.kept * folding.bus:,}",
    )


def hardware() -> None:
    """Print what compiled hardware does with memories of all kinds."""
    network = flow.quantised(LENET5).network
    print("| layers | memory | runs | integers that differ | bytes, of those planned | results at another cycle |")
    print("|---|---|---|---|---|---|")
    for first, last, folding in LOOPED:
        plan = looped(search(network, multipliers=148), first, last, folding)
        frames = np.random.default_rng(0).random((3, *network.input_shape), np.float32)
        ends = tuple(schedule(plan, 3).run.frame_ends)
        runs = {
            key: simulate(network, plan, frames, "compiled", stall=key[1] or None, memory=Memory(*key))
            for key in product(MODES, range(5))
        }
        for mode in MODES:
            some = [run for key, run in runs.items() if key[0] == mode]
            wrong = sum(each.count for run in some for each in run.mismatches)
            read_, planned = (sum(getattr(run.traffic, name) for run in some) for name in ("read", "planned"))
            done = runs[WORST, 0].measured.done
            late = f"{sum(a != b for a, b in zip(done, ends, strict=True))} of 3" if mode == WORST else ""
            integers = f"{wrong} of {sum(run.compared for run in some):,}"
            print(f"| {first} to {last} | {mode} | {len(some)} | {integers} | {read_:,} of {planned:,} | {late} |")


if __name__ == "__main__":
    main()
