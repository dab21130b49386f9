"""Errors that a user can act on: every message names the place, the value, the limit and the remedy."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_NEAREST = 3
ONE_INPUT = (
    "the model has {} inputs; one is supported: make constants of the others when exporting, or join them into one"
)
Made = TypeVar("Made")


class HwgenError(Exception):
    """A problem with what the user gave us; the command line prints it as one line and exits with status 2.

    ``problems`` holds one line per problem, so that several can be reported together.
    """

    def __init__(self, *problems: str):
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class ModelError(HwgenError):
    """The model file, or a node in it, cannot be taken as it is."""


class InputError(HwgenError):
    """A frame, an option or another file given by the user does not fit."""


class FitError(HwgenError):
    """The design does not fit the budget or the device."""


class Problems:
    """Collects problems, so that a user sees all of them at once.

    >>> problems = Problems(ModelError)
    >>> problems.add("node 'c1': ...")
    >>> problems.raise_any()   # raises one ModelError with every line collected
    """

    def __init__(self, error: type[HwgenError] = ModelError):
        self.error = error
        self.lines: list[str] = []

    def add(self, *lines: str) -> None:
        """Note what is wrong; the same line is told once."""
        self.lines.extend(line for line in lines if line not in self.lines)

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Note what is wrong within, a ValueError, with ``place``; what stands behind goes on."""
        try:
            yield
        except ValueError as error:
            self.add(f"{place}: {error}")

    def attempt(self, action: Callable[[], Made], place: str = "") -> Made | None:
        """What ``action`` makes; None where it cannot, and its problems, at ``place``, are noted."""
        try:
            return action()
        except HwgenError as error:
            self.add(*(f"{place}{problem}" for problem in error.problems))
            return None

    def raise_any(self) -> None:
        """Raise the error with all lines, if there are any."""
        if self.lines:
            raise self.error(*self.lines)


def quoted(name: str) -> str:
    """How messages show a name of the model, which converters of TFLite make 150 characters long."""
    return repr(middle_cut(name))


def middle_cut(name: str, most: int = 48) -> str:
    """``name`` in at most ``most`` characters, what is too much left out in its middle."""
    if len(name) <= most:
        return name
    head = (most - 3) // 2
    return f"{name[:head]}...{name[len(name) - (most - 3 - head) :]}"


def unknown(kind: str, given: str, known: Iterable[str]) -> InputError:
    """That there is no ``given`` of a ``kind``, with the names that come near."""
    known = list(known)
    close = difflib.get_close_matches(given.lower(), known, _NEAREST)
    meant = f"did you mean {' or '.join(close)}? Known" if close else "known"
    return InputError(f"{kind} {given!r} is not known; {meant}: {', '.join(known)}")


def near(name: str, known: Iterable[str]) -> str:
    """The names of ``known`` that are most like ``name``, or its first ones."""
    known = list(dict.fromkeys(known))
    return ", ".join(map(repr, difflib.get_close_matches(name, known, _NEAREST, cutoff=0.4) or known[:_NEAREST]))
