"""The commands ``run`` and ``boards``."""

from pathlib import Path

import click

from hwgen.cli.config import ConfiguredCommand
from hwgen.cli.options import COMMON_OPTIONS, INPUT_OPTIONS, MODEL_OPTIONS, NUMBER_OPTIONS, QUANTISER_OPTIONS, options

#: Of the options for models, those that say what the network is and not how it is laid out.
_NETWORK_OPTIONS = MODEL_OPTIONS[1:4]


@click.command(cls=ConfiguredCommand, short_help="Run frames on a board.")
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option("--board", required=True, metavar="NAME", help="The board; `boards` lists them.")
@click.option("--port", required=True, metavar="PORT", help="Its serial port, like /dev/ttyUSB0 or COM3.")
@click.option(
    "--baud", type=click.IntRange(min=300), metavar="N", help="As built.  [default: that at which it answers]"
)
@click.option(
    "--for",
    "hardware",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the build on the board, where weights are loaded.  [default: found in build/]",
)
@options(INPUT_OPTIONS)
@click.option("--labels", metavar="PATH", help="Right classes, .npy or FILE.npz:KEY, to count how many are found.")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE.npz", help="Write integers and outputs there.")
@options(_NETWORK_OPTIONS, NUMBER_OPTIONS, QUANTISER_OPTIONS, COMMON_OPTIONS)
def run(model, board, port, baud, hardware, inputs, frames, labels, save, quiet: bool, **settings) -> None:
    """Run frames on a board that `build --bitstream` was loaded into, and print its answers as `simulate` does.

    MODEL is what was built: its .onnx file or the folder of the build; without it the folders in build/ are searched
    for the design that the board says it holds. On a board that takes its weights over the link, those of MODEL are
    loaded unless it has them: any network for which the hardware was built with --weights. Every answer is compared
    with the golden model; status 1 if one differs.

    \b
    Example:
      python -m hwgen run examples/lenet5_int8.onnx --board ulx3s --port /dev/ttyUSB0 --input examples/digits
    """
    from hwgen.cli.commands_board import run as start

    start(model, hardware, (board, port, baud), list(inputs), frames, labels, save, quiet, settings)


@click.command(cls=ConfiguredCommand, short_help="List the boards that --board knows.")
@options(COMMON_OPTIONS)
def boards(quiet: bool) -> None:
    """List the boards that --board knows: device, clock unless --clock is given, serial port.

    \b
    Example:
      python -m hwgen boards
    """
    from hwgen.cli.commands_board import boards as start

    start()
