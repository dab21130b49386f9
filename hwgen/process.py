"""Tools from Python packages, each run in a Python and a folder of its own."""

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """A process that has ended: its ``status``, all that it printed, and whether it took ``too_long``."""

    status: int
    log: str
    too_long: bool = False

    @property
    def lines(self) -> list[str]:
        """What it printed, without empty lines."""
        return [line.strip() for line in self.log.splitlines() if line.strip()]


def run_python(
    code: str,
    arguments: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    on_line: Callable[[str], None] | None = None,
    timeout: float | None = None,
    stop: threading.Event | None = None,
) -> Ended:
    """Run ``code`` in ``folder`` until it ends, for ``timeout`` seconds at most or until ``stop`` is set.

    ``on_line`` is called with every line that it prints as it comes. Where it raises, and on Ctrl-C, nothing is left
    running.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    late = threading.Event()
    timer = threading.Timer(timeout or 0, lambda: (late.set(), process.kill()))
    if timeout is not None:
        timer.start()
    if stop is not None:
        threading.Thread(target=lambda: (stop.wait(), process.kill()), daemon=True).start()
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if on_line:
                on_line(line.rstrip("\n"))
    finally:
        timer.cancel()
        if sys.exc_info()[0]:
            process.kill()
        process.wait()
        process.stdout.close()
    return Ended(process.returncode, "".join(lines), late.is_set())
