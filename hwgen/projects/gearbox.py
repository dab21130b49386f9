"""Words of one width become words of another, bytes staying in their order."""

from math import gcd

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out


def word_layout(size: int, unit: int) -> data.StructLayout:
    """A word of ``size`` bytes: its ``data``, the first byte lowest; how many of its units of ``unit`` bytes are
    ``empty``, the highest ones; and whether it is the ``last`` of a transfer. Only a last one has empty units, and none
    has nothing else."""
    return data.StructLayout({"data": 8 * size, "empty": range(size // unit), "last": 1})


class Gearbox(wiring.Component):
    """Takes words of ``taken`` bytes at ``i`` and gives words of ``given`` bytes at ``o``, :func:`word_layout` both.

    Bytes follow each other without a gap from word to word until the last of a transfer; what is left then goes out in
    a word of its own, and the next transfer begins a new one. The wider side moves as often as the narrower allows,
    which moves in every cycle but one or two behind a transfer. Latency: one cycle where words do not widen. No path
    leads from ``o.ready`` to ``i.ready``.

    All counts are in units of ``gcd(taken, given)`` bytes, so that the fewer places a byte can come from, the less it
    takes. The store is as large as it must be to take a word while the narrower side goes on.
    """

    def __init__(self, taken: int, given: int):
        self.unit = gcd(taken, given)
        self.taken, self.given = taken // self.unit, given // self.unit
        #: Units that the store holds.
        self.size = self.taken + self.given + min(self.taken, self.given) - 1
        super().__init__(
            {
                "i": In(stream.Signature(word_layout(taken, self.unit))),
                "o": Out(stream.Signature(word_layout(given, self.unit))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = 8 * self.unit
        store = Signal(self.size * bits)
        level, left = Signal(range(self.size + 1)), Signal(range(self.size + 1))
        closing, take, give = Signal(), Signal(), Signal()
        empty = Signal(range(self.taken))
        m.d.comb += [
            self.i.ready.eq(~closing & (level <= self.size - self.taken)),
            take.eq(self.i.valid & self.i.ready),
            # A word has at least one unit, whatever it says.
            empty.eq(Mux(self.i.payload.empty < self.taken, self.i.payload.empty, self.taken - 1)),
            self.o.valid.eq(closing | (level >= self.given)),
            give.eq(self.o.valid & self.o.ready),
            self.o.payload.data.eq(store[: self.given * bits]),
            self.o.payload.last.eq(closing & (level <= self.given)),
            self.o.payload.empty.eq(Mux(level < self.given, self.given - level, 0)),
        ]
        # Above what is inside, the store is 0, so that a word can be put there with an or.
        rest, word = Signal.like(store), Signal(self.taken * bits)
        for at in range(self.taken):
            there = at + empty < self.taken
            m.d.comb += word[at * bits : (at + 1) * bits].eq(
                Mux(there, self.i.payload.data[at * bits : (at + 1) * bits], 0)
            )
        m.d.comb += [rest.eq(store), left.eq(level)]
        with m.If(give):
            m.d.comb += [
                rest.eq(store >> self.given * bits),
                left.eq(Mux(level < self.given, 0, level - self.given)),
            ]
        with m.If(take):
            # Moved up by the units that are left, a power of two at a time; there are no more than make room for it.
            shifted = word
            for power in range((self.size - self.taken).bit_length()):
                shifted = Mux(left[power], shifted << (bits << power), shifted)[: self.size * bits]
            m.d.sync += [store.eq(rest | shifted), level.eq(left + self.taken - empty)]
            m.d.sync += closing.eq(self.i.payload.last)
        with m.Elif(give):
            m.d.sync += [store.eq(rest), level.eq(left)]
            with m.If(self.o.payload.last):
                m.d.sync += closing.eq(0)
        return m
