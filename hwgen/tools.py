"""Tools that are Python packages (nextpnr, packers), run like Yosys: in a Python and a folder of their own."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.graph.errors import FitError, InputError
from hwgen.yosys import environment


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
                f"{self.name} is not installed: pip install {self.package}, or pip install 'hwgen[boards]'"
            )

    @property
    def _start(self) -> str:
        call = f"{self.function}()" if self.argv else f"{self.function}(sys.argv[1:])"
        return f"import sys; from {self.module} import {self.function}; sys.exit({call})"

    def run(self, folder: Path, arguments: Sequence[str], on_line: Callable[[str], None] = lambda line: None) -> str:
        """Run it in ``folder`` and return its log; ``on_line`` is called with every line as it comes.

        Raises :class:`ToolError` with its own words where it fails.
        """
        self.check()
        process = subprocess.Popen(
            [sys.executable, "-c", self._start, *arguments],
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                on_line(line.rstrip("\n"))
        finally:
            # Also on Ctrl-C: nothing is left running, and the pipe is closed.
            if sys.exc_info()[0]:
                process.kill()
            process.wait()
            process.stdout.close()
        log = "".join(lines)
        if process.returncode:
            raise ToolError(f"{self.name} stopped with status {process.returncode}: {_reason(lines)}", log=log)
        return log


class ToolError(FitError):
    """A tool refused the design; ``log`` is what it printed."""

    def __init__(self, *problems: str, log: str = ""):
        super().__init__(*problems)
        self.log = log


def _reason(lines: Sequence[str]) -> str:
    """One line that says why a tool stopped."""
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if line.upper().startswith("ERROR")]
    return (errors or said or ["it printed nothing"])[0 if errors else -1]
