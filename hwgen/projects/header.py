"""What a transfer holds, said by its first word, where weights are loaded as well as frames.

A DMA in simple mode has no signal beside the data to say so. So each transfer begins with a word of its own, whose
first four bytes are :data:`FRAMES` or :data:`WEIGHTS`; the others are 0, and are not looked at. What follows lies
aligned to words, as without it.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .gearbox import word_layout

FRAMES, WEIGHTS = b"data", b"load"


def headed(kind: bytes, blob: bytes, width: int) -> bytes:
    """``blob`` as a transfer of ``kind`` in words of ``width`` bytes."""
    return kind.ljust(width, b"\0") + blob


class HeaderReader(wiring.Component):
    """Takes the first word off every transfer; words of ``width`` bytes as :func:`word_layout` says, in both streams.

    ``loads`` says whether what ``o`` gives belongs to a load. It changes as a first word is taken, which must not be
    before all of the transfer before it has left whatever reads ``o``. ``error`` is 1 in the cycle in which a first
    word is taken that says neither, and then the rest of that transfer goes nowhere; or one that is also the last.

    Words pass in the cycle in which they come. ``i.ready`` is ``o.ready``, and nothing is between them.
    """

    def __init__(self, width: int, unit: int):
        signature = stream.Signature(word_layout(width, unit))
        super().__init__({"i": In(signature), "o": Out(signature), "loads": Out(1), "error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        kind = self.i.payload.data[: 8 * len(FRAMES)]
        first, passing, move = Signal(init=1), Signal(), Signal()
        frames, weights = (kind == int.from_bytes(known, "little") for known in (FRAMES, WEIGHTS))
        m.d.comb += [
            self.i.ready.eq(self.o.ready),
            self.o.valid.eq(self.i.valid & passing),
            self.o.payload.eq(self.i.payload),
            move.eq(self.i.valid & self.i.ready),
            self.error.eq(move & first & (~(frames | weights) | self.i.payload.last)),
        ]
        with m.If(move):
            m.d.sync += [
                first.eq(self.i.payload.last),
                passing.eq(Mux(first, frames | weights, passing) & ~self.i.payload.last),
            ]
            with m.If(first):
                m.d.sync += self.loads.eq(weights)
        return m
