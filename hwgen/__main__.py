"""``python -m hwgen``."""

import _thread
import atexit
import gc
import os
import signal
import sys
import warnings
from contextlib import suppress
from threading import Timer, main_thread

INTERRUPTED = 130


def main() -> None:
    """The command line; ends the process with its status."""
    try:
        _run()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _leave()
        raise


def _leave() -> None:
    """End at once. Where Ctrl-C came within code that Python makes out of text (a dataclass on import), it remembers
    that, and would kill itself with the signal in the end although it was taken care of."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(INTERRUPTED)


def _told_again(ignored: "sys.UnraisableHookArgs") -> None:
    """What is raised while Python calls back by itself, as where an import's lock goes, it ignores. If that is being
    told to stop, it is told again in a moment, when it is elsewhere."""
    end = ignored.exc_value
    if isinstance(end, KeyboardInterrupt):
        Timer(0.01, _tell, [signal.SIGINT]).start()
    elif isinstance(end, SystemExit) and isinstance(end.code, int):
        Timer(0.01, _tell, [signal.Signals(end.code - 128)]).start()
    else:
        sys.__unraisablehook__(ignored)


def _tell(number: signal.Signals) -> None:
    """The signal for the main thread: a real one, where there are such, ends what it waits for."""
    if (thread := main_thread().ident) and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, number)
    else:
        _thread.interrupt_main(number)


def _run() -> None:
    """The command line.

    Being told to stop (SIGTERM, SIGHUP) unwinds like Ctrl-C does, so that temporary files are removed.
    """
    # Amaranth says so of hardware that it was stopped at, which is nothing a user can mend.
    warnings.filterwarnings("ignore", message=r"(?s).* created but never used")
    # Hardware is many small objects, most of which stay: looking through them for rubbish was a sixth of the time.
    gc.set_threshold(200_000, 20, 20)
    sys.unraisablehook = _told_again
    try:
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
        from hwgen.cli.main import cli

        cli.main(prog_name="python -m hwgen" if sys.argv[0].endswith("__main__.py") else None)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        # All has been said: what is left is that the interpreter tidies up, which is not worth a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
