"""Tools from Python packages, each run in a Python and a folder of its own."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

#: Seconds between two looks at whether a process is still wanted.
_LOOK = 0.1
#: In threads of :func:`threads`: ``stop``, set when their processes are no longer wanted.
_OWN = threading.local()


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


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """``count`` threads for what waits for processes.

    Where the block ends with an error or Ctrl-C, nothing more is begun, and processes that run in the threads are
    ended.
    """
    stop = threading.Event()
    pool = ThreadPoolExecutor(count, initializer=lambda: setattr(_OWN, "stop", stop))
    try:
        yield pool
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def deaf() -> Iterator[None]:
    """Processes that are started in the block do not hear Ctrl-C: who started them ends them. Here it is heard after
    the block."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    heard: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    # Where there are other threads, one of them takes the signal, and the handler runs in the main one all the same.
    waits = callable(handler) and threading.current_thread() is threading.main_thread()
    if waits:
        signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if waits:
            signal.signal(signal.SIGINT, handler)
    if heard and callable(handler):
        handler(heard[0], None)


def run_tool(command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run ``command`` until it ends: its status, what it printed, and its errors. OSError where it cannot be run."""
    with _started(command, None, stderr=subprocess.PIPE, env=environment) as process:
        printed, errors = process.communicate()
    return process.returncode, printed, errors


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
    command = [sys.executable, "-c", code, *arguments]
    late = threading.Event()
    lines: list[str] = []

    def end_late() -> None:
        late.set()
        _end(process)

    with _started(command, stop, stderr=subprocess.STDOUT, cwd=folder, env=environment) as process:
        timer = threading.Timer(timeout or 0, end_late)
        if timeout is not None:
            timer.start()
        try:
            for line in process.stdout or ():
                lines.append(line)
                if on_line:
                    on_line(line.rstrip("\n"))
        finally:
            timer.cancel()
    return Ended(process.returncode, "".join(lines), late.is_set())


@contextmanager
def _started(command: Sequence[str], stop: threading.Event | None, **options) -> Iterator[subprocess.Popen]:
    """A process that has ended when the block has; after an error, on Ctrl-C and when ``stop`` is set it is ended, with
    all that it has started. It does not hear Ctrl-C itself."""
    process, done = None, threading.Event()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            **options,
        )
        stop = stop or getattr(_OWN, "stop", None)
        if stop is not None:
            threading.Thread(target=_watch, args=(process, stop, done), daemon=True).start()
        yield process
    except BaseException:
        if process is not None:
            _end(process)
        raise
    finally:
        done.set()
        if process is not None:
            process.wait()
            for pipe in filter(None, (process.stdout, process.stderr)):
                pipe.close()


def _watch(process: subprocess.Popen, stop: threading.Event, done: threading.Event) -> None:
    """End ``process`` when ``stop`` is set, unless it is ``done`` before."""
    while not done.wait(_LOOK):
        if stop.is_set():
            _end(process)
            return


def _end(process: subprocess.Popen) -> None:
    """Kill ``process`` and what it has started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
