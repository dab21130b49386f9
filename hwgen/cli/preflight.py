"""What a command is given, judged before anything that takes long is imported, let alone done.

It is what needs no network to be judged: names, the heads of files, and what the model's file says of its input. Each
command looks at the rest itself.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from hwgen.graph.errors import HwgenError, InputError, Problems

if TYPE_CHECKING:
    from hwgen.frames.inputs import FrameSpec, Preparation

#: Endings of what `explore` draws.
PICTURES = (".svg", ".png", ".pdf")
Given = Mapping[str, Any]


def preflight(command: str, given: Given) -> None:
    """Raise a :class:`HwgenError` with a line for everything that is wrong with what ``command`` is ``given``, by the
    names of parameters in :mod:`hwgen.cli.main`."""
    problems = Problems(InputError)
    for judge in (_written, _device, _board, _plan, _frames):
        problems.attempt(partial(judge, command, given))
    if problems.lines and command == "check":
        _refuse_check(problems, given)
    problems.raise_any()


def _refuse_check(found: Problems, given: Given) -> None:
    """`check` lists all that is in the way: beside what is ``found``, what keeps the model from being read."""
    from hwgen.cli.as_json import say
    from hwgen.cli.json_check import check_answer
    from hwgen.graph.onnx.reader import read_model

    problems = Problems(HwgenError)
    problems.attempt(lambda: read_model(given["model"], dict(given["input_shape"]), given["outputs"]))
    problems.add(*found.lines)
    say(lambda: check_answer(None, problems.lines, None))
    problems.raise_any()


def _written(command: str, given: Given) -> None:
    """That what the command writes can be written."""
    from hwgen.names import default_folder, weights_folder
    from hwgen.output import check_replaceable, check_writable

    output, model = given.get("output"), given["model"]
    if command == "build":
        check_replaceable(output or default_folder(model))
    elif command == "weights":
        check_replaceable(output or weights_folder(model))
    elif command == "verilog" and str(output) != "-":
        check_writable(output or default_folder(model))
    elif command == "explore":
        picture = given["picture"] or default_folder(model) / "explore.svg"
        if picture.suffix not in PICTURES:
            raise InputError(f"--picture {str(picture)!r}: the ending must be one of {', '.join(PICTURES)}")
        check_writable(picture)
    check_writable(given.get("save"), given.get("trace"))


def _device(command: str, given: Given) -> None:
    from hwgen.device.names import device_name

    if given.get("device") is not None:
        device_name(given["device"])


def _board(command: str, given: Given) -> None:
    if given.get("board") is not None:
        from hwgen.board.boards import board

        board(given["board"])


def _plan(command: str, given: Given) -> None:
    from hwgen.dataflow.plan_file import plan_file, read_document

    if given.get("plan") is not None:
        read_document(plan_file(given["plan"]), str(given["plan"]))


def _frames(command: str, given: Given) -> None:
    """That frames for calibration and those to run are there and fit the model's input, and that each has a label."""
    from hwgen.frames.inputs import Preparation
    from hwgen.frames.load import CALIBRATION_FRAMES, check_labels

    numbers = Preparation(**{name: given[name] for name in ("scale", "mean", "std", "resize")})
    calibration, inputs, labels = (given.get(name) for name in ("calibration", "inputs", "labels"))
    if not (calibration or inputs or labels):
        return
    problems, spec, count = Problems(InputError), _spec(given), None
    if calibration:
        problems.attempt(lambda: _count(calibration, spec, numbers, CALIBRATION_FRAMES, spread=True))
    if inputs:
        count = problems.attempt(lambda: _count(inputs, spec, numbers, given["frames"]))
    if labels:
        problems.attempt(lambda: check_labels(labels, count or 0))
    problems.raise_any()


def _count(
    sources: Iterable[str], spec: "FrameSpec | None", numbers: "Preparation", limit: int | None, spread: bool = False
) -> int | None:
    """How many frames are taken from ``sources``; where nothing is known of the input, only that these are there."""
    from hwgen.frames.load import count_frames, find_files

    if spec is not None:
        return count_frames(sources, spec, numbers, limit, spread)
    find_files(sources)
    return None


def _spec(given: Given) -> "FrameSpec | None":
    """What the model's input takes; None where that cannot be told yet."""
    from hwgen.frames.inputs import file_spec

    return file_spec(given["model"], dict(given["input_shape"])) if given["model"] else None
