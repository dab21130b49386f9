"""Tools that are Python packages (nextpnr, packers), run like Yosys: in a Python and a folder of their own."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from hwgen.graph.errors import FitError, InputError
from hwgen.tools.process import run_python
from hwgen.tools.yosys import environment


@dataclass(frozen=True)
class Tool:
    """A program in a pip package: ``function`` of ``module``, called with its arguments or, with ``argv``, as a
    script is."""

    name: str
    package: str
    module: str
    function: str
    argv: bool = False

    def check(self) -> None:
        """Raise InputError where it is not installed."""
        if importlib.util.find_spec(self.module.partition(".")[0]) is None:
            raise InputError(
                f"{self.name} is not installed: pip install {self.package}, or pip install '.[boards]' in hwgen's "
                "folder"
            )

    @property
    def _start(self) -> str:
        call = f"{self.function}()" if self.argv else f"{self.function}(sys.argv[1:])"
        return f"import sys; from {self.module} import {self.function}; sys.exit({call})"

    def run(
        self,
        folder: Path,
        arguments: Sequence[str],
        on_line: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> str:
        """Run it in ``folder`` and return its log; ``on_line`` is called with every line as it comes.

        Raises :class:`ToolError` with its own words where it fails, or was told to ``stop``.
        """
        self.check()
        ended = run_python(self._start, arguments, folder, environment(folder), on_line, stop=stop)
        if ended.status:
            raise ToolError(f"{self.name} stopped with status {ended.status}: {_reason(ended.lines)}", log=ended.log)
        return ended.log


class ToolError(FitError):
    """A tool refused the design; ``log`` is what it printed."""

    def __init__(self, *problems: str, log: str = ""):
        super().__init__(*problems)
        self.log = log


def _reason(lines: Sequence[str]) -> str:
    """One line that says why a tool stopped."""
    errors = [line for line in lines if line.upper().startswith("ERROR")]
    return (errors or lines or ["it printed nothing"])[0 if errors else -1]
