"""A delay counted in words instead of cycles: what a row of taps needs between them."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.memory.ram import ram_ports

from .queue import wrapping_increment


class DelayLine(wiring.Component):
    """``o`` is what ``i`` was ``depth`` pushes ago, good in the cycle of a push.

    ``soon`` is 1 in the cycle before every push. Short lines are registers, others a RAM.
    """

    #: Up to this depth registers are smaller than a RAM with its counter.
    REGISTERS = 3

    def __init__(self, width: int, depth: int):
        self.width, self.depth = width, depth
        super().__init__({"soon": In(1), "i": In(unsigned(width)), "o": Out(unsigned(width))})

    @staticmethod
    def in_memory(depth: int) -> bool:
        """Whether a line of ``depth`` words is a RAM."""
        return depth > DelayLine.REGISTERS

    def elaborate(self, platform):
        m = Module()
        push = Signal()
        m.d.sync += push.eq(self.soon)
        if self.in_memory(self.depth):
            self._memory(m, push)
        else:
            self._registers(m, push)
        return m

    def _registers(self, m: Module, push: Signal) -> None:
        value = self.i
        for n in range(self.depth):
            later = Signal(self.width, name=f"word_{n}", reset_less=True)
            with m.If(push):
                m.d.sync += later.eq(value)
            value = later
        m.d.comb += self.o.eq(value)

    def _memory(self, m: Module, push: Signal) -> None:
        """Each push overwrites the word that was read for it, which was written a round ago."""
        write, read = ram_ports(m, "store", self.width, self.depth)
        with m.If(self.soon):
            m.d.sync += read.addr.eq(wrapping_increment(read.addr, self.depth))
        m.d.sync += write.addr.eq(read.addr)
        m.d.comb += [write.en.eq(push), write.data.eq(self.i), self.o.eq(read.data)]
