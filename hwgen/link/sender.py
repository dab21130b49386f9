"""The board's mouth: results kept until the host has them, and packets made of them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import enum, memory, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from hwgen.link.protocol import (
    BOARD_HEADER,
    CRC_BYTES,
    ESCAPE,
    FLAG,
    HELD_BYTES,
    INVERT,
    MOST_UP,
    POSITION_BITS,
    REJECTED,
    ROUND_BITS,
    Hello,
    Kind,
)


class Escape(wiring.Component):
    """Bytes of packets as they go over the line. ``plain`` bytes are not escaped: flags. Latency: none."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(8)), "plain": In(1), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        special, second = Signal(), Signal()
        m.d.comb += [
            special.eq(((self.i.payload == FLAG) | (self.i.payload == ESCAPE)) & ~self.plain),
            self.o.valid.eq(self.i.valid),
            self.o.payload.eq(Mux(second, self.i.payload ^ INVERT, Mux(special, ESCAPE, self.i.payload))),
            self.i.ready.eq(self.o.ready & (second | ~special)),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += second.eq(special & ~second)
        return m


class Results(wiring.Component):
    """The buffer of ``depth`` bytes between the stream ``i`` and the packets.

    A byte stays until ``taken``, where the host is, has passed it. ``ready`` bytes can be sent from position ``at`` on;
    ``go`` moves ``at`` on by ``ready``, ``back`` sets it to ``taken``. They are worth a packet (``worth``) when they
    fill one or end a frame (``last`` comes with its last byte). ``byte`` is that at ``read``, two cycles later.
    """

    def __init__(self, depth: int):
        if depth & (depth - 1) or not MOST_UP <= depth < 1 << (POSITION_BITS - 1):
            raise ValueError(f"a buffer holds a power of two of bytes, at least a packet's {MOST_UP}, not {depth}")
        self.depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "last": In(1),
                "clear": In(1),
                "taken": In(POSITION_BITS),
                "back": In(1),
                "go": In(1),
                "at": Out(POSITION_BITS),
                "ready": Out(range(MOST_UP + 1)),
                "worth": Out(1),
                "read": In(POSITION_BITS),
                "byte": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = memory.Memory(shape=unsigned(8), depth=self.depth, init=[])
        write, read = store.write_port(), store.read_port()
        filled, complete = Signal(POSITION_BITS), Signal(POSITION_BITS)
        held, waiting, unsent = (Signal(POSITION_BITS) for _ in range(3))
        byte = Signal(8, reset_less=True)  # of the block RAM, which is slow without it
        m.d.comb += [
            held.eq(filled - self.taken),
            self.i.ready.eq(~held[self.depth.bit_length() - 1]),
            write.en.eq(self.i.valid & self.i.ready),
            write.addr.eq(filled),
            write.data.eq(self.i.payload),
            read.addr.eq(self.read),
            self.byte.eq(byte),
        ]
        # Two cycles late, when there may only be more to send: `at` goes on but with a packet, and back to more.
        m.d.sync += [
            byte.eq(read.data),
            waiting.eq(filled - self.at),
            unsent.eq(complete - self.at),
            self.ready.eq(Mux(waiting > MOST_UP, MOST_UP, waiting)),
            self.worth.eq(((waiting >= MOST_UP) | ((unsent != 0) & ~unsent[-1])) & ~self.clear & ~self.go),
        ]
        with m.If(write.en):
            m.d.sync += filled.eq(filled + 1)
            with m.If(self.last):
                m.d.sync += complete.eq(filled + 1)
        with m.If(self.back):
            m.d.sync += self.at.eq(self.taken)
        with m.Elif(self.go):
            m.d.sync += self.at.eq(self.at + self.ready)
        with m.If(self.clear):
            m.d.sync += [filled.eq(0), complete.eq(0), self.at.eq(0), waiting.eq(0), unsent.eq(0)]
        return m


class Part(enum.Enum):
    """What of a packet is being sent."""

    NOTHING = 0
    FLAG = 1
    HEADER = 2
    DATA = 3
    CHECK = 4


class Sender(wiring.Component):
    """Packets from the board, as bytes of the stream ``o``: when asked to ``answer`` or ``greet``, and when results of
    the stream ``i`` are worth one.

    ``greet`` is answered with :class:`hwgen.link.protocol.Hello`, holding ``number``, the accelerator's ``design``
    and, with ``loads``, what it has ``held`` since the last load. ``expected``, ``limit``, ``round`` and ``rejected``
    are sent along. A byte takes four cycles at least.
    """

    def __init__(self, depth: int, design: bytes, loads: bool = False):
        self.depth, self.design, self.loads = depth, design, loads
        super().__init__(
            {
                **({"held": In(8 * HELD_BYTES)} if loads else {}),
                "i": In(stream.Signature(8)),
                "last": In(1),
                "clear": In(1),
                "answer": In(1),
                "greet": In(1),
                "back": In(1),
                "taken": In(POSITION_BITS),
                "number": In(16),
                "round": In(ROUND_BITS),
                "rejected": In(1),
                "expected": In(POSITION_BITS),
                "limit": In(POSITION_BITS),
                "begin": Out(1),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.results = results = Results(self.depth)
        for name in ("last", "clear", "back", "taken"):
            m.d.comb += getattr(results, name).eq(getattr(self, name))
        wiring.connect(m, wiring.flipped(self.i), results.i)
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        m.submodules.escape = escape = Escape()
        wiring.connect(m, escape.o, wiring.flipped(self.o))

        part, read, chosen, ready, sent = Signal(Part), Signal(), Signal(), Signal(), Signal(8)
        header, left = Signal(8 * BOARD_HEADER), Signal(range(MOST_UP + 1))
        hello, greeting, asked = Signal(), Signal(), Signal()
        body = self._body(m, part, greeting, left, header, results.byte, crc.crc)
        moved = escape.i.valid & escape.i.ready
        m.d.comb += [
            self.begin.eq((part == Part.NOTHING) & (asked | hello | results.worth) & ~self.clear),
            results.go.eq(self.begin & ~hello),
            escape.i.payload.eq(sent),
            escape.i.valid.eq((part != Part.NOTHING) & ready),
            escape.plain.eq(part == Part.FLAG),
            crc.start.eq(self.begin),
            crc.data.eq(sent),
            crc.valid.eq(moved & ((part == Part.HEADER) | (part == Part.DATA))),
        ]
        # The memory gets two cycles for every byte, and the choice of what is sent another.
        m.d.sync += [
            sent.eq(body),
            read.eq((part != Part.NOTHING) & ~moved),
            chosen.eq(read & ~moved),
            ready.eq(chosen & ~moved),
        ]
        with m.If(moved):
            self._next(m, part, left, header, results.read)
        with m.If(self.begin):
            first = Cat(Mux(hello, Kind.HELLO, Mux(self.rejected, REJECTED, 0))[:4], self.round)
            length = Mux(hello, self._greeting_size, results.ready)
            m.d.sync += [
                header.eq(Cat(first, length | Const(0, 8), results.at, self.expected, self.limit)),
                results.read.eq(results.at),
                greeting.eq(hello),
                part.eq(Part.FLAG),
            ]
            m.d.sync += [asked.eq(0), hello.eq(0)]
        with m.If(self.answer):
            m.d.sync += asked.eq(1)
        with m.If(self.greet):
            m.d.sync += hello.eq(1)
        return m

    @property
    def _greeting_size(self) -> int:
        return Hello.SIZE + (HELD_BYTES if self.loads else 0)

    def _body(self, m: Module, part, greeting, left, header, byte, crc) -> Signal:
        """The byte that is sent now. The header is shifted; the greeting and the CRC are chosen from by ``left``."""
        body, greetings, checks = Signal(8), Signal(8), Signal(8)
        said = [Const(byte, 8) for byte in Hello(0, self.design).packed()]
        said[:2] = [self.number.word_select(at, 8) for at in range(2)]
        said += [self.held.word_select(at, 8) for at in range(HELD_BYTES)] if self.loads else []
        with m.Switch(left):
            for at, byte_ in enumerate(said):
                with m.Case(self._greeting_size - at):
                    m.d.comb += greetings.eq(byte_)
        with m.Switch(left[:2]):
            for at in range(CRC_BYTES):
                with m.Case((CRC_BYTES - at) % 4):
                    m.d.comb += checks.eq(crc.word_select(at, 8))
        with m.Switch(part):
            with m.Case(Part.HEADER):
                m.d.comb += body.eq(header[:8])
            with m.Case(Part.DATA):
                m.d.comb += body.eq(Mux(greeting, greetings, byte))
            with m.Case(Part.CHECK):
                m.d.comb += body.eq(checks)
            with m.Default():
                m.d.comb += body.eq(FLAG)
        return body

    def _next(self, m: Module, part, left, header, read) -> None:
        """From one byte of a packet to the next."""
        length = Signal(8)
        m.d.sync += left.eq(left - 1)
        with m.Switch(part):
            with m.Case(Part.FLAG):
                m.d.sync += [left.eq(BOARD_HEADER), length.eq(header[8:16]), part.eq(Part.HEADER)]
            with m.Case(Part.HEADER):
                m.d.sync += header.eq(header >> 8)
                with m.If(left == 1):
                    m.d.sync += left.eq(Mux(length == 0, CRC_BYTES, length))
                    m.d.sync += part.eq(Mux(length == 0, Part.CHECK, Part.DATA))
            with m.Case(Part.DATA):
                m.d.sync += read.eq(read + 1)
                with m.If(left == 1):
                    m.d.sync += [left.eq(CRC_BYTES), part.eq(Part.CHECK)]
            with m.Case(Part.CHECK), m.If(left == 1):
                m.d.sync += part.eq(Part.NOTHING)
