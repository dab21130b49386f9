"""Shows on stderr what is being done: a moving bar on a terminal, one plain line per step elsewhere. Warnings: once."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class Progress(Protocol):
    """Told of each step as it begins, and of the ``share`` of it that is done (0 to 1) where that is known."""

    def __call__(self, step: str, share: float | None = None) -> None: ...


def silent(step: str, share: float | None = None) -> None:
    """Shows nothing."""


class Steps:
    """A :class:`Progress` for people; used as a context, so that the terminal is left as it was found.

    >>> with Steps() as tell:
    ...     tell("reading the model")
    ...     tell("simulating", 0.5)
    """

    def __init__(self, quiet: bool = False):
        self._quiet = quiet
        self._moving = not quiet and sys.stderr.isatty()
        self._step: str | None = None
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "Steps":
        if self._moving:
            self._bar = _bar()
            self._bar.start()
        return self

    def __exit__(self, *exception) -> None:
        self._finish(done=exception[0] is None)
        if self._bar:
            self._bar.stop()

    def __call__(self, step: str, share: float | None = None) -> None:
        if self._quiet:
            return
        if step != self._step:
            self._finish(done=True)
            self._begin(step)
        if self._bar and self._task is not None and share is not None:
            self._bar.update(self._task, total=1.0, completed=share)

    def print(self, line: str) -> None:
        """A line of its own, above the bar if there is one; shown even when quiet."""
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def _begin(self, step: str) -> None:
        self._step = step
        if self._bar:
            self._task = self._bar.add_task(step, total=None)
        else:
            print(step, file=sys.stderr, flush=True)

    def _finish(self, done: bool) -> None:
        """The bar of the last step gives way to a line that says how long it took."""
        if not self._bar or self._task is None:
            return
        seconds = self._bar.tasks[-1].elapsed or 0
        self._bar.remove_task(self._task)
        if done:
            self.print(f"{self._step} ({seconds:.1f} s)")
        self._task = None


def _bar() -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(24), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)


class Notes:
    """Passes warnings on, each once, and keeps them for the report."""

    def __init__(self, warn: Callable[[str], None]):
        self.warn = warn
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        if line not in self.lines:
            self.lines.append(line)
            self.warn(line)
