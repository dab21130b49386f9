"""Seconds that queue depths and the schedule of large networks take, with random weights.

    python -m benchmarks.schedules
    python -m benchmarks.schedules --only resnet50 --budget 5040

The first line compiles the engine where that has not been done on this machine; its seconds are printed apart.
Processor time is what counts where other programs run.
"""

import resource
import time
from pathlib import Path

import click

from hwgen.cost.actor import Actor, Give, Take, counting, ones
from hwgen.cost.timing import run
from hwgen.dataflow.queues import size_queues
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import USUAL, Search
from hwgen.device.targets import device

from .cycles import read

ROWS = (("mobilenet_v1", 5040), ("resnet34", 5040), ("resnet50", 5040), ("resnet152", 5040))


@click.command()
@click.option("--only", help="Only the network of this name.")
@click.option("--budget", type=int, help="Another number of multipliers.")
@click.option("--model", type=click.Path(path_type=Path), help="An ONNX file in its place.")
def main(only: str | None, budget: int | None, model: Path | None) -> None:
    """Print a line for each network."""
    began = time.process_time()
    run((Actor("first", ones(2), (Take(counting(2)),), (Give(counting(2), 1, 4),)),))
    print(f"engine compiled or loaded in {time.process_time() - began:.1f} s\n")
    print("| network | multipliers | steps a frame | frames | cycles a frame | latency | processor, s | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for name, usual in ROWS:
        if only in (None, name):
            print(f"| {name} | {measured(read(model, name), budget or usual)} |", flush=True)
    print(f"\n{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB at most")


def measured(network, budget: int) -> str:
    """The cells of a row."""
    search = Search(network, device(USUAL), budget, bound=False)
    picks = search.picks()
    plan = search.offers.plan(picks)
    processor, began = time.process_time(), time.perf_counter()
    plan = size_queues(plan, search.cycles(picks))
    timing = schedule(plan)
    seconds = f"{time.process_time() - processor:.1f}", f"{time.perf_counter() - began:.1f}"
    steps = sum(actor.steps for stage in plan.stages for actor in stage.actors)
    cells = f"{budget:,}", f"{steps:,}", str(timing.run.frames), f"{timing.interval:,}", f"{timing.latency:,}"
    return " | ".join((*cells, *seconds))


if __name__ == "__main__":
    main()
