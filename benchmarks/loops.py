"""What loops take: cycles a frame, how many products are busy, what is read of memory and what is kept on the chip.

    python -m benchmarks.loops

Chains of layers with random weights (benchmarks/random_networks.py), in one loop each, by the schedule, with the
slowest memory that keeps its contract. LUTs and flip-flops are not looked at, nor whether a device has all this.
"""

from typing import NamedTuple

import click

from hwgen.blocks.loop.programme import LoopFolding
from hwgen.blocks.loop.unit import LoopUnit
from hwgen.dataflow.loops import alone, chain

from .cycles import read


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


@click.command()
def main() -> None:
    """Print the table."""
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


if __name__ == "__main__":
    main()
