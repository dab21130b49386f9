"""Bytes over two wires: 8 data bits, no parity, one stop bit."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from hwgen.device.clocks import Clock
from hwgen.graph.errors import InputError

#: Of the clock in a bit: the receiver samples within a third of one from the middle, within a quarter if all bits are
#: equally long.
LEAST_CYCLES, LEAST_WHOLE_CYCLES = 6, 4
_FRACTION_BITS = 16


def is_rate(clock: Clock, baud: int) -> bool:
    """Whether ``clock`` is enough for ``baud`` bits per second."""
    cycles = clock.hz / baud
    whole = abs(cycles - round(cycles)) < cycles / (1 << _FRACTION_BITS)
    return cycles > (LEAST_WHOLE_CYCLES if whole else LEAST_CYCLES) * (1 - 1 / (1 << _FRACTION_BITS))


def check_rate(clock: Clock, baud: int) -> None:
    """Raise InputError where :func:`is_rate` says no."""
    if not is_rate(clock, baud):
        most = int(clock.rate(LEAST_CYCLES))
        raise InputError(
            f"{baud} baud need a clock of {Clock(LEAST_CYCLES * baud)}, the design's is {clock}: "
            f"give --baud {most} or less, or a higher --clock"
        )


class BitClock(wiring.Component):
    """``tick`` once in every ``clock / baud`` cycles on average, the first half or a whole bit after ``restart``.

    The fraction of a cycle that a bit is longer than whole cycles is added up, so that no error grows over a byte.
    """

    def __init__(self, clock: Clock, baud: int, first: float = 1.0):
        check_rate(clock, baud)
        self.step = round((1 << _FRACTION_BITS) * baud / clock.hz)
        self.first = (1 << _FRACTION_BITS) - round((1 << _FRACTION_BITS) * first)
        super().__init__({"restart": In(1), "tick": Out(1)})

    def elaborate(self, platform):
        m = Module()
        phase = Signal(_FRACTION_BITS)
        following = Signal(_FRACTION_BITS + 1)
        m.d.comb += [following.eq(phase + self.step), self.tick.eq(following[-1] & ~self.restart)]
        m.d.sync += phase.eq(following)
        with m.If(self.restart):
            m.d.sync += phase.eq(self.first)
        return m


class UartReceiver(wiring.Component):
    """Bytes from the wire ``rx``; ``valid`` for one cycle each. A byte without its stop bit is dropped."""

    def __init__(self, clock: Clock, baud: int):
        self.clock, self.baud = clock, baud
        super().__init__({"rx": In(1, init=1), "data": Out(8), "valid": Out(1)})

    def elaborate(self, platform):
        m = Module()
        rx, before = Signal(init=1), Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.rx, rx, init=1)
        m.submodules.bit_clock = bit_clock = BitClock(self.clock, self.baud, first=0.5)
        left = Signal(range(11))  # of start, data and stop bits
        bits = Signal(10)
        m.d.sync += [before.eq(rx), self.valid.eq(0)]
        m.d.comb += bit_clock.restart.eq((left == 0) & before & ~rx)
        with m.If(bit_clock.restart):
            m.d.sync += left.eq(10)
        with m.Elif((left != 0) & bit_clock.tick):
            m.d.sync += [bits.eq(Cat(bits[1:], rx)), left.eq(left - 1)]
            with m.If((left == 10) & rx):
                m.d.sync += left.eq(0)  # a spike, no start bit
            with m.If(left == 1):
                m.d.sync += [self.valid.eq(rx), self.data.eq(bits[2:])]
        return m


class UartTransmitter(wiring.Component):
    """Bytes of the stream ``i`` to the wire ``tx``."""

    def __init__(self, clock: Clock, baud: int):
        self.clock, self.baud = clock, baud
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.bit_clock = bit_clock = BitClock(self.clock, self.baud)
        bits, left = Signal(10, init=0x3FF), Signal(range(11))
        m.d.comb += [self.i.ready.eq(left == 0), bit_clock.restart.eq(left == 0)]
        m.d.sync += self.tx.eq(bits[0])
        with m.If((left == 0) & self.i.valid):
            m.d.sync += [bits.eq(Cat(0, self.i.payload, 1)), left.eq(10)]
        with m.Elif((left != 0) & bit_clock.tick):
            m.d.sync += [bits.eq(Cat(bits[1:], 1)), left.eq(left - 1)]
        return m
