"""What each command does; :mod:`hwgen.cli.main` says how it is called."""

import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import numpy as np

from hwgen import flow
from hwgen.cli.as_json import say
from hwgen.cli.json_answers import build_answer, explore_answer, simulate_answer
from hwgen.dataflow.schedule import Schedule
from hwgen.dataflow.search import explore as exploring
from hwgen.dataflow.search.search import Search
from hwgen.device.clocks import Clock
from hwgen.device.targets import device as find_device
from hwgen.flow.planning import binds, large_ram
from hwgen.frames.inputs import FrameSpec, Preparation, file_spec
from hwgen.frames.load import Frames, load_labels, raw_frames
from hwgen.graph.errors import InputError
from hwgen.graph.network import Network
from hwgen.graph.quantize.recipe import Recipe
from hwgen.names import default_folder
from hwgen.output import write_together, write_whole
from hwgen.progress import Steps
from hwgen.report import report
from hwgen.report.tables import by, table
from hwgen.simulate import simulation as engines
from hwgen.simulate.dram import Memory
from hwgen.simulate.runtime import Comparison
from hwgen.simulate.simulation import Simulation
from hwgen.simulate.waves import Waves
from hwgen.simulate.workers import Workers

_MOST_ANSWERS = 20  # frames whose answer is printed
_MOST_NAMES = 5  # of tensors that differ, beside the first


def build(
    output: Path | None, bitstream: bool, baud: int | None, placements: int, quiet: bool, **settings: Any
) -> None:
    """Everything, to a folder."""
    from hwgen.cli.board_settings import clock_given, for_board  # which need what makes bitstreams

    folder = output or default_folder(settings["model"])
    board = for_board(settings, bitstream)
    slower = not clock_given() and settings["fps"] is None  # nobody has asked for a speed
    making = {"baud": baud, "placements": placements, "slower": slower}
    with Steps(quiet) as tell:
        design = flow.build(folder=folder, board=board, making=making, **arguments(settings, tell))
    say(lambda: build_answer(design, folder))
    click.echo(design.report.text(text_width()))
    if design.check and design.check.remembered:
        click.echo("The check is remembered: the same Verilog gave these integers for this frame.")
    click.echo(f"Written to {folder}")


def simulate(
    inputs: tuple[str, ...],
    frames: int | None,
    engine: str,
    stall: int | None,
    trace: Path | None,
    trace_cycles: str | None,
    trace_layer: tuple[str, ...],
    jobs: int,
    dask: str | None,
    memory: str | None,
    memory_seed: int | None,
    labels: str | None,
    save: Path | None,
    against: str | None,
    quiet: bool,
    **settings: Any,
) -> None:
    """Frames in, answers out."""
    workers, waves = Workers(jobs, dask), Waves.asked(trace, trace_cycles, trace_layer)
    behaves = Memory.asked(memory, memory_seed)
    engines.check_engine(engine, stall, waves, workers, behaves)
    if against == "golden" and engine not in engines.HARDWARE:
        raise InputError(f"the engine {engine!r} has no hardware to compare; choose {' or '.join(engines.HARDWARE)}")
    with Steps(quiet) as tell:
        given = arguments(settings, tell)
        # What is wrong with frames is said before the model is quantised.
        spec = file_spec(given["model"], given["input_shape"])
        raw = spec and raw_frames(inputs, spec, given["preparation"].resize, frames)
        # The golden model needs no plan, and for a large network the search takes longer than the answer.
        design = None if engine == "golden" else flow.compile(**given)
        model = design or flow.quantised(**front(given))
        network = model.network
        spec = FrameSpec.of_network(network)
        raw = raw or raw_frames(inputs, spec, given["preparation"].resize, frames)
        taken = raw.prepared(spec, given["preparation"])
        warn_about_range(taken, network, given["warn"])
        right = None if labels is None else load_labels(labels, len(taken))
        if design is None:
            result = golden(network, taken, workers, tell)
        else:
            result = design.simulate(taken.values, engine, stall, waves, workers, behaves)
        compared = None
        if against == "onnxruntime":
            tell("comparing with ONNX Runtime")
            compared = model.against_onnxruntime(taken.values)
    saved = None if save is None else save_result(save, result)
    say(lambda: simulate_answer(result, taken, right, compared))
    click.echo("\n".join(answers(result, taken, right)))
    if design and result.timing:
        click.echo("\n".join(timing_lines(result, design.schedule)))
    if engine in engines.HARDWARE:
        click.echo("\n".join(comparison(result, len(design.plan.layers) if design else 0)))
    if compared:
        click.echo("\n".join(("", *runtime_lines(compared))))
    if waves is not None:
        click.echo(f"Waveforms written to {waves.path}")
    if saved:
        click.echo(saved)
    if not (result.equal and (result.traffic is None or result.traffic.equal) and (compared is None or compared.equal)):
        click.get_current_context().exit(1)


