"""What whole networks take of a device: the estimate beside what Yosys counts, stage by stage.

    python -m benchmarks.network_costs --models ../shared/models                        # for lfe5u-85f
    python -m benchmarks.network_costs --models ../shared/models --write docs/costs.md  # the same, put into the page

Every network is folded to fit the device; trained weights are from ``--models`` where they are there, else random.
Every different stage is synthesised once, which takes an hour the first time; counts are kept in the user's cache.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from hwgen.dataflow.search.search import Search
from hwgen.dataflow.stage_synth import StageCounts, count_stages
from hwgen.device.needs import Needs
from hwgen.device.targets import device

from .cycles import read
from .networks import trained_file
from .pages import put
from .random_networks import NETWORKS

BEGIN, END = "<!-- networks -->", "<!-- end of networks -->"
ROWS = ("lenet5", "ds_cnn", "resnet8", "mobilenet_v1_vww", "resnet20", "mnist_cntk")


@dataclass(frozen=True)
class Row:
    """A network for a device: stages counted, and the multipliers that its plan has."""

    name: str
    counts: StageCounts
    multipliers: int

    def errors(self, resource: str) -> np.ndarray:
        """Relative, of every stage that has any of ``"luts"`` or ``"ffs"``."""
        both = ((self.counts.estimated[name], counted) for name, counted in self.counts.counted.items())
        pairs = [(getattr(guess, resource), getattr(real, resource)) for guess, real in both]
        return np.abs([guess / real - 1 for guess, real in pairs if real])

    @property
    def exact(self) -> int:
        """Stages with as many multipliers and block RAMs as counted."""
        return sum(
            (self.counts.estimated[name].dsps, self.counts.estimated[name].brams) == (counted.dsps, counted.brams)
            for name, counted in self.counts.counted.items()
        )


@click.command()
@click.option("--models", type=click.Path(path_type=Path), default=Path("../shared/models"), show_default=True)
@click.option("--device", "name", default="lfe5u-85f", show_default=True, help="Device to synthesise for.")
@click.option("--only", multiple=True, help="Only the network of this name. Repeatable.")
@click.option("--jobs", default=2, show_default=True, help="Syntheses at a time.")
@click.option("--write", type=click.Path(path_type=Path), help="Put the table into this page.")
def main(models: Path, name: str, only: Sequence[str], jobs: int, write: Path | None) -> None:
    """Print or write the table."""
    lines = []
    for line in table(models, name, only, jobs):
        click.echo(line)
        lines.append(line)
    if write:
        put("\n".join(lines), write, BEGIN, END)


def table(models: Path, name: str, only: Sequence[str], jobs: int) -> Iterator[str]:
    """A line for each network."""
    columns = ("multipliers", "stages", "LUTs", "flip-flops", "multipliers, block RAM", "LUTs of a stage", "")
    yield f"| network on {name} | {' | '.join(columns)} |"
    yield "|---|---|---|---|---|---|---|---|"
    for network in ROWS:
        if not only or network in only:
            file = trained_file(network, models)
            if file is None and network not in NETWORKS:
                yield f"| {network}: not there | | | | | | | |"
                continue
            row = measured(network, file, name, jobs)
            yield f"| {network}{', random weights' if file is None else ''} | {' | '.join(cells(row))} |"


def measured(name: str, file: Path | None, target: str, jobs: int) -> Row:
    """A network laid out for the device, and synthesised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan = Search(read(file, name), device(target), lenient=True).fastest()
    return Row(name, count_stages(plan, device(target), jobs), plan.multipliers)


def cells(row: Row) -> Iterator[str]:
    """Counted, and how far the estimate is off, in all and by stage."""
    counts = row.counts
    guess, real = sum(counts.estimated.values(), Needs()), counts.total
    yield f"{row.multipliers:,}"
    yield f"{len(counts.counted)}, {counts.kinds} of them different"
    for resource in ("luts", "ffs"):
        counted = getattr(real, resource)
        yield f"{counted:,} ({getattr(guess, resource) / counted - 1:+.1%})"
    yield f"{real.dsps:,}, {real.brams:,}; equal in {row.exact} of {len(counts.counted)} stages"
    errors = row.errors("luts")
    yield f"median {np.median(errors):.1%}"
    yield f"worst {errors.max():.1%}"


if __name__ == "__main__":
    main()
