"""Cycles a frame of well-known networks for a number of multipliers, by the schedule; in RTL where asked.

    python -m benchmarks.cycles --models ../shared/models
    python -m benchmarks.cycles --models ../shared/models --only ds_cnn --rtl

Trained networks from ``--models`` where there are any, else random weights (benchmarks/random_networks.py). ``--rtl``
compiles the hardware and runs random frames at full speed and under stalls, every layer compared with golden and,
at full speed, every beat with the schedule. It takes minutes and memory for large networks: use it with ``--only``.
"""

import tempfile
import time
import warnings
from pathlib import Path

import click
import numpy as np
import onnx

from hwgen import flow
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.latency import least_latency
from hwgen.dataflow.search.search import USUAL, Search
from hwgen.device.targets import device
from hwgen.graph import golden
from hwgen.simulate.compiled import CompiledPlan
from hwgen.simulate.feed import Feed
from hwgen.testing import random_frames

from .networks import trained_file
from .random_networks import NETWORKS

#: Budgets by network.
ROWS = {
    "lenet5": (148,),
    "resnet8": (440, 2496),
    "resnet20": (440, 2496),
    "ds_cnn": (440,),
    "mobilenet_v1_vww": (440,),
    "mobilenet_v1": (2496, 5040),
    "resnet34": (5040,),
    "resnet50": (5040, 11520),
}


@click.command()
@click.option("--models", type=click.Path(path_type=Path), default=Path("../shared/models"), show_default=True)
@click.option("--only", help="Only the network of this name.")
@click.option("--rtl", is_flag=True, help="Run the hardware as well.")
@click.option("--frames", type=click.IntRange(min=1), default=3, show_default=True, help="How many, with --rtl.")
@click.option("--latency", is_flag=True, help="Least time for a single frame, instead of most frames.")
def main(models: Path, only: str | None, rtl: bool, frames: int, latency: bool) -> None:
    """Print a line for each network and budget."""
    print("| network | weights | multipliers | used | cycles a frame | latency | search, s | RTL |")
    print("|---|---|---|---|---|---|---|---|")
    for name, budgets in ROWS.items():
        if only in (None, name):
            file = trained_file(name, models)
            network = read(file, name)
            for budget in budgets:
                rest = measured(network, budget, frames if rtl else 0, latency)
                print(f"| {name} | {'trained' if file else 'random'} | {rest} |", flush=True)


def read(file: Path | None, name: str):
    """The network of integers, with random weights where there is no file."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if file is None:
            file = Path(folder) / f"{name}.onnx"
            onnx.save(NETWORKS[name](), file)
        return flow.quantised(file).network


def measured(network, budget: int, rtl: int, latency: bool) -> str:
    """The cells of a row; ``rtl`` frames go through the hardware."""
    began = time.perf_counter()
    search = Search(network, device(USUAL), budget, bound=False)
    picks = search.picks()
    if latency:
        picks = least_latency(search.offers, picks, budget)
    plan = search.plan(picks)
    seconds = time.perf_counter() - began
    timing, used = schedule(plan), sum(choice.multipliers for choice in search.offers.choices(picks))
    cells = f"{budget:,}", f"{used:,}", f"{timing.interval:,}", f"{timing.latency:,}", f"{seconds:.1f}"
    return " | ".join((*cells, agreement(plan, rtl) if rtl else "not run"))


def agreement(plan: Plan, count: int) -> str:
    """What the compiled hardware does with random frames."""
    frames = random_frames(plan.network.input.map, count)
    want, compiled, wrong, cycles = golden.run(plan.network, frames), CompiledPlan(plan), 0, 0
    began = time.perf_counter()
    compiled.design.load()
    made = time.perf_counter()
    for stall in (None, 3):
        tensors, _, (given, *_), _ = compiled.run(Feed.of(plan, frames), stall=stall)
        wrong += sum(np.count_nonzero(tensors[name] != integers) for name, integers in want.items())
        cycles += int(given[-1])
        if stall is None:
            late = np.count_nonzero(given != schedule(plan, count).run.given)
    speed = cycles / (time.perf_counter() - made)
    total = 2 * sum(integers.size for integers in want.values())
    return (
        f"{wrong} of {total:,} integers differ, {late} of {len(given):,} results at another "
        f"cycle; {made - began:.0f} s to compile, {speed:,.0f} cycles a second"
    )


if __name__ == "__main__":
    main()
