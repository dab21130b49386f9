"""Rows are devices: how fast networks are on devices, what they take of them, and what is the limit.

    nice python -m benchmarks.rows                                # every network on every device, which takes hours
    nice python -m benchmarks.rows resnet8 xck26                  # this row; any number of networks and devices
    nice python -m benchmarks.rows --missing                      # rows that have not been run yet, or not of late
    nice python -m benchmarks.rows --stale                        # run none: which these are
    python -m benchmarks.rows --kept --write docs/rows.md         # run none: what is kept, put into the page

Each row is the fastest plan that fits, found in a process of its own, which may take ``--limit`` seconds of processor
time. What was found is kept in benchmarks/rows.json, so that rows can be renewed one at a time. With it is a digest of
what it was found from: the device, what layers offer, and what some of that takes. A row is stale where that is another
now, which takes seconds to find; changes of the search itself do not show in it.
"""

import hashlib
import json
import multiprocessing
import resource
import signal
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click

from hwgen.dataflow.fit import fit_needs, fit_table
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import Search
from hwgen.device.mapping import needs
from hwgen.device.needs import Needs
from hwgen.device.targets import Device, device
from hwgen.graph.errors import HwgenError
from hwgen.graph.network import Network

from .cycles import read
from .networks import trained_file
from .pages import put

NETWORKS = (
    "lenet5",
    "mnist_cntk",
    "ds_cnn",
    "resnet8",
    "mobilenet_v1_vww",
    "resnet20",
    "mobilenet_v1_025",
    "yunet",
    "squeezenet",
    "mobilenet_v2",
    "mobilenet_v1",
)
DEVICES = (
    "ice40up5k",
    "gw2a-18c",
    "lfe5u-25f",
    "lfe5u-85f",
    "5cseba6",
    "xc7z020",
    "xck26",
    "xczu7ev",
    "xczu9eg",
)
KEPT = Path(__file__).with_suffix(".json")
BEGIN, END = "<!-- rows -->", "<!-- end of rows -->"
#: Resources in columns, and the share from which on one may be what keeps a design from being faster.
COLUMNS = {"luts": "LUT", "ram_luts": "LUT RAM", "ffs": "FF", "dsps": "DSP", "brams": "block RAM", "large": "large RAM"}
SCARCE = 0.9

#: What is kept of a row, by network and device.
Rows = dict[str, dict[str, dict[str, Any]]]


@click.command()
@click.argument("which", nargs=-1, type=click.Choice((*NETWORKS, *DEVICES)))
@click.option("--models", type=click.Path(path_type=Path), default=Path("../shared/models"), show_default=True)
@click.option("--limit", default=3600, show_default=True, help="Seconds of processor time for a row.")
@click.option("--missing", is_flag=True, help="Leave out rows that are kept and not stale.")
@click.option("--stale", is_flag=True, help="Run no row, but name those that --missing would run.")
@click.option("--kept", is_flag=True, help="Run no row.")
@click.option("--write", type=click.Path(path_type=Path), help="Put the table into this page.")
def main(
    which: Sequence[str], models: Path, limit: int, missing: bool, stale: bool, kept: bool, write: Path | None
) -> None:
    """Run the rows of WHICH networks and devices, all unless given, and print or write the table of what is kept."""
    some = () if kept else chosen(which)
    for name, target in some:
        if not (missing or stale) or changed(name, target, models):
            if stale:
                click.echo(f"{name} {target}")
            else:
                keep(name, target, measured(name, target, models, limit))
    if stale:
        return
    text = "\n".join(table(known()))
    if write is None:
        click.echo(text)
    else:
        put(text, write, BEGIN, END)


def keep(name: str, target: str, row: dict[str, Any]) -> None:
    """Put a row to those that are kept, and say what it is."""
    rows = known()
    rows.setdefault(name, {})[target] = row
    KEPT.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    click.echo(f"{name} {target}: {row}", err=True)


def known() -> Rows:
    """What is kept."""
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}


