"""The protocol, said once: packets both ways, as the hardware and the host make and read them.

Frames form one stream of bytes to the board, results another one back. Packets carry pieces of them with their
*positions* in the stream (modulo 2^16). A receiver takes a piece only if it is whole and begins where the last one
ended, and says in every packet of its own how far it has come; what it did not take is sent again from there.

On the line every packet is ``FLAG``, then its bytes with ``FLAG`` and ``ESCAPE`` replaced by ``ESCAPE`` and the byte
with bit 5 inverted (as in RFC 1662). So ``FLAG`` always begins a packet, whatever came before it. A packet ends with
its CRC-32 (that of Ethernet and zlib) over all before, low byte first.

======================  ==========================================================  =================================
to the board, bytes     :data:`Kind` | round << 4, length, position, taken, data    ``DATA``, ``POLL``, ``RESEND``
                        the same with a number of the host's choice as position     ``RESET``
from the board, bytes   :data:`Kind` | round << 4, length, position, taken, limit,  ``DATA`` (with REJECTED or not)
                        data
                        the same with :class:`Hello` as data                        ``HELLO``
======================  ==========================================================  =================================

``position``, ``taken`` and ``limit`` have two bytes, low byte first: where ``data`` begins, how much of the
other side's stream was taken, and up to where the host may send (the room in the board's buffer). The board
answers every whole packet. It has no clock of its own: it sends again only what ``RESEND`` asks for, from ``taken`` on.

The stream to a board whose weights are loaded consists of *messages*, each with a byte in front that says which
:class:`Message` it is: a frame, or a load. A load is followed by :data:`HELD_BYTES` bytes of the host's choice, the
lowest bit of the first set, which the board says in its next ``HELLO``: so the host knows again what it has loaded.
They are 0 from the beginning of a load to its end.

``round`` tells answers to what was sent before the host went back from those to what came after: the board repeats
the round of the last whole packet. ``REJECTED`` says that the last ``DATA`` in it was not taken.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

VERSION = 1
FLAG, ESCAPE, INVERT = 0x7E, 0x7D, 0x20
CRC_BYTES = 4
POSITION_BITS = 16
ROUND_BITS = 4
HOST_HEADER, BOARD_HEADER = 6, 8  # bytes
MOST_DOWN = 255  # bytes of data in a packet to the board
MOST_UP = 64  # in one from the board
ID_BYTES = 8
HELD_BYTES = 4
REJECTED = 0x8  # in the kind of a packet from the board


class Kind(IntEnum):
    """The low bits of a packet's first byte."""

    DATA = 0
    POLL = 1
    RESEND = 2
    RESET = 3
    HELLO = 4


class Message(IntEnum):
    """What comes next in the stream to a board whose weights are loaded."""

    FRAME = 0
    LOAD = 1


@dataclass(frozen=True)
class Hello:
    """What a board says of itself after a reset: that ``number`` was the host's, which ``design`` it holds and, where
    weights are loaded, which ones (``held``); else that is empty."""

    number: int
    design: bytes
    version: int = VERSION
    held: bytes = b""

    SIZE = 2 + 1 + ID_BYTES

    def packed(self) -> bytes:
        """Its bytes, as a packet carries them."""
        return self.number.to_bytes(2, "little") + bytes((self.version,)) + self.design + self.held

    @staticmethod
    def read(data: bytes) -> "Hello":
        """What :meth:`packed` makes, of any version that begins likewise."""
        size = Hello.SIZE
        return Hello(int.from_bytes(data[:2], "little"), bytes(data[3:size]), data[2], bytes(data[size:]))


@dataclass(frozen=True)
class Packet:
    """A packet in either direction; ``limit`` is None in those to the board. Positions are modulo 2^16."""

    kind: Kind
    round: int
    position: int
    taken: int
    limit: int | None = None
    data: bytes = b""
    rejected: bool = False

    @property
    def allowed(self) -> int:
        """``limit`` of a packet from the board; ValueError for one to it."""
        if self.limit is None:
            raise ValueError("a packet to the board has no limit")
        return self.limit

    def packed(self) -> bytes:
        """Its bytes without the CRC."""
        first = self.kind | (REJECTED if self.rejected else 0) | self.round << 4
        numbers = [self.position, self.taken, *([] if self.limit is None else [self.limit])]
        words = b"".join((number % (1 << POSITION_BITS)).to_bytes(2, "little") for number in numbers)
        return bytes((first, len(self.data))) + words + self.data

    @staticmethod
    def read(body: bytes, header: int = BOARD_HEADER) -> "Packet | None":
        """The packet with the bytes ``body``, CRC taken off; None where no side ever sends such a one."""
        if len(body) < header or len(body) != header + body[1] or body[0] & 0x7 not in set(Kind):
            return None
        position, taken, *rest = (int.from_bytes(body[at : at + 2], "little") for at in range(2, header, 2))
        limit = rest[0] if header == BOARD_HEADER else None
        kind, data, rejected = Kind(body[0] & 0x7), bytes(body[header:]), bool(body[0] & REJECTED)
        return Packet(kind, body[0] >> 4, position, taken, limit, data, rejected)


def on_line(packet: Packet) -> bytes:
    """What goes over the line for ``packet``."""
    body = packet.packed()
    body += zlib.crc32(body).to_bytes(CRC_BYTES, "little")
    escaped = body.replace(bytes((ESCAPE,)), bytes((ESCAPE, ESCAPE ^ INVERT)))
    return bytes((FLAG,)) + escaped.replace(bytes((FLAG,)), bytes((ESCAPE, FLAG ^ INVERT)))


class Reader:
    """Takes bytes as they come from the line and gives whole packets; anything else is dropped."""

    def __init__(self, header: int = BOARD_HEADER):
        self.header = header
        self._body: bytearray | None = None  # None: outside of a packet
        self._escaped = False

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that end within ``data``."""
        for byte in data:
            if byte == FLAG:
                self._body, self._escaped = bytearray(), False
            elif self._body is not None:
                yield from self._take(self._body, byte)

    def _take(self, body: bytearray, byte: int) -> Iterator[Packet]:
        if byte == ESCAPE:
            self._escaped = True
            return
        body.append(byte ^ INVERT if self._escaped else byte)
        self._escaped = False
        if len(body) > 1 and len(body) == self.header + body[1] + CRC_BYTES:
            self._body = None
            whole, crc = body[:-CRC_BYTES], body[-CRC_BYTES:]
            packet = Packet.read(bytes(whole), self.header)
            if zlib.crc32(whole) == int.from_bytes(crc, "little") and packet:
                yield packet


def ahead(position: int, other: int) -> int:
    """How far ``position`` is ahead of ``other``, both modulo 2^16: negative where it is behind."""
    half = 1 << (POSITION_BITS - 1)
    return (position - other + half) % (2 * half) - half
