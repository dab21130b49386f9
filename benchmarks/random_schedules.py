"""Random small networks with branches: the hardware against the schedule, in every stream, cycle and queue.

    python -m benchmarks.random_schedules --count 1000

The networks are those of ``tests/dataflow/random_branches.py``, with foldings searched for or drawn at random, and
queues sized for them. Each runs at full speed, where every beat of every stream must move in the very cycle that the
schedule says and every queue be as full, and under random stalls, where it must come to its end and no queue overflow;
values must be golden's in both. Prints a line for every network in which anything differs, with the seed that makes it
again, and the sums at the end; status 1 if there was one. Needs ``pip install '.[test]'``.
"""

import sys
import time
from collections import Counter

import click

from hwgen.blocks.joints.fork import Fork
from hwgen.blocks.joints.queue import StreamQueue
from hwgen.dataflow.schedule import schedule
from tests.dataflow.random_branches import random_plan
from tests.dataflow.watched import FRAMES, faults


@click.command()
@click.option("--count", default=1000, show_default=True, help="Networks.")
@click.option("--seed", default=0, show_default=True, help="Of the first network; each has the next.")
def main(count: int, seed: int) -> None:
    """Compare and count."""
    began, bad, total, operators = time.process_time(), 0, Counter(), Counter()
    for at in range(seed, seed + count):
        plan = random_plan(at)
        found = faults(plan, at)
        bad += bool(found)
        for fault in found:
            print(f"seed {at}: {fault}", flush=True)
        operators.update(type(layer.op).__name__ for layer in plan.layers)
        total.update(
            streams=sum(len(stage.ports) for stage in plan.stages),
            forks=sum(isinstance(stage.unit, Fork) for stage in plan.stages),
            queues=sum(isinstance(stage.unit, StreamQueue) for stage in plan.stages),
            beats=sum(len(cycles) for cycles in schedule(plan, FRAMES).run.moved.values()),
        )
    print(
        f"{count:,} networks, {total['streams']:,} streams, {total['forks']:,} forks, {total['queues']:,} queues, "
        f"{total['beats']:,} beats: {bad} networks differ"
    )
    print(", ".join(f"{number:,} {name}" for name, number in operators.most_common()))
    print(f"{time.process_time() - began:.0f} s of processor time")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
