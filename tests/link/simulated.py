"""A board that is simulated: its hardware, made a program, as a line for the real host code; and lines that are bad."""

from collections.abc import Iterator
from contextlib import contextmanager

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
from hwgen.simulate.verilated import Beats, CompiledDesign, CompiledError
from hwgen.tools.verilator import FAST

USUAL_CLOCK = Clock.of_mhz(100)
_STEP = 64  # cycles between two looks for bytes
_ROOM = 1024  # beats that a stream has room for to begin with
_BUFFER = 512  # bytes between the host and the line


@contextmanager
def running(design: CompiledDesign) -> Iterator["Running"]:
    """``design`` from its first cycle on, for whoever decides as it runs what to give it."""
    with design.simulation() as simulation:
        yield Running(design, simulation)


class Running:
    """A design that is run a few cycles at a time: streams get what was given so far, and keep what came out."""

    def __init__(self, design: CompiledDesign, simulation: int):
        self._library, self._simulation = design.driver, simulation
        self._places = {name: (kind, n) for kind, n, name in design.numbered()}
        self._beats = {name: Beats.room(_ROOM, design.widths[name]) for name in self._places}
        self._given = dict.fromkeys(design.sources, 0)
        self._taken = dict.fromkeys(design.sinks, 0)
        for name in self._places:
            self._announce(name)

    def give(self, name: str, payloads: np.ndarray) -> None:
        """Offer ``payloads``, uint8 [beats, bytes], to the source ``name`` after what it has."""
        start, end = self._given[name], self._given[name] + len(payloads)
        self._given[name] = end
        self._grow(name, end)
        self._beats[name].payloads[start:end, : payloads.shape[1]] = payloads
        self._announce(name)

    def take(self, name: str) -> np.ndarray:
        """The payloads, uint8 [beats, bytes], that came from the sink ``name`` since the last time."""
        start, end = self._taken[name], self._moved(name)
        self._taken[name] = end
        return self._beats[name].payloads[start:end].copy()

    def waiting(self, name: str) -> int:
        """How many of the beats given to the source ``name`` were not taken yet."""
        return self._given[name] - self._moved(name)

    def run(self, cycles: int) -> None:
        """Run for ``cycles``. Raises :class:`CompiledError` where an output withdraws or changes what it offered."""
        for name in self._taken:
            if self._moved(name) + cycles > len(self._beats[name].cycles):
                self._grow(name, self._moved(name) + cycles)
                self._announce(name)
        if self._library.hwgen_run(self._simulation, cycles) < 0:
            raise CompiledError(f"before cycle {self.cycle} an output withdrew or changed a beat that it offered")

    @property
    def cycle(self) -> int:
        """Clock cycles until now."""
        return self._library.hwgen_cycle(self._simulation)

    def _moved(self, name: str) -> int:
        return self._library.hwgen_moved(self._simulation, *self._places[name])

    def _grow(self, name: str, beats: int) -> None:
        """Room for ``beats`` in all."""
        old = self._beats[name]
        if beats > len(old.cycles):
            room = Beats(np.zeros((2 * beats, old.payloads.shape[1]), np.uint8), np.zeros(2 * beats, np.int64))
            room.payloads[: len(old.cycles)], room.cycles[: len(old.cycles)] = old.payloads, old.cycles
            self._beats[name] = room

    def _announce(self, name: str) -> None:
        """Tell the driver where the beats of a stream are and how many."""
        room = self._beats[name]
        count = self._given.get(name, len(room.cycles))
        payloads, cycles = room.payloads, room.cycles
        self._library.hwgen_stream(
            self._simulation, *self._places[name], payloads.ctypes.data, payloads.shape[1], cycles.ctypes.data, count
        )


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
    for a host does not wait for a compiler. ``level`` is that of :func:`hwgen.tools.verilator.shared_object`."""
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
