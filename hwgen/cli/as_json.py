"""``--json``: a command's answer as one JSON object on standard output, for programs.

The command says what it has found (:func:`say`), and :class:`hwgen.cli.guard.Guarded` prints it at the end, together
with the error if there is one. Meanwhile all else that is printed goes to stderr. What the objects hold is in
``schemas/answers.json``.
"""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any

import click

_KINDS = {
    "ModelError": "model",
    "InputError": "input",
    "FitError": "fit",
    "HwgenError": "problems",  # of several kinds
}


class Answer:
    """The object that a command prints with ``--json``; nothing where that is not ``wanted``."""

    def __init__(self, wanted: bool):
        self.wanted = wanted
        self.data: dict[str, Any] = {}

    def show(self) -> None:
        """Print what has been said, if anything: ``--help`` says nothing."""
        if self.wanted and self.data:
            self.wanted = False  # once, though writing it may fail
            click.echo(json.dumps(self.data, indent=2, allow_nan=False))

    def fail(self, kind: str, lines: Sequence[str]) -> None:
        """Print the error, beside what has been said before it."""
        self.data["error"] = {"kind": kind, "lines": [line.removeprefix("error: ") for line in lines]}
        self.show()


def say(make: Callable[[], dict[str, Any]]) -> None:
    """What the running command answers, made only where somebody wants it."""
    context = click.get_current_context(silent=True)
    answer = context and context.find_object(Answer)
    if answer and answer.wanted:
        answer.data = make()


def kind(error: BaseException) -> str:
    """Whose problem an error is, in a word."""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, click.ClickException):
        return "usage"
    if isinstance(error, OSError | MemoryError):
        return "system"
    found = (_KINDS[each.__name__] for each in type(error).__mro__ if each.__name__ in _KINDS)
    return next(found, "fault")


def _only_json(context: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        context.with_resource(redirect_stdout(sys.stderr))


JSON_OPTIONS = (
    click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_only_json,
        help="Print one JSON object and nothing else, for programs; the rest goes to stderr.",
    ),
)
