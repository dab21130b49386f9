"""What operators take of devices: the estimate of their cost beside what Yosys counts.

    python -m benchmarks.costs                       # the table, for ECP5, UltraScale+ and Gowin
    python -m benchmarks.costs --write docs/costs.md # the same, put into the page
    python -m benchmarks.costs --forms               # of other forms of windows and products, for five families
    python -m benchmarks.costs --cascades            # of cascades of DSP blocks, for three
    python -m benchmarks.costs --fit                 # the factors of PerBit, fitted, and how far they generalise

Every configuration of benchmarks/cost_cases.py is made into a module of its own and synthesised, two at a time, which
takes an hour; counts are kept in the user's cache folder by what was synthesised, so that the next time takes
seconds. Run it with ``nice``.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click
import numpy as np

from hwgen.cost.needs import Cost
from hwgen.dataflow.stage_synth import remembered
from hwgen.device.family import PerBit
from hwgen.device.mapping import KINDS, logic_luts, needs
from hwgen.device.needs import Needs
from hwgen.device.targets import Device, device
from hwgen.hdl.rtlil import to_rtlil

from .cost_cases import Case, cascades, cases, forms
from .pages import put

#: For which devices each table is, and where in a page it stands.
DEVICES = {
    "table": ("lfe5u-25f", "xczu3eg", "gw2a-18c"),
    "forms": ("lfe5u-25f", "xczu3eg", "xc7z020", "gw2a-18c", "5cseba6"),
    "cascades": ("xc7z020", "xczu3eg", "lfe5u-25f"),
}


@dataclass(frozen=True)
class Row:
    """A configuration for one device: what is estimated, and what was counted."""

    case: Case
    cost: Cost
    device: Device
    counted: Needs

    @property
    def estimated(self) -> Needs:
        return needs(self.cost, self.device)

    def error(self, resource: str) -> float:
        """Relative, of ``"luts"`` or ``"ffs"``."""
        counted = getattr(self.counted, resource)
        return getattr(self.estimated, resource) / counted - 1

    @property
    def exact(self) -> bool:
        """Whether multipliers and block RAM are as counted."""
        return (self.estimated.dsps, self.estimated.brams) == (self.counted.dsps, self.counted.brams)


@click.command()
@click.option("--device", "names", multiple=True, help="Devices to synthesise for, instead of those of the table.")
@click.option("--forms", "kind", flag_value="forms", help="Configurations of other forms of windows and products.")
@click.option("--cascades", "kind", flag_value="cascades", help="Configurations with cascades of DSP blocks.")
@click.option("--fit", "fitted", is_flag=True, help="Fit the factors of the families.")
@click.option("--write", type=click.Path(path_type=Path), help="Put the table into this page.")
@click.option("--jobs", default=2, show_default=True, help="Syntheses at a time.")
def main(names: Sequence[str], kind: str | None, fitted: bool, write: Path | None, jobs: int) -> None:
    """Print or write the table, or fit."""
    kind = kind or "table"
    columns = {name: measured(device(name), jobs, kind) for name in names or DEVICES[kind]}
    if fitted:
        for rows in columns.values():
            click.echo("\n".join(fit_report(rows)))
        return
    text = "\n".join([*summary(columns), "", *table(columns)])
    if write is None:
        click.echo(text)
        return
    put(text, write, f"<!-- {kind} -->", f"<!-- end of {kind} -->")


def measured(target: Device, jobs: int, kind: str) -> list[Row]:
    """A row for every configuration of a table."""
    all_ = {"table": cases, "forms": forms, "cascades": lambda: cascades(target.family.slices[0])}[kind]()
    with ThreadPoolExecutor(jobs) as pool:
        counts = pool.map(
            partial(remembered, top="top", device=target),
            [to_rtlil(case.unit.block(), "top", cells=True) for case in all_],
        )
        return [Row(case, case.unit.cost, target, n) for case, n in zip(all_, counts, strict=True)]


def summary(columns: dict[str, list[Row]]) -> Iterator[str]:
    """A line for each device and resource."""
    yield "| device | | median | nine in ten | worst | within 15 % |"
    yield "|---|---|---|---|---|---|"
    for name, rows in columns.items():
        for resource, label in (("luts", "LUTs"), ("ffs", "flip-flops")):
            errors = np.abs([row.error(resource) for row in rows])
            cells = [f"{value:.1%}" for value in (np.median(errors), np.quantile(errors, 0.9), errors.max())]
            yield f"| {name} | {label} | {' | '.join(cells)} | {(errors <= 0.15).sum()} of {len(rows)} |"
        equal = sum(row.exact for row in rows)
        yield f"| {name} | multipliers, block RAM | | | | {equal} of {len(rows)} equal |"


def table(columns: dict[str, list[Row]]) -> Iterator[str]:
    """A line for each configuration."""
    each = ("LUTs", "flip-flops", "multipliers", "block RAM")
    yield f"| configuration | {' | '.join(f'{name}: {what}' for name in columns for what in each)} |"
    yield f"|---{'|---' * len(each) * len(columns)}|"
    for rows in zip(*columns.values(), strict=True):
        yield f"| {rows[0].case} | {' | '.join(cell for row in rows for cell in cells(row))} |"


def cells(row: Row) -> Iterator[str]:
    """Counted, and how far the estimate is off."""
    for resource in ("luts", "ffs"):
        yield f"{getattr(row.counted, resource):,} ({row.error(resource):+.0%})"
    for resource in ("dsps", "brams"):
        right, guess = getattr(row.counted, resource), getattr(row.estimated, resource)
        yield f"{right:,}" if right == guess else f"{right:,} (**{guess:,}**)"


def fit_report(rows: list[Row]) -> Iterator[str]:
    """Factors fitted to every second configuration, tried on the others, and fitted to all."""
    for learnt, tried in ((rows[::2], rows[1::2]), (rows[1::2], rows[::2]), (rows, rows)):
        factors = fit(learnt)
        errors = np.abs([luts_with(row, factors) / row.counted.luts - 1 for row in tried])
        values = ", ".join(f"{name} {getattr(factors, name):.2f}" for name in KINDS)
        what = f"{len(learnt)} configurations, tried on {'them' if learnt is tried else f'the other {len(tried)}'}"
        yield f"{rows[0].device.family.name}: {values}"
        yield f"    fitted to {what}: median {np.median(errors):.1%}, worst {errors.max():.1%}"


def fit(rows: list[Row]) -> PerBit:
    """Factors with the least squares of relative errors; a bit of an adder is a LUT in every family,
    and those in front of multipliers, and of a bit, are from single elements."""
    per_bit = rows[0].device.family.per_bit
    free = [name for name in KINDS if name not in ("adder", "odd", "joining", "carry")]
    luts = np.array([row.counted.luts for row in rows])
    none = replace(per_bit, **dict.fromkeys(free, 0.0))
    rest = np.array([luts_with(row, none) for row in rows])
    counts = np.array([[getattr(row.cost.logic, name) for name in free] for row in rows])
    found = np.linalg.lstsq(counts / luts[:, None], 1 - rest / luts, rcond=None)[0]
    return replace(per_bit, **dict(zip(free, found.tolist(), strict=True)))


def luts_with(row: Row, factors: PerBit) -> float:
    """The estimate of a configuration with other factors."""
    own = logic_luts(row.cost.logic, row.device.family.per_bit)
    return row.estimated.luts - own + logic_luts(row.cost.logic, factors)


if __name__ == "__main__":
    main()
