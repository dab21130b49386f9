"""The commands ``run`` and ``boards``."""

import click

from hwgen.cli.config import ConfiguredCommand
from hwgen.cli.options import (
    COMMON_OPTIONS,
    INPUT_OPTIONS,
    MODEL_OPTIONS,
    PATH,
    QUANTISER_OPTIONS,
    RESULT_OPTIONS,
    options,
)

#: Of the options for models, those that say what the network is and not how it is laid out.
_NETWORK_OPTIONS = MODEL_OPTIONS[1:4]


@click.command(cls=ConfiguredCommand, short_help="Run frames on a board.")
@click.argument("model", type=PATH, required=False)
@click.option("--board", required=True, metavar="NAME", help="The board; `boards` lists them.")
@click.option("--port", required=True, metavar="PORT", help="Its serial port, like /dev/ttyUSB0 or COM3.")
@click.option(
    "--baud", type=click.IntRange(min=300), metavar="N", help="As built.  [default: that at which it answers]"
)
@click.option(
    "--for",
    "hardware",
    type=PATH,
    metavar="DIR",
    help="Folder of the build on the board, where weights are loaded.  [default: found in build/]",
)
@options(INPUT_OPTIONS, RESULT_OPTIONS, _NETWORK_OPTIONS, QUANTISER_OPTIONS, COMMON_OPTIONS)
def run(**given) -> None:
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

    start(**given)


@click.command(cls=ConfiguredCommand, short_help="List the boards that --board knows.")
@options(COMMON_OPTIONS)
def boards(**given) -> None:
    """List the boards that --board knows: device, clock unless --clock is given, serial port.

    \b
    Example:
      python -m hwgen boards
    """
    from hwgen.cli.commands_board import boards as start

    start(**given)