def chosen(which: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The rows of some networks and devices; of all where none is named."""
    for name in [name for name in NETWORKS if name in which] or NETWORKS:
        for target in [target for target in DEVICES if target in which] or DEVICES:
            yield name, target


# Whether a row is as it would be found now


def changed(name: str, target: str, models: Path) -> bool:
    """Whether there is no such row, or it was found from something else."""
    row = known().get(name, {}).get(target, {})
    return "from" not in row or row["from"] != origin(_network(name, models), device(target))


@lru_cache(1)
def _network(name: str, models: Path) -> Network:
    return read(trained_file(name, models), name)


def origin(network: Network, target: Device) -> str:
    """A digest of what a row is found from: the device, of each layer the cycles and multipliers of all that it offers,
    and what the plainest of that take."""
    digest = hashlib.sha256(repr((room(target), target.most_logic)).encode())
    try:
        layers = Search(network, target).offers.layers
    except HwgenError as error:
        return hashlib.sha256("\n".join(error.problems).encode()).hexdigest()[:16]
    for layer in layers:
        taken = [needs(layer.cost(at), target) for at in layer.plainest.tolist()]
        for part in (layer.cycles.tobytes(), layer.multipliers.tobytes(), repr(taken).encode()):
            digest.update(part)
    return digest.hexdigest()[:16]


# A row


def measured(name: str, target: str, models: Path, limit: int) -> dict[str, Any]:
    """What :func:`found` finds, in a process of its own."""
    context, began = multiprocessing.get_context("spawn"), time.perf_counter()
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(there, name, target, trained_file(name, models), limit))
    process.start()
    there.close()
    row = {}
    try:
        row = {"from": here.recv()}
        row |= here.recv()
    except EOFError:
        row |= {"late": limit}
    process.join()
    if "late" in row and process.exitcode != -signal.SIGXCPU:
        raise click.ClickException(f"{name} on {target} ended with status {process.exitcode}")
    click.echo(f"{time.perf_counter() - began:.0f} s", err=True)
    return row


def work(answer: Connection, name: str, target: str, file: Path | None, limit: int) -> None:
    """Send what a row is found from and then what is found; the system ends this where it takes too long."""
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 10))
    network = read(file, name)
    answer.send(origin(network, device(target)))
    try:
        answer.send(found(network, device(target)))
    except HwgenError as error:
        answer.send({"refused": error.problems[0]})


def found(network: Network, target: Device) -> dict[str, Any]:
    """The fastest plan that fits: cycles per frame, products at once, what it takes, and the layer that sets the pace
    if no unit of it is faster; HwgenError where none fits."""
    search = Search(network, target, last_resort=True)
    plan = search.fastest()
    interval = schedule(plan).interval
    used = {name: value for name, value in vars(fit_table(plan, target).total).items() if value}
    slowest = max(search.offers.layers, key=lambda layer: layer.cycles.min())
    paced = {"paced": slowest.name} if interval <= slowest.cycles.min() else {}
    loaded = {"loaded": True} if plan.large else {}
    return {"cycles": interval, "products": plan.multipliers, "used": used, **paced, **loaded}


# The table


def table(rows: Rows) -> Iterator[str]:
    """A line for each row that is kept."""
    yield f"| network | device | cycles a frame | frames a second | {' | '.join(COLUMNS.values())} | what binds |"
    yield f"|---|---|---|---|{'---|' * len(COLUMNS)}---|"
    for name, target in chosen(()):
        row = rows.get(name, {}).get(target)
        if row is not None:
            yield f"| {name} | {target} | {' | '.join(cells(row, device(target)))} |"


def cells(row: dict[str, Any], target: Device) -> list[str]:
    """Of a row, behind its names."""
    if "cycles" not in row:
        late = f"not found in {row['late']:,} seconds" if "late" in row else ""
        return [*[""] * (2 + len(COLUMNS)), late or row["refused"].removeprefix(f"device {target.name} is too small: ")]
    shares = {name: share(row["used"].get(name, 0), there) for name, there in room(target).items()}
    clock = target.clock()
    percents = ["" if value is None else f"{value:.0%}" for value in shares.values()]
    loaded = "; weights in UltraRAM are loaded" if "loaded" in row else ""
    rate = f"{clock.rate(row['cycles']):,.0f} at {clock}"
    return [f"{row['cycles']:,}", rate, *percents, binding(row, shares) + loaded]


def room(target: Device) -> dict[str, int]:
    """What a device has, of what designs can use."""
    has = {resource.resource: resource.available for resource in fit_needs(Needs(), target).rows}
    family = target.family
    names = (family.lut_name, f"{family.lut_name} as RAM", "flip-flops", family.dsp_name, family.bram_name)
    return {kind: has.get(name, 0) for kind, name in zip(COLUMNS, (*names, family.large_name), strict=True)}


def share(used: int, there: int) -> float | None:
    """Of what is there; None where there is nothing."""
    return used / there if there else None


def binding(row: dict[str, Any], shares: dict[str, float | None]) -> str:
    """What keeps it from being faster: a layer without a faster unit, or what is used up, the scarcest first."""
    if "paced" in row:
        return f"`{row['paced']}`, of which no unit is faster"
    there = {name: value for name, value in shares.items() if value is not None}
    order = sorted(there, key=lambda name: -there[name])
    scarce = [name for name in order if there[name] >= SCARCE]
    return ", ".join(COLUMNS[name] for name in scarce or order[:1])


if __name__ == "__main__":
    main()
