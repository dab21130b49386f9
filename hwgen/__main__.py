"""``python -m hwgen``."""

import atexit
import gc
import os
import signal
import sys
import warnings
from contextlib import suppress

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


def _run() -> None:
    """The command line.

    Being told to stop (SIGTERM, SIGHUP) unwinds like Ctrl-C does, so that temporary files are removed.
    """
    # Amaranth says so of hardware that it was stopped at, which is nothing a user can mend.
    warnings.filterwarnings("ignore", message=r"(?s).* created but never used")
    # Hardware is many small objects, most of which stay: looking through them for rubbish was a sixth of the time.
    gc.set_threshold(200_000, 20, 20)
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
