"""The board's ear: packets from the line, and the buffer that keeps what was right until the accelerator takes it."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import enum, memory, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from hwgen.link.protocol import CRC_BYTES, ESCAPE, FLAG, HOST_HEADER, INVERT, POSITION_BITS, ROUND_BITS, Kind


class Place(enum.Enum):
    """Where in a packet the next byte belongs."""

    OUTSIDE = 0
    HEADER = 1
    DATA = 2
    CHECK = 3


class Unescape(wiring.Component):
    """Bytes of packets: ``start`` with every ``FLAG``, ``valid`` with every byte after it as it was before escaping."""

    def __init__(self):
        super().__init__({"data": In(8), "valid": In(1), "start": Out(1), "byte": Out(8), "byte_valid": Out(1)})

    def elaborate(self, platform):
        m = Module()
        escaped, flag, escape = Signal(), Signal(), Signal()
        m.d.comb += [
            flag.eq(self.data == FLAG),
            escape.eq(self.data == ESCAPE),
            self.start.eq(self.valid & flag),
            self.byte_valid.eq(self.valid & ~flag & ~escape),
            self.byte.eq(self.data ^ Mux(escaped, INVERT, 0)),
        ]
        with m.If(self.valid):
            m.d.sync += escaped.eq(escape)
        return m


class Receiver(wiring.Component):
    """Takes packets to the board from bytes ``data``, one a cycle at most, and streams what is in them to ``o``.

    Data goes into a buffer of ``depth`` bytes at once, but becomes part of the stream only when the packet has shown
    to be whole and to begin where the last one ended; otherwise its room is used again. ``packet`` is raised for one
    cycle after a whole packet, with ``kind``, ``round``, ``position`` and ``taken``, and ``refused`` if it was data not
    taken. ``expected`` is where the next data must begin, ``limit`` where the room ends. ``clear`` brings all
    back to the beginning of a stream.
    """

    def __init__(self, depth: int):
        if depth & (depth - 1) or not 16 <= depth < 1 << (POSITION_BITS - 1):
            raise ValueError(f"a buffer holds a power of two of bytes, below half of all positions, not {depth}")
        self.depth = depth
        super().__init__(
            {
                "data": In(8),
                "valid": In(1),
                "clear": In(1),
                "o": Out(stream.Signature(8)),
                "packet": Out(1),
                "refused": Out(1),
                "kind": Out(3),
                "round": Out(ROUND_BITS),
                "position": Out(POSITION_BITS),
                "taken": Out(POSITION_BITS),
                "expected": Out(POSITION_BITS),
                "limit": Out(POSITION_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = memory.Memory(shape=unsigned(8), depth=self.depth, init=[])
        write, read = store.write_port(), store.read_port()
        fits, count = self._packet(m, write)
        self._give(m, read)
        is_data = self.kind == Kind.DATA
        m.d.comb += self.refused.eq(is_data & ~(fits & (self.position == self.expected)))
        with m.If(self.packet & is_data & ~self.refused):
            m.d.sync += self.expected.eq(self.expected + count)
        with m.If(self.clear):
            m.d.sync += self.expected.eq(0)
        return m

    def _packet(self, m: Module, write):
        """Takes packets apart; gives whether all data found room, and how much there was."""
        m.submodules.unescape = unescape = Unescape()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        header, count = Signal(8 * HOST_HEADER), Signal(8)
        left, fits, room = Signal(range(256)), Signal(), Signal(range(self.depth + 1))
        done = Signal()
        m.d.comb += [
            unescape.data.eq(self.data),
            unescape.valid.eq(self.valid),
            crc.start.eq(unescape.start),
            crc.data.eq(unescape.byte),
            crc.valid.eq(unescape.byte_valid),
            Cat(self.kind, Signal(), self.round, count, self.position, self.taken).eq(header),
            write.data.eq(unescape.byte),
        ]
        # What a packet does is far from its check. A flag comes before what is told of it changes.
        m.d.sync += [done.eq(0), self.packet.eq(done & crc.match_detected)]
        state = Signal(Place)
        with m.If(unescape.byte_valid):
            m.d.sync += left.eq(left - 1)
            last = left == 1
            with m.Switch(state):
                with m.Case(Place.HEADER):
                    m.d.sync += header.eq(Cat(header[8:], unescape.byte))
                    # All but the last byte are there now, in the upper bytes.
                    length = header[16:24]
                    with m.If(last):
                        m.d.sync += [fits.eq(1), write.addr.eq(self.expected), room.eq(self.limit - self.expected)]
                        m.d.sync += left.eq(Mux(length == 0, CRC_BYTES, length))
                        m.d.sync += state.eq(Mux(length == 0, Place.CHECK, Place.DATA))
                with m.Case(Place.DATA):
                    m.d.comb += write.en.eq(room != 0)
                    m.d.sync += [write.addr.eq(write.addr + 1), fits.eq(fits & (room != 0))]
                    m.d.sync += room.eq(Mux(room == 0, 0, room - 1))
                    with m.If(last):
                        m.d.sync += [left.eq(CRC_BYTES), state.eq(Place.CHECK)]
                with m.Case(Place.CHECK), m.If(last):
                    m.d.sync += [done.eq(1), state.eq(Place.OUTSIDE)]
        with m.If(unescape.start):  # wherever it stood
            m.d.sync += [left.eq(HOST_HEADER), state.eq(Place.HEADER)]
        return fits, count

    def _give(self, m: Module, read) -> None:
        """The stream: bytes from the buffer up to what is expected next, through the memory's register."""
        offer, pop, at = Signal(), Signal(), Signal(POSITION_BITS)
        m.d.comb += [
            pop.eq((at != self.expected) & (~offer | self.o.ready)),
            read.addr.eq(at),
            read.en.eq(pop),
            self.o.valid.eq(offer),
            self.o.payload.eq(read.data),
            self.limit.eq(at + self.depth),
        ]
        m.d.sync += [offer.eq(pop | (offer & ~self.o.ready)), at.eq(at + pop)]
        with m.If(self.clear):
            m.d.sync += [offer.eq(0), at.eq(0)]
