"""``python -m hwgen``."""

import gc
import signal
import sys
import warnings


def main() -> None:
    """The command line; ends the process with its status.

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
        sys.exit(130)
    finally:
        # All has been said: what is left is that the interpreter tidies up, which is not worth a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
