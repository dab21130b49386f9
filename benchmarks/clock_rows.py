"""Whole networks with their link on a ULX3S, placed and routed: what ``build --board ulx3s --bitstream`` makes of its
first placement. What was found is kept in benchmarks/clock_rows.json, so that rows can be renewed one at a time."""

import json
import resource
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

import hwgen
from hwgen.board.bitstream import place_once
from hwgen.board.boards import board as find_board
from hwgen.device.clocks import Clock

from .networks import trained_file

BOARD = "ulx3s"
#: Of the placement: where it begins.
SEED = 1
KEPT = Path(__file__).with_suffix(".json")
BEGIN, END = "<!-- routed -->", "<!-- end of routed -->"


@dataclass(frozen=True)
class Row:
    """A network, the limit on its multipliers, None where there is none, and the clock asked for, in MHz."""

    network: str
    multipliers: int | None
    mhz: float

    @property
    def command(self) -> str:
        """What ``build`` is given beside the model and the board."""
        limit = "" if self.multipliers is None else f"--multipliers {self.multipliers} "
        return f"{limit}--clock {self.mhz:g}"


ROWS = {
    "lenet5": Row("lenet5", None, 100),
    "lenet5_148": Row("lenet5", 148, 110),
    "ds_cnn": Row("ds_cnn", None, 100),
    "ds_cnn_150": Row("ds_cnn", 150, 100),
    "resnet8": Row("resnet8", None, 100),
    "resnet8_150": Row("resnet8", 150, 100),
}
COLUMNS = (
    "network",
    "options",
    "cycles a frame",
    "LUT4",
    "flip-flops",
    "multipliers",
    "block RAM",
    "what nextpnr times, MHz",
    "what it does not",
    "frames a second",
    "tools, s of a processor",
    "slowest path that it times",
)
RESOURCES = ("TRELLIS_COMB", "TRELLIS_FF", "MULT18X18D", "DP16KD")


def run(name: str, models: Path, keep: Path | None) -> None:
    """Place and route the row ``name`` and keep what is found; its files go to the folder ``keep``, if any."""
    with tempfile.TemporaryDirectory(prefix="hwgen_clock_") as temporary:
        folder = Path(temporary) if keep is None else keep / name
        folder.mkdir(parents=True, exist_ok=True)
        rows = known() | {name: routed(name, models, folder)}
    KEPT.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", encoding="utf-8", newline="\n")


def known() -> dict[str, dict[str, Any]]:
    """What is kept, by row."""
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}


def planned(name: str, models: Path) -> hwgen.Design:
    """The design of a row."""
    row = ROWS[name]
    file = trained_file(row.network, models)
    if file is None:
        raise click.ClickException(f"{row.network} is not in {models}")
    device, clock = find_board(BOARD).room, Clock.of_mhz(row.mhz)
    return hwgen.compile(file, device=device, clock=clock, multipliers=row.multipliers)


def routed(name: str, models: Path, folder: Path) -> dict[str, Any]:
    """What is kept of a row."""
    row, made, board = ROWS[name], planned(name, models), find_board(BOARD)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    placed, content = place_once(made, board, folder, SEED)
    (folder / f"{made.name}.{board.flow.bitstream}").write_bytes(content)
    report = placed.report
    steps = next(path for path in report["critical_paths"] if path["from"] == path["to"])["path"]
    wires = [step for step in steps if step["type"] == "routing"]
    return {
        "command": row.command,
        "cycles": made.schedule.interval,
        "used": {kind: report["utilization"][kind]["used"] for kind in RESOURCES},
        "timed": min(found["achieved"] for found in report["fmax"].values() if found["constraint"] > row.mhz * 0.98),
        "untimed": report["untimed"] and 1e3 / report["untimed"],
        "reached": placed.reached.mhz,
        "seconds": resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before,
        "path": [wires[0]["net"], steps[-1]["to"]["cell"]],
        "ns": [sum(step["delay"] for step in wires), sum(step["delay"] for step in steps)],
    }


def table(rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A line for each row that is kept."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" * len(COLUMNS) + "|"
    for name in (name for name in ROWS if name in rows):
        found = rows[name]
        used = " | ".join(f"{found['used'][kind]:,}" for kind in RESOURCES)
        beside = f"{found['untimed']:.1f}" if found["untimed"] else ""
        rate = found["reached"] * 1e6 / found["cycles"]
        (begin, end), (wires, total) = found["path"], found["ns"]
        path = f"`{begin}` to `{end}`, {wires:.1f} of {total:.1f} ns wires"
        speed = f"{found['timed']:.1f} | {beside} | {rate:,.0f} | {found['seconds']:.0f} | {path}"
        yield f"| {ROWS[name].network} | `{found['command']}` | {found['cycles']:,} | {used} | {speed} |"
