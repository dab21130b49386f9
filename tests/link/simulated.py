"""A board that is simulated: its hardware, made a program, as a line for the real host code; and lines that are bad."""

import numpy as np
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.accelerator import Hardware
from hwgen.device.clocks import Clock
from hwgen.link.endpoint import Buffers
from hwgen.link.identity import identity
from hwgen.link.messages import Loads
from hwgen.link.top import LinkTop
from hwgen.simulate.verilated import CompiledDesign, Running
from hwgen.tools.verilator import FAST

USUAL_CLOCK = Clock.of_mhz(100)
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


def simulated_board(made: Hardware, buffers: Buffers, cycles: int, level: str = FAST) -> CompiledDesign:
    """The hardware ``made`` behind the link, as a program with streams of bytes ``i`` and ``o``: ready to answer,
    for a host does not wait for a compiler. ``level`` is that of :func:`hwgen.tools.verilator.library`."""
    core = made.component
    top = LinkTop(core, core.source, core.results, buffers, identity(made.plan), Loads.of(made.plan))
    board = CompiledDesign(ByteLine(top, cycles), level)
    board.load()
    return board


class SimulatedLine:
    """The hardware in ``running``, with streams ``i`` and ``o`` of bytes.

    Its time is that of its ``clock``: a byte takes ``cycles`` of them each way, and an answer ``patience``
    seconds at most.
    """

    def __init__(self, running: Running, clock: Clock = USUAL_CLOCK, cycles: int = 16, patience: float = 100e-6):
        self.running, self.clock, self.name = running, clock, "the simulation"
        self.byte, self.patience = clock.seconds(cycles), patience

    def now(self) -> float:
        """Seconds of the simulated clock."""
        return self.clock.seconds(self.running.cycle)

    def write(self, data: bytes) -> None:
        """As on a serial port, what does not find room in its buffer waits until there is some."""
        self.running.give("i", np.frombuffer(data, np.uint8)[:, None])
        while self.running.waiting("i") > _BUFFER:
            self.running.run(_STEP)

    def read(self, wait: float) -> bytes:
        """What the hardware sends within ``wait`` seconds of its own clock."""
        left = max(int(wait * self.clock.hz), _STEP)
        while left > 0:
            self.running.run(_STEP)
            left -= _STEP
            got = self.running.take("o")
            if len(got):
                return got[:, 0].tobytes()
        return b""


class Noisy:
    """``line`` with a share of all bytes, both ways, lost, followed by an extra one, or changed in one bit."""

    def __init__(self, line, share: float, seed: int):
        self.line, self.share = line, share
        self.random = np.random.default_rng(seed)
        self.name, self.byte, self.patience = line.name, line.byte, line.patience
        self.bytes = self.corrupted = 0

    def now(self) -> float:
        """Seconds of the line behind."""
        return self.line.now()

    def write(self, data: bytes) -> None:
        """Send ``data``, some of it damaged."""
        self.line.write(self._through(data))

    def read(self, wait: float) -> bytes:
        """What has come, some of it damaged."""
        return self._through(self.line.read(wait))

    def _through(self, data: bytes) -> bytes:
        chosen = np.flatnonzero(self.random.random(len(data)) < self.share)
        self.bytes += len(data)
        self.corrupted += len(chosen)
        out, last = bytearray(), 0
        for at in map(int, chosen):
            out += data[last:at]
            last = at + 1
            match self.random.integers(3):
                case 0:  # lost
                    pass
                case 1:
                    out += bytes((data[at], int(self.random.integers(256))))
                case _:
                    out.append(data[at] ^ 1 << int(self.random.integers(8)))
        return bytes(out + data[last:])
