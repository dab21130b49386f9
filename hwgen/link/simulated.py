"""A board that is simulated: the hardware of the link, made a program, as a line for the real host code."""

import numpy as np
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.verilated import Running

_STEP = 64  # cycles between two looks for bytes
_BUFFER = 512  # bytes between the host and the line


class ByteLine(wiring.Component):
    """``top``, an :class:`hwgen.link.top.LinkTop` or what has its ports, between streams of bytes ``i`` and ``o``; a
    byte is taken every ``cycles`` cycles, as from a line."""

    def __init__(self, top: wiring.Component, cycles: int):
        self.top, self.cycles = top, cycles
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.top = top = self.top
        pause = Signal(range(self.cycles))
        m.d.comb += [
            self.i.ready.eq(pause == 0),
            top.data.eq(self.i.payload),
            top.valid.eq(self.i.valid & self.i.ready),
        ]
        m.d.sync += pause.eq(Mux(pause == 0, self.cycles - 1, pause - 1))
        wiring.connect(m, top.line, wiring.flipped(self.o))
        return m


class SimulatedLine:
    """The hardware in ``running``, with streams ``i`` and ``o`` of bytes.

    Its time is that of its ``clock`` (Hz): a byte takes ``cycles`` of them each way, and an answer ``patience``
    seconds at most.
    """

    def __init__(self, running: Running, clock: float = 100e6, cycles: int = 16, patience: float = 100e-6):
        self.running, self.clock, self.name = running, clock, "the simulation"
        self.byte, self.patience = cycles / clock, patience

    def now(self) -> float:
        return self.running.cycle / self.clock

    def write(self, data: bytes) -> None:
        """As on a serial port, what does not find room in its buffer waits until there is some."""
        self.running.give("i", np.frombuffer(data, np.uint8)[:, None])
        while self.running.waiting("i") > _BUFFER:
            self.running.run(_STEP)

    def read(self, wait: float) -> bytes:
        left = max(int(wait * self.clock), _STEP)
        while left > 0:
            self.running.run(_STEP)
            left -= _STEP
            got = self.running.take("o")
            if len(got):
                return got[:, 0].tobytes()
        return b""
