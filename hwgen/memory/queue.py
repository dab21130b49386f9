"""Queues, and the credits that keep them from overflowing.

Every block ends in an :class:`Outlet`: it counts the places left in its queue (credits), the block starts a step
only when there is room for all that the step gives, and so nothing inside a block ever has to stall.
"""

from amaranth.hdl import Module, Mux, Shape, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.cost.actor import CREDIT
from hwgen.cost.logic import Logic, counter, stepper
from hwgen.memory.ram import ram_ports

from .ram import read_register, slow


def wrapping_increment(signal: Signal, modulus: int):
    """``signal + 1`` modulo ``modulus``."""
    return Mux(signal == modulus - 1, 0, signal + 1)


class Queue(wiring.Component):
    """A queue with a registered output; ``push`` must not be raised when ``depth`` beats are inside.

    Latency: a beat pushed in cycle t is offered from cycle t + 2. The output register is that of the memory, so
    that a deep queue fits into block RAM; which has another one, without which it is slow: see :func:`behind`.
    """

    LATENCY = 2

    def __init__(self, layout, depth: int):
        self.depth = depth
        #: Minus the beats in the memory: its sign says that there is one, and waits for no comparison.
        self.level = Signal(range(-depth, 1))
        #: There is one in the memory's register.
        self.offer = Signal()
        super().__init__({"push": In(1), "payload": In(layout), "o": Out(stream.Signature(layout))})

    @property
    def inside(self) -> Value:
        """Beats inside, those offered with them."""
        return self.offer - self.level + (self.o.valid if behind(self.depth) else 0)

    def elaborate(self, platform):
        m = Module()
        width = Shape.cast(self.payload.shape()).width
        write, read = ram_ports(m, "store", width, self.depth)
        level, offer, pop = self.level, self.offer, Signal()
        onward = self._offer(m, read)
        m.d.comb += [
            pop.eq(level[-1] & (~offer | onward)),
            write.en.eq(self.push),
            write.data.eq(self.payload.as_value()),
            read.en.eq(pop),
        ]
        m.d.sync += [level.eq(Mux(pop, level + ~self.push, level - self.push)), offer.eq(pop | (offer & ~onward))]
        with m.If(self.push):
            m.d.sync += write.addr.eq(wrapping_increment(write.addr, self.depth))
        with m.If(pop):
            m.d.sync += read.addr.eq(wrapping_increment(read.addr, self.depth))
        return m

    def _offer(self, m: Module, read) -> Value:
        """Offer what is in the memory's register, or in the one behind it; gives whether the memory's is free next."""
        if not behind(self.depth):
            m.d.comb += [self.o.valid.eq(self.offer), self.o.payload.as_value().eq(read.data)]
            return self.o.ready
        held, onward = Signal(len(read.data), reset_less=True), ~self.o.valid | self.o.ready
        with m.If(onward):
            m.d.sync += [self.o.valid.eq(self.offer), held.eq(read.data)]
        m.d.comb += self.o.payload.as_value().eq(held)
        return onward


def behind(depth: int) -> int:
    """Registers behind the memory of a queue of ``depth`` beats, beside that which every memory has: as many cycles
    later is a beat offered."""
    return int(slow(depth))


class Outlet(wiring.Component):
    """The end of a block: a queue of ``depth`` beats and the credits for it.

    ``permit`` says that a step which gives ``beats`` beats may start; the block answers with ``debit`` in the
    cycle in which it decides so, and says with ``amount`` if the step will give fewer. A place freed in cycle t can
    be debited again from cycle t + :attr:`CREDIT`: what takes beats and what starts steps are a register apart.
    """

    CREDIT = CREDIT
    LATENCY = Queue.LATENCY

    def __init__(self, layout, depth: int, beats: int = 1):
        if depth < beats:
            raise ValueError(f"a queue of {depth} beats cannot hold the {beats} of one step")
        self.depth, self.beats = depth, beats
        self.queue = Queue(layout, depth)
        #: Credits left over by a step: the sign is `permit`, so that what starts steps waits for no comparison.
        self.spare = Signal(range(-beats, depth - beats + 1), init=depth - beats)
        #: Inverted, or synthesis would share it with registers of the reader that reach far.
        self.kept = Signal(init=1)
        super().__init__(
            {
                "permit": Out(1),
                "debit": In(1),
                "amount": In(range(beats + 1), init=beats),
                "push": In(1),
                "payload": In(layout),
                "o": Out(stream.Signature(layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = self.queue
        spare, kept, spent = self.spare, self.kept, Signal(range(-self.beats, 2))
        m.d.comb += [
            queue.push.eq(self.push),
            queue.payload.eq(self.payload),
            self.o.payload.eq(queue.o.payload),
            self.o.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.o.ready),
            self.permit.eq(~spare[-1]),
            spent.eq(Mux(kept, -self.amount, 1 - self.amount)),
        ]
        m.d.sync += [
            kept.eq(~(self.o.valid & self.o.ready)),
            spare.eq(Mux(self.debit, spare + spent, spare + ~kept)),
        ]
        return m


def queue_depth(latency: int, busy: int, beats: int) -> int:
    """The least queue that lets a block give ``beats`` beats every ``busy`` cycles without a pause.

    ``latency`` is counted from the end of a step to its first beat being offered by a queue that is not deep; a beat's
    place is debited two cycles before its step starts and given back a cycle after it is taken. Rounded up to what a
    LUT memory (16 words) gives at no extra cost.
    """

    def least(latency: int) -> int:
        round_trip = busy + latency + Outlet.CREDIT + 2 + beats
        needed = beats * -(-round_trip // busy) + beats
        return max(16, -(-needed // 16) * 16)

    depth = least(latency)
    return least(latency + 1) if behind(depth) else depth


def queue_logic(depth: int, width: int) -> Logic:
    """Counters and credits of an :class:`Outlet`; its memory is counted apart, its output register here, with that of
    a deep one."""
    level, more = stepper(depth.bit_length()), behind(depth) * Logic(logic=1, register=1 + width)
    fixed = Logic(logic=9, register=2 - level.register)
    return 3 * level + 2 * counter(depth) + fixed + read_register(width, depth) + more
