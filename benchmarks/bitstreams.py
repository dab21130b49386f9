"""Networks on boards: bitstreams with open tools, their clocks after routing, frames a second; and bad lines.

    python -m benchmarks.bitstreams --models ../shared/models
    python -m benchmarks.bitstreams --only lenet5
    python -m benchmarks.bitstreams --link

A row takes minutes to tens of minutes. ``--link`` simulates a board with a small network behind the link, and runs
1,000 frames through the real host code while a share of all bytes is lost, added or changed.
"""

from pathlib import Path

import click
import numpy as np

import hwgen
from hwgen.board.bitstream import PLACEMENTS
from hwgen.board.boards import board as find_board
from hwgen.device.clocks import Clock
from hwgen.graph.errors import FitError
from hwgen.link.capacity import frame_bytes
from hwgen.link.host import Session
from hwgen.link.runner import Runner
from tests.link.simulated import Noisy, SimulatedLine, running, simulated_board

EXAMPLES = Path(__file__).parents[1] / "examples"
#: Name, file, board, multipliers, clock in MHz, where weights are.
ROWS = (
    ("lenet5", EXAMPLES / "lenet5_int8.onnx", "ulx3s", 148, 100, "fixed"),
    ("ds_cnn", "kws_dscnn_int8.tf2onnx.onnx", "ulx3s", 150, 100, "fixed"),
    ("resnet8", "resnet8_cifar10_int8.tf2onnx.onnx", "ulx3s", 150, 80, "fixed"),
    ("digits", EXAMPLES / "digits_int8.onnx", "ulx3s", 16, 75, "fixed"),
    ("digits", EXAMPLES / "digits_int8.onnx", "icebreaker", 4, 24, "fixed"),
    ("digits", EXAMPLES / "digits_int8.onnx", "icebreaker", 4, 24, "spram"),
    ("digits_wide", EXAMPLES / "digits_wide_int8.onnx", "icebreaker", 4, 24, "spram"),
    ("digits", EXAMPLES / "digits_int8.onnx", "tangnano9k", 6, 27, "fixed"),
)
COLUMNS = (
    "network",
    "board",
    "weights",
    "multipliers",
    "cycles a frame",
    "MHz",
    "routed, MHz",
    "frames/s",
    "by the link",
    "used",
)
SHARES = (0.0, 0.0001, 0.001, 0.01)
FRAMES = 1000
CYCLES, PATIENCE = 12, 0.0005  # of the simulated line: cycles for a byte, seconds for an answer


@click.command()
@click.option("--models", type=click.Path(path_type=Path), default=Path("../shared/models"), show_default=True)
@click.option("--only", help="Only rows of this network, NAME:BOARD or NAME:BOARD:WEIGHTS.")
@click.option("--clock", type=float, metavar="MHZ", help="Another clock than the table's.")
@click.option(
    "--placements", type=int, default=PLACEMENTS, show_default=True, metavar="N", help="Tried until one reaches it."
)
@click.option("--link", is_flag=True, help="The link on bad lines instead.")
def main(models: Path, only: str | None, clock: float | None, placements: int, link: bool) -> None:
    """Print a line for each network and board, or for each share of bad bytes."""
    if link:
        bad_lines()
        return
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    for name, file, board, multipliers, usual, weights in ROWS:
        if only in (None, name, f"{name}:{board}", f"{name}:{board}:{weights}") and (models / file).is_file():
            settings = {"multipliers": multipliers, "clock": Clock.of_mhz(clock or usual), "weights": weights}
            print(row(name, models / file, board, settings, placements), flush=True)


def row(name: str, file: Path, board: str, settings: dict, placements: int) -> str:
    """A line of the table; where it cannot be, why."""
    place, weights = find_board(board), settings["weights"]
    try:
        design = hwgen.compile(file, device=place.room, **settings).implemented(place, placements=placements)
    except FitError as error:
        return f"| {name} | {board} | {weights} | {settings['multipliers']} | {'; '.join(error.problems)} |"
    made, interval = design.implementation, design.schedule.interval
    used = ", ".join(f"{used:,} {what}" for what, (used, _) in made.used.items() if used)
    took = ", ".join(f"{step} {seconds:,.0f} s" for step, seconds in made.seconds.items())
    click.echo(f"{name} on {board}: {took}", err=True)
    return (
        f"| {name} | {board} | {weights} | {design.plan.multipliers} | {interval:,} | {made.clock.mhz:g} "
        f"| {made.reached.mhz:.1f} | {made.clock.rate(interval):,.0f} | {made.link:,.0f} | {used} |"
    )


def bad_lines() -> None:
    """The digit network behind the link: answers, and bytes on the line, for shares of bad bytes."""
    board = find_board("icebreaker")
    design = hwgen.compile(EXAMPLES / "digits_int8.onnx", device=board.room, multipliers=4, clock=board.clock)
    hardware = simulated_board(design, board.buffers, CYCLES)
    frames = np.random.default_rng(0).random((FRAMES, *design.network.input_shape), np.float32)
    least = FRAMES * sum(frame_bytes(design.component))
    print("| bytes corrupted | frames answered | wrong | bytes on the line | of the data |")
    print("|---|---|---|---|---|")
    for share in SHARES:
        with running(hardware) as run:
            line = Noisy(SimulatedLine(run, board.clock, CYCLES, patience=PATIENCE), share, seed=1)
            result = Runner(design.network, line, Session(line)).simulate(frames)
            wrong, ratio = sum(mismatch.count for mismatch in result.mismatches), line.bytes / least
            print(f"| {share:.2%} | {len(result.outputs):,} | {wrong} | {line.bytes:,} | {ratio:.0%} |", flush=True)


if __name__ == "__main__":
    main()
