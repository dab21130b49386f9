"""A delay counted in words instead of cycles: what a row of taps needs between them."""

from amaranth.hdl import Module, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.cost.logic import Logic, counter, index_bits
from hwgen.memory.ram import ram_ports

from .queue import wrapping_increment
from .ram import slow


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
        write, word = in_turn(m, "store", self.width, self.depth, self.soon)
        m.d.comb += [write.en.eq(push), write.data.eq(self.i), self.o.eq(word)]


def in_turn(m: Module, name: str, width: int, depth: int, soon: Value):
    """A RAM whose words are read one after the other, round and round: its port to write, and the word.

    In the cycle after each ``soon`` there is the next word, and the port writes to the same place. A block RAM is read
    a word ahead, so that there is time for a register more behind it.
    """
    write, read = ram_ports(m, name, width, depth)
    if not slow(depth):
        with m.If(soon):
            m.d.sync += read.addr.eq(wrapping_increment(read.addr, depth))
        m.d.sync += write.addr.eq(read.addr)
        return write, read.data
    place, behind = Signal(range(depth), name=f"{name}_place"), Signal(range(depth), init=1, name=f"{name}_behind")
    word = Signal(width, name=f"{name}_word", reset_less=True)
    m.d.comb += [read.addr.eq(behind), read.en.eq(soon)]
    m.d.sync += word.eq(read.data)
    with m.If(soon):
        m.d.sync += [behind.eq(wrapping_increment(behind, depth)), place.eq(behind), write.addr.eq(place)]
    return write, word


def in_turn_logic(width: int, depth: int) -> Logic:
    """What :func:`in_turn` takes beside the RAM: the register of a block RAM is counted as one of its own."""
    return counter(depth) + Logic(register=(1 + slow(depth)) * index_bits(depth) + width)
