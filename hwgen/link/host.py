"""The host's end of the link: a stream of bytes to a board, and what comes back, whatever the line does."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hwgen.graph.errors import HwgenError
from hwgen.link.protocol import (
    MOST_DOWN,
    MOST_UP,
    POSITION_BITS,
    ROUND_BITS,
    VERSION,
    Hello,
    Kind,
    Packet,
    Reader,
    ahead,
    on_line,
)

LEAST_DATA = 16  # bytes in a packet on a bad line
_WINDOW = 4  # packets on their way on a bad line
_GOOD = 8  # packets taken in a row before they become larger
_PATIENCE = 20  # times as long may pass without a result as without any answer


class LinkError(HwgenError):
    """The board does not answer, or holds something else."""


class Line(Protocol):
    """Bytes to and from a board.

    ``patience`` is the time in seconds after which an answer to what was written should be there, beside the time that
    bytes take; ``byte`` is that of one byte. ``name`` is for messages.
    """

    name: str
    patience: float
    byte: float

    def now(self) -> float:
        """The line's own time in seconds."""
        ...

    def write(self, data: bytes) -> None:
        """Send ``data``, all of it."""

    def read(self, wait: float) -> bytes:
        """What has come, at least one byte unless there was none within ``wait`` seconds."""
        ...


@dataclass
class Counts:
    """What it took: packets sent, bytes of data sent again, times gone back, times nothing was heard."""

    packets: int = 0
    again: int = 0
    backs: int = 0
    silences: int = 0


