"""What the commands for boards do; :mod:`hwgen.cli.board` says how they are called."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from hwgen import flow
from hwgen.board.boards import BOARDS
from hwgen.board.boards import board as find_board
from hwgen.cli import commands
from hwgen.flow.retraining import retrained
from hwgen.frames.inputs import FrameSpec
from hwgen.frames.load import load_frames, load_labels
from hwgen.graph.errors import InputError
from hwgen.link.runner import Runner
from hwgen.link.serial_line import open_session
from hwgen.progress import Steps
from hwgen.report.tables import table

BUILDS = Path("build")


def run(
    model: Path | None,
    board: str,
    port: str,
    baud: int | None,
    hardware: Path | None,
    inputs: tuple[str, ...],
    frames: int | None,
    labels: str | None,
    save: Path | None,
    quiet: bool,
    **settings: Any,
) -> None:
    """Frames in, answers of the board out; ``hardware`` is the folder of its build, which is looked for unless
    given."""
    on = find_board(board)
    with ExitStack() as stack:
        tell = stack.enter_context(Steps(quiet))
        tell("asking the board")
        session = stack.enter_context(open_session(port, [baud] if baud else on.rates))
        loaded = session.hello.held or hardware
        folder = _hardware(hardware, model, session.hello.design) if loaded else None
        source = network_file(model or folder or built(session.hello.design))
        given = commands.arguments({"model": source, **settings}, tell)
        asked_for = commands.front(given)
        holds = retrained(hardware=folder, **asked_for).plan if folder else flow.quantised(**asked_for).network
        runner = Runner(holds, session.line, session, lambda share: tell("loading weights", share))
        network = runner.network
        taken = load_frames(inputs, FrameSpec.of_network(network), given["preparation"], frames)
        commands.warn_about_range(taken, network, given["warn"])
        right = None if labels is None else load_labels(labels, len(taken))
        step = f"running on {on.name}"
        tell(step)
        result = runner.simulate(taken.values, lambda share: tell(step, share))
    if runner.loaded:
        click.echo(f"Loaded {runner.loaded:,} bytes of weights.")
    click.echo("\n".join(commands.answers(result, taken, right)))
    if result.equal:
        click.echo(f"The board equals golden in all {sum(x.size for x in result.streams.values()):,} integers.")
    for mismatch in result.mismatches:
        click.echo(f"Different: {mismatch}")
    if save is not None:
        commands.save_result(save, result)
    if not result.equal:
        click.get_current_context().exit(1)


def network_file(model: Path) -> Path:
    """The model's file; of a folder that `build` wrote the quantised network in it."""
    if not model.is_dir():
        return model
    found = sorted(model.glob("*_qdq.onnx"))
    if len(found) != 1:
        raise InputError(f"{model} is no folder that `build` has written: name a model or such a folder")
    return found[0]


def _hardware(given: Path | None, model: Path | None, design: bytes) -> Path:
    """The folder of the build that is on the board: the one given, the model itself, or the one found."""
    if given is None and model is not None and (model / "plan.json").is_file():
        return model
    return given or built(design)


def built(design: bytes) -> Path:
    """The folder of the build that ``design`` is from."""
    for file in sorted(BUILDS.glob("*/report.json")):
        said = json.loads(file.read_text(encoding="utf-8")).get("board")
        if said and said["design"] == design.hex():
            return file.parent
    raise InputError(
        f"the board holds the design {design.hex()}, which no folder in {BUILDS}/ is of: name its model or its folder, "
        "with --for where its weights are loaded"
    )


def boards(quiet: bool) -> None:
    """A row for every board."""
    columns = ("board", "device", "<oscillator", "<clock", "<baud", "serial port", "loaded with")
    rows = [
        (
            board.name,
            board.device,
            str(board.oscillator),
            str(board.clock),
            f"{board.rate(board.clock):,}",
            board.usb,
            board.load,
        )
        for board in BOARDS
    ]
    click.echo("\n".join(table(columns, rows, commands.text_width())))
