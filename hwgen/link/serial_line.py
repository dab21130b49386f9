"""A board at a serial port."""

import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from hwgen.graph.errors import InputError
from hwgen.link.capacity import BITS_PER_BYTE
from hwgen.link.host import LinkError, Session

_PATIENCE = 0.05  # seconds: what USB and the operating system may take, there and back
_WRITE_TIMEOUT = 5.0
_TRIES, _GREETINGS = 5, 20  # times that a board is asked at a rate that may be another's, and at the last one


class RateError(InputError):
    """A port that cannot do a rate."""


class SerialLine:
    """The serial port ``name`` at ``baud``, for this program alone.

    Raises InputError where there is no such port, it is taken or may not be used, or pyserial is not installed.
    """

    def __init__(self, name: str, baud: int):
        try:
            import serial
        except ImportError:
            raise InputError("a board needs pyserial, which is not installed: pip install pyserial") from None
        self.name, self.byte, self.patience = name, BITS_PER_BYTE / baud, _PATIENCE
        self._failures = (serial.SerialException, OSError)
        try:
            self._port = serial.Serial(name, baud, exclusive=True, timeout=0, write_timeout=_WRITE_TIMEOUT)
        except ValueError:
            raise RateError(
                f"the port {name!r} cannot do {baud} baud: give another --baud, here and to build"
            ) from None
        except self._failures as error:
            raise InputError(_refused(name, error)) from None
        self._port.reset_input_buffer()

    def close(self) -> None:
        """Others may open the port then."""
        self._port.close()

    def __enter__(self) -> "SerialLine":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def now(self) -> float:
        """Seconds, from any start."""
        return time.monotonic()

    def write(self, data: bytes) -> None:
        """Send ``data``; LinkError where the port is gone."""
        self._try(lambda: self._port.write(data))

    def read(self, wait: float) -> bytes:
        """What has come, or comes within ``wait`` seconds; LinkError where the port is gone."""
        self._port.timeout = wait
        return self._try(lambda: self._port.read(max(1, self._port.in_waiting)))

    def _try(self, action):
        try:
            return action()
        except self._failures as error:
            raise LinkError(f"the port {self.name} failed: {error}; check the cable, and try again") from None


@contextmanager
def open_session(name: str, rates: Sequence[int]) -> Iterator[Session]:
    """A session with the board at the port ``name``, at the first of ``rates`` at which it answers."""
    for rate in rates:
        last = rate == rates[-1]
        try:
            line = SerialLine(name, rate)
        except RateError:
            if last:
                raise
            continue
        with line:
            try:
                opened = Session(line, greetings=_GREETINGS if last else _TRIES)
            except LinkError:
                if last:
                    raise
                continue
            yield opened
            return


def ports() -> list[str]:
    """The serial ports of this machine."""
    from serial.tools.list_ports import comports

    return sorted(port.device for port in comports())


def _refused(name: str, error: OSError) -> str:
    """What to do about a port that could not be opened."""
    missing = not Path(name).exists() if os.name == "posix" else error.errno is None
    match error.errno:
        case None if not missing:
            return f"{name!r} is no serial port: give the one of the board"
        case errno.ENOENT | errno.ENODEV | errno.ENXIO | None:
            known = ports()
            near = get_close_matches(name, known, n=3) or known
            there = (
                f"there {'is' if len(near) == 1 else 'are'} {', '.join(near)}" if near else "there is none; plug it in"
            )
            return f"there is no port {name!r}: {there}"
        case errno.EACCES | errno.EPERM:
            return f"the port {name!r} may not be used by you: join its group (usually dialout), or ask its owner"
        case errno.EBUSY | errno.EAGAIN:
            return f"the port {name!r} is used by another program: close that one first"
    return f"the port {name!r} cannot be opened: {error.strerror or error}"