def golden(network: Network, frames: Frames, workers: Workers, tell: Steps) -> Simulation:
    """``frames`` through the golden model, on ``workers``."""
    step = "simulating (golden)"
    tell(step)
    return engines.simulate(network, None, frames.values, "golden", lambda share: tell(step, share), workers=workers)


def verilog(output: Path | None, quiet: bool, **settings: Any) -> None:
    """One file and those of its larger memories, or all on standard output."""
    printed = str(output) == "-"
    folder = output or default_folder(settings["model"])
    with Steps(quiet) as tell:
        flow.prepare_yosys(tell)
        design = flow.compile(**arguments(settings, tell))
        files = {"": design.to_verilog()} if printed else design.verilog.files(design.name)
    if printed:
        click.echo(files[""], nl=False)
        return
    write_together(folder, files)
    others = f", with {len(files) - 1} memory files beside it" if len(files) > 1 else ""
    click.echo(f"Written to {folder / design.name}.v{others}")


def explore(points: int, picture: Path | None, quiet: bool, **settings: Any) -> None:
    """The Pareto front, printed and drawn."""
    file = picture or default_folder(settings["model"]) / "explore.svg"
    with Steps(quiet) as tell:
        given = arguments(settings, tell)
        for name in ("fps", "plan", "latency"):
            if given[name]:
                raise InputError(f"explore tries many budgets of multipliers and takes no --{name}; leave it out")
        target = find_device(given["device"] or flow.DEVICE)
        network = flow.quantised(**front(given)).with_weights(given["weights"]).network
        clock = target.clock(given["clock"])
        tell("sizing layers")
        bound = binds(given["device"], given["multipliers"], None)
        search = Search(network, target, given["multipliers"], bound, **large_ram(given["weights"]))
        budgets = exploring.usual_budgets(search, given["multipliers"], points)
        tell("exploring")
        front_line = exploring.explore(search, budgets, lambda share: tell("exploring", share))
        picture_bytes = BytesIO()
        exploring.draw(front_line, picture_bytes, file.suffix[1:], network.name, clock)
    write_whole(file, picture_bytes.getvalue())
    say(lambda: explore_answer(front_line, target, clock, file))
    columns = {
        "multipliers": [f"{point.multipliers:,}" for point in front_line],
        "in LUTs": [f"{point.in_luts:,}" for point in front_line],
        "cycles/frame": [f"{point.cycles:,}" for point in front_line],
        f"frames/s at {clock}": [f"{point.fps(clock):,.0f}" for point in front_line],
        "useful": [f"{point.useful:.1%}" for point in front_line],
        "KiB": [f"{point.memory_bits / 8192:,.1f}" for point in front_line],
        "bottleneck": [point.bottleneck for point in front_line],
    }
    if not any(point.in_luts for point in front_line):
        del columns["in LUTs"]
    heads, rows = tuple(columns), list(zip(*columns.values(), strict=True))
    click.echo("\n".join(table(heads, rows, text_width())))
    click.echo(f"Clock: {clock.stated}")
    click.echo(f"Drawn to {file}")


# Shared


def arguments(settings: dict[str, Any], tell: Steps) -> dict[str, Any]:
    """The options of the command line as those of :func:`hwgen.flow.compile`."""
    given = dict(settings)
    numbers = {name: given.pop(name) for name in ("scale", "mean", "std", "resize")}
    given["preparation"] = Preparation(**numbers)
    given["recipe"] = Recipe(**{name: given.pop(name) for name in ("ranges", "equalize", "correct_bias", "wide")})
    given["input_shape"] = dict(given["input_shape"])
    if given.get("clock"):
        given["clock"] = Clock.of_mhz(given["clock"])
    return {**given, "progress": tell, "warn": lambda line: tell.print(f"warning: {line}")}


def front(given: dict[str, Any]) -> dict[str, Any]:
    """Those of :func:`hwgen.flow.quantised`."""
    names = ("model", "calibration", "preparation", "recipe", "input_shape", "outputs", "plan", "progress", "warn")
    return {name: given[name] for name in names if name in given}


