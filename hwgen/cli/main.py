"""The command line. ``python -m hwgen --help`` is its manual.

Heavy modules are imported by the commands that need them, so that ``--help`` answers at once. How commands end is in
:mod:`hwgen.cli.guard`.
"""

from pathlib import Path

import click

from hwgen import __version__
from hwgen.cli.as_json import JSON_OPTIONS
from hwgen.cli.board import boards
from hwgen.cli.board import run as run_on_board
from hwgen.cli.compare import compare
from hwgen.cli.guard import Guarded
from hwgen.cli.options import (
    BOARD_OPTIONS,
    COMMON_OPTIONS,
    INPUT_OPTIONS,
    MODEL_OPTIONS,
    PATH,
    QUANTISER_OPTIONS,
    RESULT_OPTIONS,
    options,
    output_option,
)
from hwgen.cli.weights import weights

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=Guarded, context_settings=CONTEXT, invoke_without_command=True, no_args_is_help=False)
@click.version_option(__version__, prog_name="hwgen")
@click.pass_context
def cli(context: click.Context) -> None:
    """Turn trained CNNs (ONNX) into bit-exact streaming FPGA accelerators.

    \b
    Start with one of these:
      python -m hwgen check examples/lenet5.onnx
      python -m hwgen build examples/lenet5.onnx --calibration examples/digits
      python -m hwgen simulate examples/lenet5.onnx --input examples/digits/digit_3_a.png
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command(short_help="Quantise, size, check and write the hardware of MODEL.")
@options(MODEL_OPTIONS, (output_option("the files"),), BOARD_OPTIONS)
@click.option(
    "--project",
    "projects",
    type=click.Choice(["vivado", "quartus", "pynq", "baremetal"]),
    multiple=True,
    help="Add a project for a vendor's tools, or a driver, for the --device. Repeatable.",
)
@options(QUANTISER_OPTIONS, COMMON_OPTIONS, JSON_OPTIONS)
def build(**given) -> None:
    """Turn MODEL (.onnx) into hardware, check it bit for bit on a frame, and write everything to a folder.

    \b
    The folder holds:
      NAME.v                      the accelerator: one file of Verilog, with AXI4-Stream ports
      NAME_core_*.hex             weights of larger layers, read by NAME.v
      NAME_tb.v                   a test bench that checks itself, with input.hex and expected.hex
      NAME_qdq.onnx               the quantised network; runs in ONNX Runtime
      tail.onnx                   what of the model is left to the host, if anything; runs in ONNX Runtime
      plan.json                   the foldings; edit it and give it back with --plan
      report.html                 the pipeline drawn, layers, speed, device, proofs: one page, for any browser
      report.txt, report.json     the same as text and as data
      schedule.svg                when each layer works, waits and is held back
      NAME.bit, .bin or .fs       with --bitstream: what is loaded into the board
      vivado, quartus, pynq, baremetal   folders of the projects asked for with --project
      manifest.json               every file with its checksum

    \b
    Example:
      python -m hwgen build examples/lenet5.onnx --calibration examples/digits --multipliers 148
    """
    from hwgen.cli.commands import build as run

    run(**given)


@cli.command(short_help="Run MODEL on frames: models or hardware.")
@options(MODEL_OPTIONS)
@options(INPUT_OPTIONS)
@click.option(
    "--engine",
    type=click.Choice(["golden", "schedule", "amaranth", "compiled"]),
    default="golden",
    show_default=True,
    help="golden: numpy; schedule: cycles, too; amaranth: the hardware in Amaranth's simulator, every layer compared "
    "with golden; compiled: the same with its Verilog made a program, for many frames.",
)
@click.option("--stall", type=click.IntRange(min=0), metavar="SEED", help="Hardware: pause both ends at random.")
@click.option("--trace", type=PATH, metavar="FILE.vcd", help="Hardware: write waveforms there.")
@click.option("--trace-cycles", metavar="FIRST:LAST", help="Only those of these cycles (engine compiled).")
@click.option("--trace-layer", multiple=True, metavar="NAME", help="Only those of this layer (compiled). Repeatable.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, metavar="N", help="Hardware: simulate N parts of the "
    "frames side by side.")  # fmt: skip
@click.option("--memory", type=click.Choice(["worst", "random", "broken"]), help="Hardware that reads from DRAM: from "
    "the slowest memory that keeps its contract (unless given), any within it, or one that is too late.")  # fmt: skip
@click.option("--memory-seed", type=click.IntRange(min=0), metavar="SEED", help="What that memory does at random.")
@click.option("--dask", metavar="ADDRESS", help="Simulate parts of the frames on the workers of this Dask scheduler.")
@options(RESULT_OPTIONS)
@click.option(
    "--against",
    type=click.Choice(["golden", "onnxruntime"]),
    help="onnxruntime: compare golden's integer tensors with it and name the first difference; status 1 if there is "
    "one. golden: compare the hardware with it, which is done anyway.",
)
@options(QUANTISER_OPTIONS, COMMON_OPTIONS, JSON_OPTIONS)
def simulate(**given) -> None:
    """Run MODEL (.onnx) on frames and print its answers.

    Pixels of pictures and of uint8 arrays are divided by 255 for a model that takes real numbers, unless --scale,
    --mean or --std say otherwise: (x * scale - mean) / std. Other arrays are taken as they are.

    \b
    Examples:
      python -m hwgen simulate examples/lenet5_int8.onnx --input examples/digits/digit_3_a.png
      python -m hwgen simulate examples/lenet5_int8.onnx --input examples/digits --engine amaranth --frames 2
      python -m hwgen simulate examples/lenet5_int8.onnx --input examples/digits --against onnxruntime
    """
    from hwgen.cli.commands import simulate as run

    run(**given)


@cli.command(short_help="Write only the Verilog of MODEL.")
@options(MODEL_OPTIONS, (output_option("NAME.v"),), QUANTISER_OPTIONS, COMMON_OPTIONS)
def verilog(**given) -> None:
    """Write the Verilog of MODEL (.onnx), without checking it; `--output -` prints it.

    \b
    Example:
      python -m hwgen verilog examples/lenet5_int8.onnx --multipliers 148 --output build/verilog
    """
    from hwgen.cli.commands import verilog as run

    run(**given)


@cli.command(short_help="Say what MODEL needs of a device.")
@options(MODEL_OPTIONS)
@click.option("--synth", is_flag=True, help="Run Yosys on every stage as well; estimate and real count side by side.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Syntheses at a time.  [default: processors]")
@options(QUANTISER_OPTIONS, COMMON_OPTIONS, JSON_OPTIONS)
def fit(**given) -> None:
    """Say what MODEL (.onnx) uses of each resource of the device, what is left, and what does not fit.

    What does not fit has the fastest design beside it that does.

    \b
    Example:
      python -m hwgen fit examples/lenet5_int8.onnx --device lfe5u-85f
    """
    from hwgen.cli.commands_fit import fit as run

    run(**given)


@cli.command(short_help="Say what more multipliers buy: a table and a picture.")
@options(MODEL_OPTIONS)
@click.option(
    "--points", type=click.IntRange(min=2), default=24, show_default=True, metavar="N", help="Budgets to try."
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to draw it: .svg, .png or .pdf.  [default: build/<model>/explore.svg]",
)
@options(QUANTISER_OPTIONS, COMMON_OPTIONS, JSON_OPTIONS)
def explore(**given) -> None:
    """Find the fastest design of MODEL (.onnx) for many numbers of multipliers, up to --multipliers.

    Each line is a design that no other beats in both multipliers and frames per second, with the layer that is its
    bottleneck. `build --multipliers N` builds it. With --device, or without --multipliers, all of them fit the device.

    \b
    Example:
      python -m hwgen explore examples/lenet5_int8.onnx --multipliers 400
    """
    from hwgen.cli.commands import explore as run

    run(**given)


@cli.command(short_help="List everything in the way of MODEL.")
@options(MODEL_OPTIONS, QUANTISER_OPTIONS, COMMON_OPTIONS, JSON_OPTIONS)
def check(**given) -> None:
    """List everything that keeps MODEL (.onnx) from being built, all at once; status 2 if there is anything.

    Names the smallest known device that takes it, whatever the speed. With --device it must fit that one.

    \b
    Example:
      python -m hwgen check examples/lenet5.onnx
    """
    from hwgen.cli.commands_check import check as run

    run(**given)


@cli.command(short_help="List the devices that --device knows.")
@click.option("--family", metavar="NAME", help="Only those of a family or maker, such as ecp5, xc7, gowin or AMD.")
@options(COMMON_OPTIONS, JSON_OPTIONS)
def devices(**given) -> None:
    """List the devices that --device knows: what they have, boards with them, and the source of each number.

    \b
    Example:
      python -m hwgen devices --family ecp5
    """
    from hwgen.cli.device_list import devices as run

    run(**given)


for _command in (weights, compare, run_on_board, boards):
    cli.add_command(_command)
