"""The command ``weights``: what is sent to hardware whose weights are loaded."""

from pathlib import Path

import click

from hwgen.cli.config import ConfiguredCommand
from hwgen.cli.options import COMMON_OPTIONS, MODEL_OPTIONS, PATH, QUANTISER_OPTIONS, options, output_option

#: The model, calibration frames, shape of the input, outputs: all that hardware does not depend on.
_NETWORK_OPTIONS = MODEL_OPTIONS[:4]


@click.command(
    cls=ConfiguredCommand, short_help="Write the weights of MODEL for hardware built with --weights loadable."
)
@options(_NETWORK_OPTIONS)
@click.option(
    "--for",
    "hardware",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Folder that `build --weights loadable` wrote.",
)
@options((output_option("the files", "build/<model>_weights"),), QUANTISER_OPTIONS, COMMON_OPTIONS)
def weights(hardware: Path, output: Path | None, quiet: bool, **settings) -> None:
    """Turn the weights of MODEL (.onnx) into what is sent to hardware that another network of its shape was built as.

    \b
    The folder holds:
      weights.bin                 the load: bytes in the order in which they are sent
      weights.hex                 the same for the test bench of the build, which takes them with +load
      input.hex, expected.hex     frames for it, and what must come
      NAME_qdq.onnx               the quantised network; runs in ONNX Runtime
      accelerator.json, NAME.h    its scales for the drivers, where the build has pynq or baremetal
      BUILD_*.hex                 for the test benches of vivado and quartus, where it has these

    \b
    Example:
      python -m hwgen weights retrained.onnx --for build/lenet5
    """
    from hwgen.cli.commands import arguments
    from hwgen.flow.retraining import retrained
    from hwgen.names import weights_folder
    from hwgen.progress import Steps

    with Steps(quiet) as tell:
        given = arguments(settings, tell)
        made = retrained(given.pop("model"), hardware, **given)
        folder = output or weights_folder(settings["model"])
        made.write(folder)
    size, beats = len(made.image), made.component.loads.load_beats if made.component.loads else 0
    click.echo(f"{size:,} bytes in {beats:,} beats for the hardware in {hardware}; written to {folder}")