class Session:
    """A stream to the board and one back, from the reset that begins both.

    ``hello`` is what the board said of itself. Raises :class:`LinkError` where none answers when asked ``greetings``
    times; after ``give_up`` seconds without an answer, that it has stopped.
    """

    def __init__(self, line: Line, give_up: float = 3.0, greetings: int = 20):
        self.line, self.give_up, self.greetings = line, give_up, greetings
        self.counts = Counts()
        self._reader = Reader()
        self._round = 0
        self._base = self._next = self._limit = 0  # of the stream to the board: taken, sent, allowed
        self._data, self._start = b"", 0  # what goes to the board now, and where it begins in the stream
        self._got = bytearray()
        self._asked: int | None = None  # the round in which lost results were asked for
        self._size, self._good = MOST_DOWN, 0
        self.hello = self._greet()

    def require(self, design: bytes) -> None:
        """Raise LinkError where the board holds anything but ``design``."""
        if self.hello.design != design:
            raise LinkError(
                f"the board at {self.line.name} holds another design ({self.hello.design.hex()}; this model is "
                f"{design.hex()}): load this model's bitstream, or give the model that is on the board"
            )

    def run(self, data: bytes, expected: int, progress: Callable[[float], None] = lambda share: None) -> bytes:
        """The next ``expected`` bytes of results while all of ``data`` goes to the board."""
        self._data, self._start = data, self._base
        first, quiet, idle = len(self._got), 0.0, 0.0
        while len(self._got) - first < expected or self._base - self._start < len(data):
            before = len(self._got), self._base
            self._send()
            wait = self._wait()
            heard = self._hear(wait)
            quiet = 0.0 if heard else quiet + wait
            idle = 0.0 if (len(self._got), self._base) != before else idle + wait
            if quiet > self.give_up or idle > _PATIENCE * self.give_up:
                raise LinkError(
                    f"the board at {self.line.name} has stopped answering after {len(self._got) - first} of {expected} "
                    "bytes of results: check the cable and the power, load the bitstream again, or give a lower --baud"
                )
            if wait and not heard:
                self._silence()
            share = (len(self._got) - first, expected) if expected else (self._base - self._start, len(data))
            progress(share[0] / max(share[1], 1))
        return bytes(self._got[first : first + expected])

    # The line

    def _write(self, kind: Kind, position: int = 0, data: bytes = b"") -> None:
        self.counts.packets += 1
        self.line.write(on_line(Packet(kind, self._round, position, len(self._got), data=data)))

    def _wait(self) -> float:
        """How long to listen: nothing where there is more to send, else as long as an answer may take."""
        if self._next < self._end():
            return 0.0
        return self.line.patience + 2 * self.line.byte * (self._next - self._base + MOST_DOWN)

    def _hear(self, wait: float) -> bool:
        """Takes what comes, until there was a whole packet or the time is over; whether there was one."""
        end, heard = self.line.now() + wait, False
        while True:
            for packet in self._reader.feed(self.line.read(max(end - self.line.now(), 0.0))):
                heard = True
                if packet.kind == Kind.DATA:
                    self._take(packet)
            if heard or self.line.now() >= end:
                return heard

    def _take(self, packet: Packet) -> None:
        taken = ahead(packet.taken, self._base)
        if taken > 0:
            self._base += taken
            self._next = max(self._next, self._base)
            self._good += 1
            if self._good >= _GOOD:
                self._size, self._good = min(MOST_DOWN, 2 * self._size), 0
        self._limit = max(self._limit, self._base + ahead(packet.allowed, self._base))
        missing = ahead(packet.position, len(self._got))
        if missing == 0:
            self._got += packet.data
        if packet.round != self._round:
            return  # it says nothing of what was sent since
        if packet.rejected and self._next > self._base:
            self._back()
        if missing > 0 and self._asked != self._round:
            self._ask()

    # Forth and back

    def _end(self) -> int:
        """Up to where may be sent now. On a bad line little is on its way at a time, as it may have to go again."""
        window = self._limit if self._size == MOST_DOWN else self._base + _WINDOW * self._size
        return min(self._limit, window, self._start + len(self._data))

    def _send(self) -> None:
        """One packet of data, if the board has room for it."""
        size = min(self._size, self._end() - self._next)
        if size <= 0:
            return
        at = self._next - self._start
        self._write(Kind.DATA, self._next, self._data[at : at + size])
        self._next += size

    def _back(self) -> None:
        """Sends again from where the board is, in smaller packets."""
        self.counts.backs += 1
        self.counts.again += self._next - self._base
        self._size, self._good = max(LEAST_DATA, self._size // 2), 0
        self._next = self._base
        self._new_round()

    def _ask(self) -> None:
        """Has the board send again from where the host is."""
        self.counts.backs += 1
        self._new_round()
        self._asked = self._round
        self._write(Kind.RESEND)

    def _new_round(self) -> None:
        self._round = (self._round + 1) % (1 << ROUND_BITS)

    def _silence(self) -> None:
        """Nothing was heard though something should have been."""
        self.counts.silences += 1
        if self._next > self._base:
            self._back()
        self._ask()

    # The beginning

    def _greet(self) -> Hello:
        """Resets both streams; the number tells this answer from those to others."""
        number = random.randrange(1 << POSITION_BITS)
        for _ in range(self.greetings):
            self.line.write(on_line(Packet(Kind.RESET, 0, number, 0)))
            end = self.line.now() + self.line.patience + 2 * self.line.byte * (MOST_DOWN + MOST_UP)
            while self.line.now() < end:
                for packet in self._reader.feed(self.line.read(max(end - self.line.now(), 0.0))):
                    hello = Hello.read(packet.data) if packet.kind == Kind.HELLO else None
                    if hello and hello.number == number:
                        return self._greeted(packet, hello)
        raise LinkError(
            f"no board answers at {self.line.name}: load a bitstream made by `build --bitstream` first, and check the "
            "port, the cable and --baud"
        )

    def _greeted(self, packet: Packet, hello: Hello) -> Hello:
        if hello.version != VERSION:
            raise LinkError(
                f"the board at {self.line.name} speaks version {hello.version} of the protocol, this is {VERSION}: "
                "build the bitstream again"
            )
        self._limit = packet.allowed
        return hello
