"""The command ``fit``: what a network takes of a device, by estimate and by synthesis, and the fastest that fits."""

from collections.abc import Sequence
from typing import Any

import click

from hwgen import flow
from hwgen.cli.as_json import say
from hwgen.cli.commands import arguments, text_width
from hwgen.cli.json_answers import fit_answer
from hwgen.dataflow.fit import FitTable, fit_needs
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import Search
from hwgen.dataflow.stage_synth import StageCounts, count_stages
from hwgen.device.needs import Needs
from hwgen.device.synth import check_synthesis
from hwgen.device.targets import device as find_device
from hwgen.flow.design import Design
from hwgen.flow.planning import large_ram
from hwgen.graph.errors import FitError
from hwgen.progress import Steps
from hwgen.report.dram import dram_data, dram_lines
from hwgen.report.report import network_data
from hwgen.report.tables import shortened, table, wrapped
from hwgen.report.text import device_rows, heading

_STEP = "synthesising stage by stage, which takes minutes the first time"
_LAYER_NUMBERS = 78  # characters that the numbers of a layer may take


def fit(synth: bool, jobs: int | None, quiet: bool, **settings: Any) -> None:
    """The table of the device; with ``synth`` what Yosys counts beside it. Status 2 where the design does not fit."""
    if synth:
        check_synthesis(find_device(settings["device"] or flow.DEVICE))
    with Steps(quiet) as tell:
        design = flow.compile(**arguments(settings, tell), lenient=True)
        counts = None
        if synth:
            tell(_STEP)
            counts = count_stages(design.plan, design.device, jobs, lambda share: tell(_STEP, share))
        table = fit_needs(counts.total, design.device) if counts else design.fit
        if not table.fits:
            tell("looking for the fastest design that fits")
        problems, other = ([], None) if table.fits else instead(design, table, settings["weights"])
    say(lambda: fit_answer(design, counts, table, other))
    click.echo("\n".join(lines(design, counts, text_width())))
    if other:
        click.echo(f"Fits         {speed(other, design)}: leave out --multipliers, --fps and --plan")
    if problems:
        raise FitError(*problems)


def instead(design: Design, table: FitTable, weights: str) -> tuple[list[str], Plan | None]:
    """What is in the way of a design, and the fastest plan that fits by estimate; if there is none, what it lacks."""
    try:
        found = Search(design.network, design.device, **large_ram(weights)).fastest()
    except FitError as error:
        return list(error.problems), None
    return table.problems, found if found.to_json() != design.plan.to_json() else None


def lines(design: Design, counts: StageCounts | None, width: int) -> list[str]:
    """The network, what it takes, and how fast it is."""
    made = [*heading({"network": network_data(design.network)}), ""]
    if counts is None:
        made += table(*device_rows(design.fit.data), width)
    else:
        made += [*layer_lines(counts, design.plan, width), ""]
        made += table(*compared_rows(design.fit, fit_needs(counts.total, design.device)), width)
        stages = f"{len(counts.counted)} stages, {counts.kinds} of them different"
        made += [f"Yosys has counted {stages}, each for itself."]
    dram = dram_lines(dram_data(design.plan, design.clock))
    return [*made, "", f"Throughput   {speed(design.plan, design)}", *wrapped(dram, width)]


def speed(plan: Plan, design: Design) -> str:
    """Cycles and frames per second of a plan at the clock of ``design``."""
    interval = schedule(plan).interval
    rate = f"{design.clock.rate(interval):,.0f} frames per second at {design.clock.stated}"
    made = f", {plan.in_luts:,} of them made of LUTs" if plan.in_luts else ""
    return f"{interval:,} cycles per frame, {rate}, with {plan.multipliers:,} multipliers{made}"


def compared_rows(estimate: FitTable, counted: FitTable) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Columns and rows: the estimate beside what synthesis counted."""
    columns = (estimate.device.name, "<estimated", "<synthesised", "<off by", "<available", "<free")
    rows = [
        (
            guess.resource,
            f"{guess.used:,}",
            f"{real.used:,}",
            off_by(guess.used, real.used),
            f"{real.available:,}",
            f"{real.free:,}",
        )
        for guess, real in zip(estimate.rows, counted.rows, strict=True)
    ]
    return columns, rows


def off_by(guess: int, real: int) -> str:
    """How far an estimate is off, in percent of what was counted."""
    return f"{(guess - real) / max(real, 1):+.0%}"


def layer_lines(counts: StageCounts, plan: Plan, width: int) -> list[str]:
    """A line for each layer: what was counted, and how far the estimate is off; equal where nothing is said."""
    layers = counts.layers(plan)
    names = shortened(list(layers), max(width - _LAYER_NUMBERS, 8))
    rows = [(names[layer], *_cells(*both)) for layer, both in layers.items()]
    columns = ("layer", "<LUTs", "<off by", "<flip-\nflops", "<off by", "<multi-\npliers", "<block\nRAM")
    return table(columns, rows, width)


def _cells(guess: Needs, real: Needs) -> list[str]:
    cells = []
    for name in ("luts", "ffs"):
        cells += [f"{getattr(real, name):,}", off_by(getattr(guess, name), getattr(real, name))]
    for name in ("dsps", "brams"):
        right, wrong = getattr(real, name), getattr(guess, name)
        cells.append(f"{right:,}" if right == wrong else f"{right:,} (not {wrong:,})")
    return cells
