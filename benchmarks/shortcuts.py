"""What residual networks keep between layers: shortcuts, and the rows that windows need.

    python -m benchmarks.shortcuts --models ../shared/models

A shortcut is an operand of a sum that is there long before the other. Two rows are what a queue takes for it past two
convolutions with three rows of weights. Trained networks from ``--models`` where there are any, else random weights.
"""

from pathlib import Path

import click

from hwgen.blocks.joints.rows import RowFork
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import search
from hwgen.dataflow.taps import waiting

from .cycles import read
from .networks import trained_file

#: Multipliers by network.
ROWS = {"resnet8": 440, "resnet20": 440, "resnet18": 5040, "resnet34": 5040, "resnet50": 5040}
WINDOWS = ("lines", "window", "delays")


@click.command()
@click.option("--models", type=click.Path(path_type=Path), default=Path("../shared/models"), show_default=True)
@click.option("--only", help="Only the network of this name.")
def main(models: Path, only: str | None) -> None:
    """Print a line for each network."""
    print("| network | multipliers | cycles | shortcuts | handed on | two rows, B | bytes | share | windows, KiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, multipliers in ROWS.items():
        if only in (None, name):
            plan = search(read(trained_file(name, models), name), multipliers=multipliers)
            cells = name, f"{multipliers:,}", f"{schedule(plan).interval:,}", *_cells(plan)
            print(f"| {' | '.join(cells)} |", flush=True)


def _cells(plan: Plan) -> tuple[str, ...]:
    found = [each for each in waiting(plan) if each.bytes >= each.two_rows // 8 or each.handed_by]
    rows, taken = sum(each.two_rows for each in found), sum(each.bytes for each in found)
    handed = sum(each.handed_by is not None for each in found)
    share = f"{taken / rows:.1%}"
    return f"{len(found)}", f"{handed}", f"{rows:,}", f"{taken:,}", share, f"{_windows(plan) / 8192:,.0f}"


def _windows(plan: Plan) -> int:
    """Bits of all window buffers, rows of tapped convolutions included."""
    needs = sum(need.bits for stage in plan.stages for need in stage.cost.memories if need.name in WINDOWS)
    rows = [stage for stage in plan.stages if isinstance(stage.unit, RowFork)]
    return needs + sum(need.bits for stage in rows for need in stage.cost.memories)


if __name__ == "__main__":
    main()