def text_width() -> int:
    """Columns for text: those of the terminal or of ``COLUMNS``, within what reads well."""
    columns = shutil.get_terminal_size((report.WIDTH, 24)).columns
    return min(max(columns, report.NARROWEST), report.WIDEST)


# Answers


def warn_about_range(frames: Frames, network: Network, warn) -> None:
    """Say so where frames use next to nothing of the input's range, or much more than it: numbers are not prepared
    as they were for the training."""
    if network.integer_input or network.input_function:
        return
    quantization = network.input.quantization
    low, high = (float(quantization.dequantize(np.array(end))) for end in network.input_range)
    least, most = float(frames.values.min()), float(frames.values.max())
    room = max(abs(low), abs(high))
    used = max(abs(least), abs(most))
    if used < room / 16 or used > room * 4:
        warn(
            f"the frames hold numbers from {least:.4g} to {most:.4g}, the network's input takes {low:.4g} to "
            f"{high:.4g}: give --scale, --mean and --std as in its training"
        )


def answers(result: Simulation, frames: Frames, right: np.ndarray | None) -> list[str]:
    """A line for each of the first frames, and how many are right."""
    classes, scores = result.classes, result.scores.reshape(len(frames), -1)
    shown = min(len(frames), _MOST_ANSWERS)
    if classes is None:
        shapes = ", ".join(by(values.shape[1:]) for values in result.results.values())
        rows = [(name, shapes, "") for name in frames.names[:shown]]
    else:
        rows = [(frames.names[n], str(classes[n]), f"{scores[n, classes[n]]:.4g}") for n in range(shown)]
    heads = ("frame", "<class", "<score")
    lines = table(heads, rows, text_width())
    if len(frames) > shown:
        lines.append(f"... and {len(frames) - shown:,} frames more; --save FILE.npz keeps all results")
    if right is not None and classes is not None:
        found = int((classes == right).sum())
        lines += ["", f"Right: {found:,} of {len(frames):,} ({found / len(frames):.2%})"]
    return lines


def timing_lines(result: Simulation, predicted: Schedule) -> list[str]:
    """Cycles seen in simulation beside those predicted."""
    timing = result.measured
    lines = ["", f"Latency     {timing.latency:,} cycles, predicted {predicted.latency:,}"]
    lines.append(f"First out   {predicted.first_output:,} cycles, predicted")
    if timing.interval is not None:
        lines.append(f"Throughput  {timing.interval:,} cycles per frame, predicted {predicted.interval:,}")
    return lines


def comparison(result: Simulation, layers: int) -> list[str]:
    """Whether the integers of the hardware's ``layers`` were golden's, and what it read from DRAM as planned, in lines
    for people."""
    traffic = [] if result.traffic is None else [str(result.traffic)]
    if not result.equal:
        return [*(f"Different: {mismatch}" for mismatch in result.mismatches), *traffic]
    return [*traffic, f"RTL equals golden in all {result.compared:,} integers of {layers} layers."]


def runtime_lines(result: Comparison) -> list[str]:
    """The first tensor in which golden and ONNX Runtime differ, and which others do."""
    count = f"{result.integers:,} integers of {len(result.tensors)} tensors in {result.model}"
    if result.equal:
        return [f"Golden equals ONNX Runtime in all {count}."]
    first, *others = result.differences
    lines = [f"Different: {first}"]
    if others:
        names = ", ".join(repr(difference.tensor) for difference in others[:_MOST_NAMES])
        rest = ", ..." if len(others) > _MOST_NAMES else ""
        lines.append(f"So do {len(others)} tensors behind or beside it: {names}{rest}")
    return [*lines, f"Compared: {count}"]


def save_result(file: Path, result: Simulation) -> str:
    """Integers, outputs and classes as an npz file; of several outputs each by its name. Returns what to say of it."""
    arrays: dict[str, Any] = {"integers": result.integers, "outputs": result.outputs}
    if len(result.results) > 1:
        arrays = {f"integers/{name}": values for name, values in result.streams.items()} | dict(result.results)
    if result.classes is not None:
        arrays["classes"] = result.classes
    buffer = BytesIO()
    np.savez(buffer, **arrays)
    write_whole(file, buffer.getvalue())
    return f"Written to {file}: {', '.join(arrays)}"
