"""The options that several commands have, in groups, and the kinds of values that they take."""

from pathlib import Path

import click


class InputShape(click.ParamType):
    """``NAME=1,1,28,28``."""

    name = "NAME=1,1,28,28"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        name, equals, sizes = value.rpartition("=")
        try:
            shape = tuple(int(size) for size in sizes.split(","))
        except ValueError:
            shape = ()
        if not (name and equals and shape and min(shape) > 0):
            self.fail(f"{value!r} is not of the form {self.name}, batch first.", param, ctx)
        return name, shape


class Numbers(click.ParamType):
    """One number, or several with commas between."""

    name = "X[,X...]"
    item = float  # of a list in a file of settings

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(number) for number in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a number, nor several with commas between.", param, ctx)


class Names(click.ParamType):
    """One name, or several with commas between."""

    name = "NAME[,NAME...]"
    item = str

    def convert(self, value, param, ctx):
        return value if isinstance(value, tuple) else tuple(filter(None, value.split(",")))


POSITIVE = click.FloatRange(min=0, min_open=True)
PATH = click.Path(path_type=Path)

MODEL_OPTIONS = (
    click.argument("model", type=PATH),
    click.option(
        "--calibration",
        multiple=True,
        metavar="PATH",
        help="Frames to quantise a float model with: picture, folder, .npy, .npz or FILE.npz:KEY. Repeatable. "
        "100 to 1000 frames serve best.",
    ),
    click.option(
        "--input-shape",
        type=InputShape(),
        multiple=True,
        help="Shape of an input, batch first, where the model leaves it open.",
    ),
    click.option(
        "--outputs",
        type=Names(),
        default=(),
        help="Tensors or layers to end the network at; what is behind them goes to tail.onnx, for the host.  "
        "[default: behind the last layers]",
    ),
    click.option(
        "--multipliers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Use at most N multipliers.  [default: what the device has]",
    ),
    click.option("--fps", type=POSITIVE, metavar="F", help="Least hardware that reaches F frames per second."),
    click.option(
        "--clock",
        type=POSITIVE,
        metavar="MHZ",
        help="Clock to state speeds at.  [default: what the device's family reaches]",
    ),
    click.option(
        "--device",
        metavar="NAME",
        help="Device that the design must fit; `devices` lists them.  [default: lfe5u-85f, which --multipliers and "
        "--fps may exceed]",
    ),
    click.option("--latency", is_flag=True, help="Least time for one frame, instead of most frames a second."),
    click.option(
        "--plan",
        type=PATH,
        metavar="FILE",
        help="Foldings from a plan.json that `build` wrote and you may have edited.",
    ),
    click.option(
        "--weights",
        type=click.Choice(["auto", "fixed", "loadable", "spram", "ultraram"]),
        default="auto",
        show_default=True,
        help="loadable: in RAM, so that another network of the same shape can be loaded (command `weights`). spram, "
        "ultraram: this network's own, in such RAM, to be loaded before the first frame (by command `run`, or the "
        "driver of a project). auto: fixed, unless nothing fits but ultraram.",
    ),
)

BOARD_OPTIONS = (
    click.option("--board", metavar="NAME", help="Design for this board's device and clock; `boards` lists them."),
    click.option("--bitstream", is_flag=True, help="Make its bitstream, too, with open tools: takes minutes."),
    click.option(
        "--baud",
        type=click.IntRange(min=300),
        metavar="N",
        help="Of its serial port.  [default: the highest of its USB chip and the clock]",
    ),
    click.option(
        "--placements",
        type=click.IntRange(min=1),
        default=4,
        show_default=True,
        metavar="N",
        help="Placements that are tried until one reaches the clock.",
    ),
)

INPUT_OPTIONS = (
    click.option(
        "--input",
        "inputs",
        multiple=True,
        required=True,
        metavar="PATH",
        help="Frames: picture, folder, .npy, .npz or FILE.npz:KEY. Repeatable.",
    ),
    click.option("--frames", type=click.IntRange(min=1), metavar="N", help="Use only the first N frames."),
)

RESULT_OPTIONS = (
    click.option("--labels", metavar="PATH", help="Right classes, .npy or FILE.npz:KEY, to count how many are found."),
    click.option("--save", type=PATH, metavar="FILE.npz", help="Write integers and outputs there."),
)

#: How the numbers in files become the network's, and its integers.
QUANTISER_OPTIONS = (
    click.option("--scale", type=float, metavar="X", help="Factor for numbers in files.  [default: 1/255 for pixels]"),
    click.option("--mean", type=Numbers(), default=(), help="Subtracted after scaling; one number or one per channel."),
    click.option("--std", type=Numbers(), default=(), help="Divided by, after that; one number or one per channel."),
    click.option("--resize", is_flag=True, help="Crop and scale pictures to the size that the network takes."),
    click.option(
        "--ranges",
        type=click.Choice(["minmax", "percentile", "entropy", "mse"]),
        default="mse",
        show_default=True,
        help="How the range of an activation follows from the calibration frames.",
    ),
    click.option(
        "--equalize/--no-equalize", default=True, show_default=True, help="Bring channels between layers to one range."
    ),
    click.option(
        "--correct-bias/--no-correct-bias",
        default=True,
        show_default=True,
        help="Take out of the biases what rounding adds to the mean of a channel.",
    ),
    click.option(
        "--wide",
        multiple=True,
        metavar="NAME|auto",
        help="Give this tensor or layer 16 bits; auto: those that cost the most accuracy in 8. Repeatable.",
    ),
)

COMMON_OPTIONS = (
    click.option("--quiet", "-q", is_flag=True, help="Do not show progress."),
    click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."),
)


def options(*groups):
    """A decorator that adds groups of options in the order given."""

    def add(command):
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return add


def output_option(what: str, default: str = "build/<model>"):
    """Where ``what`` is written."""
    words = f"Where to write {what}.  [default: {default}]"
    return click.option("--output", "-o", type=PATH, metavar="DIR", help=words)
